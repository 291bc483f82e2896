/**
 * x · Wᵀ on the matrix unit with W as it is stored, in blocks or as floats: each panel is decoded to bf16 tiles in scratch,
 * once for up to 512 rows of x. Few rows go another way, which is chosen at run time: integer dots on blocks,
 * multiply-adds on floats.
 */

import {
  type Buffer,
  type DType,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
  dimCeilDiv,
  dimMul,
  printDim,
  siteConstant,
} from "@quern/core";
import { FLOAT_ENCODINGS, floatPanelPacker } from "../blocks/float-panels.ts";
import { type BlockFormat, PANEL_ROWS, panelLayout } from "../blocks/format.ts";
import { formatOf } from "../blocks/formats.ts";
import { interleavePacker } from "../blocks/interleave.ts";
import { floatLaunches, floatsApply } from "../blocks/matmul-floats.ts";
import { blocksApply, integerLaunches, tableLookup } from "../blocks/matmul.ts";
import type { PanelSource } from "../blocks/panel-reader.ts";
import { matmulProblem, offsetOf, typical, unflattenRows } from "../gemm/matmul.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { decodeBlocks, decodeFloats } from "./decode.ts";
import {
  type AmxBlocking,
  DECODING_ROWS,
  type AmxRight,
  chooseAmxBlocking,
  emitAmxTask,
  panelColumns,
} from "./gemm.ts";
import { type Row32, TILE_DEPTH, termsOf } from "./split.ts";
import { matrixUnit, unitNanoseconds } from "./unit.ts";

/** More rows than these are worth a pass of the matrix unit: decoding a panel costs as much as some rows of integer dots. */
const FEW_ROWS = 8;

function amxCost(site: KernelSite, { threads, precision }: KernelEnvironment): number {
  const { m, n, k } = matmulProblem(site);
  return (
    (unitNanoseconds(precision, typical(m), typical(n), typical(k)) + (typical(n) * typical(k)) / 3) / threads + 700
  );
}

function enoughRows(site: KernelSite, environment: KernelEnvironment): true | string {
  const unit = matrixUnit(environment);
  if (unit !== true) return unit;
  const { m } = matmulProblem(site);
  return typeof m === "number" && m <= FEW_ROWS ? `no more than ${FEW_ROWS} rows` : true;
}

export const matmulBlocksAmx: CpuKernel = {
  name: "matmul_blocks_amx",
  ops: ["matmul"],
  unit: "matrix",
  when(site, environment) {
    const applies = blocksApply(site, environment);
    return applies === true ? enoughRows(site, environment) : applies;
  },
  cost: amxCost,
  lower(site, environment) {
    const { b, m } = matmulProblem(site);
    const format = formatOf(siteConstant(site, b)?.encoding?.name as string) as BlockFormat;
    const few = typeof m === "number" ? [] : integerLaunches(site, environment, FEW_ROWS);
    return [
      ...few,
      unitLaunch(site, environment, format.blockWeights / TILE_DEPTH, (kernel, blocking) =>
        blockDecoder(kernel, format, blocking),
      ),
    ];
  },
};

export const matmulFloatsAmx: CpuKernel = {
  name: "matmul_floats_amx",
  ops: ["matmul"],
  unit: "matrix",
  when(site, environment) {
    const applies = floatsApply(site);
    return applies === true ? enoughRows(site, environment) : applies;
  },
  cost: amxCost,
  lower(site, environment) {
    const { m } = matmulProblem(site);
    const few = typeof m === "number" ? [] : floatLaunches(site, environment, FEW_ROWS);
    return [...few, unitLaunch(site, environment, 1, floatDecoder)];
  },
};

type Decoder = Extract<AmxRight, { kind: "decoded" }>["decode"];

/** One tile column of a panel after the other; columns beyond the matrix repeat its last 16. */
function perTileColumn(
  kernel: GroupKernel,
  { block }: AmxBlocking,
  emit: (panel: KValue, column: KValue, start: number, count: number, to: Buffer) => void,
): Decoder {
  const { k } = kernel;
  const { n } = matmulProblem(kernel.site);
  const last = Math.ceil((n as number) / PANEL_ROWS) - 1;
  return (panel, start, count, to) =>
    k.for({ end: block.columns }, (column) =>
      emit(k.min(k.add(k.mul(panel, block.columns), column), last), column, start, count, to),
    );
}

function blockDecoder(kernel: GroupKernel, format: BlockFormat, blocking: AmxBlocking): Decoder {
  const { b, k: depth } = matmulProblem(kernel.site);
  const args = { encoding: format.name };
  const source: PanelSource = {
    format,
    layout: panelLayout(format, depth as number),
    lanes: PANEL_ROWS,
    panels: (dtype: DType): Buffer => kernel.packed("w", b, interleavePacker, args, dtype),
    lookup: tableLookup(kernel, format, PANEL_ROWS),
  };
  const steps = format.blockWeights / TILE_DEPTH;
  const target = { terms: blocking.terms, tiles: blocking.block.columns };
  return perTileColumn(kernel, blocking, (panel, column, start, count, to) =>
    decodeBlocks(kernel, source, panel, start / steps, count / steps, column, { ...target, to }),
  );
}

function floatDecoder(kernel: GroupKernel, blocking: AmxBlocking): Decoder {
  const { b, k: depth } = matmulProblem(kernel.site);
  const encoding = siteConstant(kernel.site, b)?.encoding?.name as string;
  const weights = kernel.packed("w", b, floatPanelPacker, { encoding }, FLOAT_ENCODINGS.get(encoding));
  const target = { terms: blocking.terms, tiles: blocking.block.columns };
  return perTileColumn(kernel, blocking, (panel, column, start, count, to) =>
    decodeFloats(kernel, weights, depth as number, panel, start, count, column, { ...target, to }),
  );
}

function unitLaunch(
  site: KernelSite,
  { precision, threads }: KernelEnvironment,
  piece: number,
  decoderOf: (kernel: GroupKernel, blocking: AmxBlocking) => Decoder,
): Launch {
  const { a, b, m, n, k: inner } = matmulProblem(site);
  const [depth, columns] = [inner as number, n as number];
  const y = site.anchor.outputs[0] as Value;
  const resultIsF32 = (site.node.outputs[0] as Value).type.dtype === "f32";
  const rows = typeof m === "number" ? m : DECODING_ROWS;
  const blocking = chooseAmxBlocking(termsOf(precision), rows, columns, depth, threads, resultIsF32, piece);
  const encoding = siteConstant(site, b)?.encoding?.name as string;
  const name = `matmul_amx_${encoding}_${precision}_m${printDim(m)}n${columns}k${depth}_r${blocking.rows}s${blocking.slabSteps}`;
  const kernel = new GroupKernel(name.replace(/[^\w]/g, "_"), site);
  const { k } = kernel;
  const x = kernel.input(a);
  const access = blocking.slabSteps < blocking.steps ? "readwrite" : "write";
  kernel.output(0, access);
  const place = (row: KValue, column: KValue): readonly KValue[] => [...unflattenRows(kernel, row, y), column];
  const source = {
    m,
    n: columns,
    k: depth,
    right: { kind: "decoded", decode: decoderOf(kernel, blocking) } as const,
    loadRow: (row: KValue, at: KValue, masks: readonly (KValue | undefined)[]): Row32 => {
      const from = k.add(k.mul(row, depth), at);
      return [
        k.load(x, from, { lanes: 16, mask: masks[0] }),
        k.load(x, k.add(from, 16), { lanes: 16, mask: masks[1] }),
      ];
    },
    partial: (row: KValue, column: KValue) => ({
      buffer: kernel.output(0, access),
      index: offsetOf(kernel, place(row, column), y),
    }),
    prefetch: (row: KValue, column: KValue) =>
      k.prefetch(kernel.output(0, access), offsetOf(kernel, place(row, column), y)),
    store: (row: KValue, column: KValue, value: KValue, mask: KValue | undefined) =>
      kernel.store(value, { index: place(row, column), lanes: 16, mask }),
  };
  const panelTasks = Math.ceil(Math.ceil(columns / panelColumns(blocking)) / blocking.panels);
  k.parallel(dimCeilDiv(m, blocking.rows), (rowTask) =>
    k.parallel(panelTasks, (panelTask) => {
      const task = (): void => emitAmxTask(k, source, blocking, rowTask, panelTask);
      if (typeof m === "number") task();
      else k.if(k.gt(k.index(m), FEW_ROWS), task);
    }),
  );
  return kernel.launch({
    decision: `${kernel.k.name}: ${encoding} weights decoded to bf16 tiles`,
    precision,
    flops: dimMul(m, 2 * columns * depth),
  });
}
