/**
 * Channels-last f32 convolution by register tiles: pixels of one output row × output channels, without im2col.
 *
 * A window's taps along a row are contiguous in memory (kernelWidth · channels elements, dilation 1), and the next
 * pixel's start strideX · channels elements further on, so the "A matrix" of a row of pixels is a plain strided read.
 * Padded inputs are first copied, rows of one task at a time, to scratch with zeros around them; the copy stays in the
 * second-level cache. Weights are packed as panels [channels out / columns][taps · channels in][columns].
 */

import {
  type Buffer,
  type ConstantData,
  GroupKernel,
  type KernelBuilder,
  type KernelSite,
  type KValue,
  type Launch,
  type Packer,
  type TileShape,
  type Value,
  tileColumnMasks,
  dimMul,
  newAccumulators,
  siteConstant,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { addProducts } from "../gemm/microkernel.ts";
import { floatsOf } from "../gemm/pack.ts";
import { chooseTile } from "../gemm/tile-shape.ts";
import { type ConvGeometry, convGeometry, convMultiplyAdds, outputPlace } from "./geometry.ts";

/** Elements of padded input rows that a task keeps in scratch. */
const SCRATCH_ELEMENTS = 48 << 10;

export const convTiles: CpuKernel = {
  name: "conv_f32",
  ops: ["conv"],
  when(site) {
    const geometry = convGeometry(site);
    if (typeof geometry === "string") return geometry;
    if (siteConstant(site, site.anchor.inputs[1]) === undefined) return "the weights are not constant";
    return true;
  },
  cost(site, { threads, target }) {
    const g = convGeometry(site) as ConvGeometry;
    const perGroup = g.outChannels / g.groups;
    const lanes = target.vectorBytes / 4;
    const padded = (Math.ceil(perGroup / lanes) * lanes) / perGroup;
    return (convMultiplyAdds(g) * padded) / 40 / threads + 500;
  },
  lower,
};

function lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[] {
  const g = convGeometry(site) as ConvGeometry;
  const [x, , bias] = site.anchor.inputs as [Value, Value, Value | undefined];
  const pointwise = isPointwiseConv(g);
  // Without padding and taps the whole image is one row of pixels.
  const shape = pointwise
    ? { ...g, outWidth: g.outHeight * g.outWidth, width: g.height * g.width, outHeight: 1, height: 1 }
    : g;
  const perGroup = g.outChannels / g.groups;
  const tile = chooseTile(
    environment.target,
    Math.min(shape.outWidth, 4096),
    perGroup,
    (g.channels / g.groups) * g.kernelHeight * g.kernelWidth,
  );
  const name = `conv_f32_${g.kernelHeight}x${g.kernelWidth}_c${g.channels}o${g.outChannels}g${g.groups}_${g.outHeight}x${g.outWidth}_t${tile.rows}x${tile.columns}`;
  const kernel = new GroupKernel(name, site);
  const plan = planTasks(shape, g, environment.threads, tile);
  const context: ConvContext = {
    g: shape,
    tile,
    plan,
    kernel,
    x: kernel.input(x),
    panels: kernel.packed("w", site.anchor.inputs[1] as Value, convWeightPacker, convWeightArgs(g, tile.columns)),
    bias: bias === undefined ? undefined : kernel.input(bias),
    merged: pointwise,
    outWidth: g.outWidth,
    rank: (site.anchor.outputs[0] as Value).type.shape.length,
  };
  const { k } = kernel;
  k.parallel(g.n, (n) =>
    k.parallel(plan.rowTasks, (rowTask) =>
      k.parallel(plan.columnTasks, (columnTask) => emitTask(context, n, rowTask, columnTask)),
    ),
  );
  return [kernel.launch({ decision: name, flops: dimMul(g.n, 2 * convMultiplyAdds(g)) })];
}

function isPointwiseConv(g: ConvGeometry): boolean {
  return (
    g.kernelHeight === 1 &&
    g.kernelWidth === 1 &&
    g.strideX === 1 &&
    g.strideY === 1 &&
    g.padTop === 0 &&
    g.padLeft === 0 &&
    g.outHeight === g.height &&
    g.outWidth === g.width
  );
}

interface TaskPlan {
  /** Output rows per task, and tasks along the rows. */
  readonly rows: number;
  readonly rowTasks: number;
  /** Pixels per task along a row (a multiple of the tile's rows), and tasks along it. */
  readonly columns: number;
  readonly columnTasks: number;
  /** Whether input rows are copied to scratch with padding. */
  readonly copies: boolean;
}

function planTasks(shape: ConvGeometry, g: ConvGeometry, threads: number, tile: TileShape): TaskPlan {
  const needsPadding =
    g.padTop > 0 ||
    g.padLeft > 0 ||
    g.reachX > g.width + g.padLeft ||
    (g.outHeight - 1) * g.strideY + (g.kernelHeight - 1) * g.dilationY + 1 > g.height + g.padTop;
  // A partial tile reads pixels beyond the row: harmless in scratch, not in a tensor.
  const copies = needsPadding || shape.outWidth % tile.rows !== 0;
  if (shape.outHeight === 1) {
    const tiles = Math.ceil(shape.outWidth / tile.rows);
    const wanted = Math.min(
      tiles,
      Math.max(threads === 1 ? 1 : 4 * threads, Math.ceil((shape.outWidth * shape.channels) / SCRATCH_ELEMENTS)),
    );
    const columns = Math.ceil(tiles / wanted) * tile.rows;
    return { rows: 1, rowTasks: 1, columns, columnTasks: Math.ceil(shape.outWidth / columns), copies };
  }
  const perRow = shape.reachX * shape.channels * shape.strideY;
  const fits = Math.max(1, Math.floor(SCRATCH_ELEMENTS / perRow) - shape.kernelHeight + 1);
  const shares = threads === 1 ? 1 : 2 * threads;
  const rows = Math.max(1, Math.min(fits, Math.ceil(shape.outHeight / shares)));
  return { rows, rowTasks: Math.ceil(shape.outHeight / rows), columns: shape.outWidth, columnTasks: 1, copies };
}

interface ConvContext {
  readonly g: ConvGeometry;
  readonly tile: TileShape;
  readonly plan: TaskPlan;
  readonly kernel: GroupKernel;
  readonly x: Buffer;
  readonly panels: Buffer;
  readonly bias: Buffer | undefined;
  /** The image's rows are merged into one. */
  readonly merged: boolean;
  readonly outWidth: number;
  readonly rank: number;
}

/** Where the windows of a task start: element offset of the window of row `row`, pixel 0 of the task. */
interface Source {
  readonly buffer: Buffer;
  at(row: KValue): KValue;
  readonly rowStride: number;
}

function emitTask(c: ConvContext, n: KValue, rowTask: KValue, columnTask: KValue): void {
  const { g, plan, tile, kernel } = c;
  const { k } = kernel;
  const firstRow = k.mul(rowTask, plan.rows);
  const firstColumn = k.mul(columnTask, plan.columns);
  const rows = g.outHeight % plan.rows === 0 ? k.index(plan.rows) : k.min(k.sub(g.outHeight, firstRow), plan.rows);
  const columns =
    g.outWidth % plan.columns === 0 ? k.index(plan.columns) : k.min(k.sub(g.outWidth, firstColumn), plan.columns);
  const source = plan.copies
    ? copyInput(c, n, firstRow, rows, firstColumn, columns)
    : directInput(c, n, firstRow, firstColumn);
  const perGroup = g.outChannels / g.groups;
  const inGroup = g.channels / g.groups;
  const panelsPerGroup = Math.ceil(perGroup / tile.columns);
  const panelElements = g.kernelHeight * g.kernelWidth * inGroup * tile.columns;
  const tiles = k.div(k.add(columns, tile.rows - 1), tile.rows);
  k.for({ end: g.groups }, (group) =>
    k.for({ end: panelsPerGroup }, (panel) => {
      const weightsAt = k.mul(k.add(k.mul(group, panelsPerGroup), panel), panelElements);
      const channel = k.mul(panel, tile.columns);
      k.for({ end: rows }, (row) =>
        k.for({ end: tiles }, (tileAt) => {
          const pixel = k.mul(tileAt, tile.rows);
          const acc = newAccumulators(k, tile);
          const start = k.add(k.add(source.at(row), k.mul(pixel, g.strideX * g.channels)), k.mul(group, inGroup));
          addTaps(c, acc, source, start, weightsAt, inGroup);
          storeTile(c, acc, {
            n,
            row: k.add(firstRow, row),
            column: k.add(firstColumn, pixel),
            group,
            channel,
            perGroup,
          });
        }),
      );
    }),
  );
}

function addTaps(
  c: ConvContext,
  acc: ReturnType<typeof newAccumulators>,
  source: Source,
  start: KValue,
  weightsAt: KValue,
  inGroup: number,
): void {
  const { g, tile, kernel } = c;
  const { k } = kernel;
  const aStride = g.strideX * g.channels;
  const contiguous = g.dilationX === 1 && g.groups === 1;
  const runs = contiguous ? 1 : g.kernelWidth;
  const length = contiguous ? g.kernelWidth * g.channels : inGroup;
  const tap = (ky: KValue, kx: KValue): void => {
    const a = k.add(start, k.add(k.mul(ky, g.dilationY * source.rowStride), k.mul(kx, g.dilationX * g.channels)));
    const b = k.add(
      weightsAt,
      k.mul(k.add(k.mul(ky, g.kernelWidth), k.mul(kx, contiguous ? g.kernelWidth : 1)), inGroup * tile.columns),
    );
    addProducts(k, acc, tile, length, source.buffer, a, aStride, c.panels, b);
  };
  if (g.kernelHeight === 1 && runs === 1) return tap(k.index(0), k.index(0));
  if (runs === 1) return k.for({ end: g.kernelHeight }, (ky) => tap(ky, k.index(0)));
  k.for({ end: g.kernelHeight }, (ky) => k.for({ end: runs }, (kx) => tap(ky, kx)));
}

interface TilePlace {
  readonly n: KValue;
  readonly row: KValue;
  readonly column: KValue;
  readonly group: KValue;
  readonly channel: KValue;
  readonly perGroup: number;
}

function storeTile(c: ConvContext, acc: ReturnType<typeof newAccumulators>, place: TilePlace): void {
  const { g, tile, kernel, bias } = c;
  const { k } = kernel;
  const masks = tileColumnMasks(k, place.perGroup, tile, place.channel);
  const channels =
    acc[0]?.map((_, v) => k.add(k.add(k.mul(place.group, place.perGroup), place.channel), v * tile.lanes)) ?? [];
  const biases = channels.map((channel, v) => bias && k.load(bias, channel, { lanes: tile.lanes, mask: masks[v] }));
  acc.forEach((row, r) => {
    const column = k.add(place.column, r);
    const emit = (): void =>
      row.forEach((sum, v) => {
        const addend = biases[v];
        const value = addend === undefined ? k.read(sum) : k.add(k.read(sum), addend);
        const [y, x] = c.merged ? splitPixel(k, column, c.outWidth, c.kernel.site) : [place.row, column];
        kernel.store(value, {
          index: outputPlace(c.rank, place.n, y, x, channels[v] as KValue),
          lanes: tile.lanes,
          mask: masks[v],
        });
      });
    if (g.outWidth % tile.rows === 0 || r === 0) emit();
    else k.if(k.lt(column, g.outWidth), emit);
  });
}

/**
 * Row and column of a pixel of merged rows. The pair (0, pixel) addresses the same element wherever operands of the
 * epilogue are full or have no spatial extent, and saves the division.
 */
function splitPixel(k: KernelBuilder, pixel: KValue, width: number, site: KernelSite): [KValue, KValue] {
  return spatiallyUniform(site) ? [k.index(0), pixel] : [k.div(pixel, width), k.rem(pixel, width)];
}

/** Are all operands behind the anchor full, or the same for all pixels? */
export function spatiallyUniform(site: KernelSite): boolean {
  const full = (site.anchor.outputs[0] as Value).type.shape;
  return site.body.inputs.every(({ value }) => {
    const { shape } = value.type;
    if (site.anchor.inputs.includes(value)) return true;
    const spatial = shape.slice(-full.length + 1, -1);
    const same = shape.length === full.length && shape.every((dim, axis) => dim === full[axis]);
    return same || spatial.every((dim) => dim === 1);
  });
}

/** Windows directly on the input tensor: no padding anywhere, no partial tiles. */
function directInput(c: ConvContext, n: KValue, firstRow: KValue, firstColumn: KValue): Source {
  const { g, kernel, x } = c;
  const { k } = kernel;
  const rowStride = g.width * g.channels;
  const image = k.mul(n, g.height * rowStride);
  const column = k.mul(firstColumn, g.strideX * g.channels);
  return {
    buffer: x,
    rowStride,
    at: (row) => k.add(k.add(image, column), k.mul(k.add(firstRow, row), g.strideY * rowStride)),
  };
}

/** Copies the input rows of a task into scratch, zeros where windows reach beyond the image. */
function copyInput(
  c: ConvContext,
  n: KValue,
  firstRow: KValue,
  rows: KValue,
  firstColumn: KValue,
  columns: KValue,
): Source {
  const { g, plan, tile, kernel, x } = c;
  const { k } = kernel;
  const reachY = (plan.rows - 1) * g.strideY + (g.kernelHeight - 1) * g.dilationY + 1;
  // Partial tiles read on to a whole number of tiles.
  const wholePixels = Math.ceil(plan.columns / tile.rows) * tile.rows;
  const reachX = (wholePixels - 1) * g.strideX + (g.kernelWidth - 1) * g.dilationX + 1;
  const rowStride = reachX * g.channels;
  const scratch = k.scratch("rows", "f32", reachY * rowStride);
  const usedY = k.add(k.mul(k.sub(rows, 1), g.strideY), (g.kernelHeight - 1) * g.dilationY + 1);
  const usedX = k.add(k.mul(k.sub(columns, 1), g.strideX), (g.kernelWidth - 1) * g.dilationX + 1);
  // Columns of the scratch row that exist in the image: [left, right).
  const originX = k.sub(k.mul(firstColumn, g.strideX), g.padLeft);
  const left = k.max(k.sub(0, originX), 0);
  const right = k.max(k.min(k.sub(g.width, originX), usedX), left);
  k.for({ end: usedY }, (y) => {
    const inputRow = k.sub(k.add(k.mul(firstRow, g.strideY), y), g.padTop);
    const to = k.mul(y, rowStride);
    const inside = k.and(k.ge(inputRow, 0), k.lt(inputRow, g.height));
    k.if(
      inside,
      () => {
        const from = k.mul(k.add(k.mul(n, g.height), inputRow), g.width * g.channels);
        fill(k, scratch, to, k.index(0), k.mul(left, g.channels), tile.lanes);
        const source = k.add(from, k.mul(originX, g.channels));
        copy(k, x, source, scratch, to, k.mul(left, g.channels), k.mul(right, g.channels), tile.lanes);
        fill(k, scratch, to, k.mul(right, g.channels), k.index(rowStride), tile.lanes);
      },
      () => fill(k, scratch, to, k.index(0), k.index(rowStride), tile.lanes),
    );
  });
  return { buffer: scratch, rowStride, at: (row) => k.mul(row, g.strideY * rowStride) };
}

/** Elements start..end-1 behind `base` become zero, whole vectors and a masked rest. */
function fill(k: KernelBuilder, to: Buffer, base: KValue, start: KValue, end: KValue, lanes: number): void {
  runs(k, start, end, lanes, (at, mask) =>
    k.store(to, k.add(base, at), k.broadcast(k.const("f32", 0), lanes), { mask }),
  );
}

function copy(
  k: KernelBuilder,
  from: Buffer,
  fromBase: KValue,
  to: Buffer,
  toBase: KValue,
  start: KValue,
  end: KValue,
  lanes: number,
): void {
  runs(k, start, end, lanes, (at, mask) =>
    k.store(to, k.add(toBase, at), k.load(from, k.add(fromBase, at), { lanes, mask }), { mask }),
  );
}

function runs(
  k: KernelBuilder,
  start: KValue,
  end: KValue,
  lanes: number,
  body: (at: KValue, mask: KValue | undefined) => void,
): void {
  const whole = k.add(start, k.mul(k.div(k.sub(end, start), lanes), lanes));
  k.for({ start, end: whole, step: lanes }, (at) => body(at, undefined));
  k.if(k.lt(whole, end), () => body(whole, k.lt(k.iota(whole, lanes), k.broadcast(end, lanes))));
}

type ConvWeightArgs = {
  readonly outChannels: number;
  readonly groups: number;
  /** Channels in of a group. */
  readonly inGroup: number;
  readonly taps: number;
  readonly columns: number;
};

/** [group][panel][ky][kx][channel in][columns], zeros beyond the group's channels. */
export const convWeightPacker: Packer<ConvWeightArgs> = { name: "convWeights", pack: packConvWeights };

function convWeightArgs(g: ConvGeometry, columns: number): ConvWeightArgs {
  const { outChannels, groups } = g;
  return { outChannels, groups, inGroup: g.channels / groups, taps: g.kernelHeight * g.kernelWidth, columns };
}

function packConvWeights(
  data: ConstantData,
  { outChannels, groups, inGroup, taps, columns }: ConvWeightArgs,
): ConstantData {
  const source = floatsOf(data);
  const perGroup = outChannels / groups;
  const panels = Math.ceil(perGroup / columns);
  const packed = new Float32Array(groups * panels * taps * inGroup * columns);
  for (let out = 0; out < outChannels; out++) {
    const group = Math.floor(out / perGroup);
    const inside = out - group * perGroup;
    const panel = group * panels + Math.floor(inside / columns);
    const base = panel * taps * inGroup * columns + (inside % columns);
    const from = out * inGroup * taps;
    for (let channel = 0; channel < inGroup; channel++) {
      for (let tap = 0; tap < taps; tap++)
        packed[base + (tap * inGroup + channel) * columns] = source[from + channel * taps + tap] as number;
    }
  }
  return { dtype: "f32", shape: [packed.length], bytes: new Uint8Array(packed.buffer) };
}
