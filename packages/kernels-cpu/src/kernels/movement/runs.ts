/**
 * Copies of contiguous runs of elements, the inner loop of everything that moves data.
 *
 * Elements are moved as integers of their size, so one code path serves every dtype. Tails are vectors that overlap
 * the one before (or shorter vectors for short runs): no masks, which narrow elements lack on AVX2.
 */

import {
  type Buffer,
  type DType,
  type Dim,
  type KernelBuilder,
  type KValue,
  DTYPE_INFO,
  dimCeilDiv,
  dimMul,
} from "@quern/core";
import type { CpuTarget } from "../../host/cpu-target.ts";

/** The integer type as which elements of `dtype` are moved. */
export function movedAs(dtype: DType): DType {
  const types: Readonly<Record<number, DType>> = { 1: "u8", 2: "u16", 4: "u32", 8: "u64" };
  return types[DTYPE_INFO[dtype].bytes] as DType;
}

/** Elements of `dtype` in a vector register. */
export function lanesOf(target: CpuTarget, dtype: DType): number {
  return target.vectorBytes / DTYPE_INFO[dtype].bytes;
}

/** Product of sizes, 1 for none. */
export function sizeOf(shape: readonly Dim[]): Dim {
  return shape.reduce<Dim>((size, dim) => dimMul(size, dim), 1);
}

export interface Run {
  readonly from: Buffer;
  readonly fromAt: KValue;
  readonly to: Buffer;
  readonly toAt: KValue;
  /** Elements: known when the kernel is made, or an index value. */
  readonly count: number | KValue;
}

/** Straight code instead of a loop up to this many vectors. */
const STRAIGHT_VECTORS = 8;
const LOOP_UNROLL = 4;

/** Copies a run; source and target must not overlap. `lanes` is the widest vector. */
export function copyRun(k: KernelBuilder, run: Run, lanes: number): void {
  if (typeof run.count === "number") copyKnown(k, run, run.count, lanes);
  else copyCounted(k, run, run.count, lanes);
}

function move(k: KernelBuilder, { from, fromAt, to, toAt }: Run, at: KValue | number, lanes: number): void {
  k.store(to, k.add(toAt, at), k.load(from, k.add(fromAt, at), { lanes }));
}

function copyKnown(k: KernelBuilder, run: Run, count: number, lanes: number): void {
  const whole = Math.floor(count / lanes);
  if (whole === 0) return copyShort(k, run, count, lanes / 2);
  if (whole <= STRAIGHT_VECTORS) for (let v = 0; v < whole; v++) move(k, run, v * lanes, lanes);
  else k.for({ end: whole * lanes, step: lanes, unroll: LOOP_UNROLL }, (at) => move(k, run, at, lanes));
  if (whole * lanes < count) move(k, run, count - lanes, lanes);
}

/** Fewer than 2 · lanes elements: two vectors of the largest power of two that overlap. */
function copyShort(k: KernelBuilder, run: Run, count: number, lanes: number): void {
  if (count === 0) return;
  let width = lanes;
  while (width > count) width /= 2;
  move(k, run, 0, width);
  if (count > width) move(k, run, count - width, width);
}

function copyCounted(k: KernelBuilder, run: Run, count: KValue, lanes: number): void {
  const short = (width: number): void => {
    if (width < 1) return;
    k.if(
      k.ge(count, width),
      () => {
        move(k, run, 0, width);
        move(k, run, k.sub(count, width), width);
      },
      () => short(width / 2),
    );
  };
  k.if(
    k.ge(count, lanes),
    () => {
      const last = k.sub(count, lanes);
      k.for({ end: last, step: lanes, unroll: LOOP_UNROLL }, (at) => move(k, run, at, lanes));
      move(k, run, last, lanes);
    },
    () => short(lanes / 2),
  );
}

/** Elements that one task of a plain copy moves. */
const COPY_ELEMENTS = 16 << 10;

/** A whole tensor, in tasks, from element `start` of the source on. */
export function emitCopy(
  k: KernelBuilder,
  from: Buffer,
  to: Buffer,
  size: Dim,
  lanes: number,
  start: KValue = k.index(0),
): void {
  k.parallel(dimCeilDiv(size, COPY_ELEMENTS), (task) => {
    const at = k.mul(task, COPY_ELEMENTS);
    const count =
      typeof size === "number" && size <= COPY_ELEMENTS ? size : k.min(k.sub(k.index(size), at), COPY_ELEMENTS);
    copyRun(k, { from, fromAt: k.add(start, at), to, toAt: at, count }, lanes);
  });
}
