/**
 * Index arithmetic in the kernel language that the view rules share.
 */

import { type Dim, type Shape, dimMul, sameDim, shapeSize } from "../dim.ts";
import type { KernelBuilder } from "../kernel/builder.ts";
import type { KValue } from "../kernel/ir.ts";

/** Position in row-major order of `index` within `shape`. Axes of size 1 do not count. */
function linear(k: KernelBuilder, index: readonly KValue[], shape: Shape): KValue {
  let position = k.index(0);
  index.forEach((at, axis) => {
    const size = shape[axis] as Dim;
    if (size !== 1) position = k.add(k.mul(position, k.index(size)), at);
  });
  return position;
}

/** The index within `shape` of a row-major position. */
function unravel(k: KernelBuilder, position: KValue, shape: Shape): KValue[] {
  const first = shape.findIndex((size) => size !== 1);
  const index: KValue[] = [];
  let rest = position;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] as Dim;
    if (axis <= first || size === 1) {
      index.unshift(axis === first ? rest : k.index(0));
    } else {
      index.unshift(k.rem(rest, k.index(size)));
      rest = k.div(rest, k.index(size));
    }
  }
  return index;
}

/**
 * The index within `to` of the element at `index` within `from`, for shapes of equal size. Leading groups of axes with
 * equal size map among themselves, so that unchanged axes cost nothing and no division crosses them.
 */
export function reshapeIndex(k: KernelBuilder, index: readonly KValue[], from: Shape, to: Shape): KValue[] {
  const result: KValue[] = [];
  let i = 0;
  let j = 0;
  while (j < to.length) {
    let fromEnd = Math.min(i + 1, from.length);
    let toEnd = j + 1;
    let [a, b]: [Dim, Dim] = [shapeSize(from.slice(i, fromEnd)), shapeSize(to.slice(j, toEnd))];
    while (!sameDim(a, b) && (fromEnd < from.length || toEnd < to.length)) {
      // Grow the side that is behind; where symbols leave it open, grow both to the end.
      const growFrom = typeof a === "number" && typeof b === "number" ? a < b : fromEnd - i <= toEnd - j;
      if ((growFrom && fromEnd < from.length) || toEnd === to.length) a = dimMul(a, from[fromEnd++] as Dim);
      else b = dimMul(b, to[toEnd++] as Dim);
    }
    const position = linear(k, index.slice(i, fromEnd), from.slice(i, fromEnd));
    result.push(...unravel(k, position, to.slice(j, toEnd)));
    [i, j] = [fromEnd, toEnd];
  }
  return result;
}

/** Index along an input axis of a broadcast: 0 where the input has size 1, also when only the run shows it. */
export function broadcastIndex(k: KernelBuilder, index: KValue, own: Dim, target: Dim): KValue {
  if (own === 1 && target !== 1) return k.index(0);
  if (sameDim(own, target) || typeof own === "number") return index;
  return k.select(k.eq(k.index(own), 1), k.index(0), index);
}
