/**
 * concat: rows of every input, one behind the other. Everything before the axis is rows, the rest is one run.
 */

import {
  type Dim,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
  DTYPE_INFO,
  dimAdd,
  dimCeilDiv,
} from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { copyRun, lanesOf, movedAs, sizeOf } from "./runs.ts";

/** Inputs of one launch: general registers hold their addresses. */
const MAX_INPUTS = 8;
/** Bytes that one task moves at least. */
const TASK_BYTES = 64 << 10;
/** Size that stands for a symbol. */
const TYPICAL = 64;

export const concatRuns: CpuKernel = {
  name: "concat",
  ops: ["concat"],
  epilogue: false,
  when: () => true,
  cost(site, { threads }) {
    return (typical(sizeOf((site.anchor.outputs[0] as Value).type.shape)) * 4) / 10 / threads + 200;
  },
  lower,
};

function typical(size: Dim): number {
  return typeof size === "number" ? size : TYPICAL * TYPICAL;
}

interface Part {
  readonly input: Value;
  /** Elements of one row of this input. */
  readonly width: Dim;
  /** Where its rows start within a row of the result. */
  readonly start: Dim;
}

function lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[] {
  const { anchor } = site;
  const y = anchor.outputs[0] as Value;
  const rank = y.type.shape.length;
  const axis = ((anchor.attrs["axis"] as number) + rank) % rank;
  const parts: Part[] = [];
  let start: Dim = 0;
  for (const input of anchor.inputs as readonly Value[]) {
    const width = sizeOf(input.type.shape.slice(axis));
    if (width !== 0) parts.push({ input, width, start });
    start = dimAdd(start, width);
  }
  const launches: Launch[] = [];
  for (let first = 0; first < parts.length; first += MAX_INPUTS) {
    launches.push(
      launchOf(site, parts.slice(first, first + MAX_INPUTS), sizeOf(y.type.shape.slice(0, axis)), start, environment),
    );
  }
  return launches;
}

function launchOf(
  site: KernelSite,
  parts: readonly Part[],
  rows: Dim,
  rowWidth: Dim,
  { target, threads }: KernelEnvironment,
): Launch {
  const { dtype } = (site.anchor.outputs[0] as Value).type;
  const moved = movedAs(dtype);
  const lanes = lanesOf(target, dtype);
  const kernel = new GroupKernel(`concat_${dtype}_${parts.length}`, site);
  const { k } = kernel;
  const rowBytes = typical(rowWidth) * DTYPE_INFO[dtype].bytes;
  const rowsPerTask = Math.max(1, Math.ceil(TASK_BYTES / rowBytes));
  // Few long rows are split along their length instead.
  const pieces = typical(rows) < 2 * threads ? Math.max(1, Math.min(4 * threads, Math.ceil(rowBytes / TASK_BYTES))) : 1;
  const to = kernel.output(0, "write", moved);
  const sources = parts.map(({ input }) => kernel.input(input, moved));
  const copy = (row: KValue, piece: KValue): void => {
    parts.forEach(({ width, start }, i) => {
      const [fromRow, toRow] = [k.mul(row, k.index(width)), k.add(k.mul(row, k.index(rowWidth)), k.index(start))];
      const from = sources[i] as (typeof sources)[0];
      if (pieces === 1)
        return copyRun(
          k,
          { from, fromAt: fromRow, to, toAt: toRow, count: typeof width === "number" ? width : k.index(width) },
          lanes,
        );
      const size = k.mul(k.index(dimCeilDiv(dimCeilDiv(width, pieces), lanes)), lanes);
      const at = k.mul(piece, size);
      const count = k.max(k.min(k.sub(k.index(width), at), size), 0);
      copyRun(k, { from, fromAt: k.add(fromRow, at), to, toAt: k.add(toRow, at), count }, lanes);
    });
  };
  k.parallel(dimCeilDiv(rows, rowsPerTask), (task) =>
    k.parallel(pieces, (piece) => {
      const first = k.mul(task, rowsPerTask);
      if (rowsPerTask === 1) return copy(first, piece);
      k.for({ start: first, end: k.min(k.add(first, rowsPerTask), k.index(rows)) }, (row) => copy(row, piece));
    }),
  );
  return kernel.launch({ decision: `concat of ${parts.length} inputs` });
}
