/**
 * The greatest of many numbers without sorting them all. Order everywhere: greater first, of equal ones the one with the
 * smaller index; so results do not depend on how they were found.
 */

import { InternalError } from "@quern/core";

/** Above this share of all elements a sort costs less than a heap. */
const HEAP_SHARE = 1 / 8;

/** The greatest of the first `size` values; −∞ when there is none. NaN is passed over. */
export function greatest(values: Float32Array, size: number = values.length): number {
  // Four chains of comparisons, which do not wait for each other.
  let a = -Infinity;
  let b = -Infinity;
  let c = -Infinity;
  let d = -Infinity;
  let i = 0;
  for (; i + 3 < size; i += 4) {
    if (values[i]! > a) a = values[i]!;
    if (values[i + 1]! > b) b = values[i + 1]!;
    if (values[i + 2]! > c) c = values[i + 2]!;
    if (values[i + 3]! > d) d = values[i + 3]!;
  }
  for (; i < size; i++) if (values[i]! > a) a = values[i]!;
  return Math.max(a, b, c, d);
}

/** Index of the greatest of the first `size` values; −1 when none is greater than −∞. */
export function indexOfLargest(values: Float32Array, size: number = values.length): number {
  const most = greatest(values, size);
  return most === -Infinity ? -1 : values.indexOf(most);
}

/** Indices of the `count` greatest of the first `size` values, in order. NaN must not occur. */
export function largest(values: Float32Array, size: number, count: number): Int32Array {
  if (count <= 0) return new Int32Array(0);
  return count > size * HEAP_SHARE ? sorted(values, size).subarray(0, count) : heapLargest(values, size, count);
}

/** Keeps the best in a heap whose root is the worst of them: one comparison for almost every element. */
function heapLargest(values: Float32Array, size: number, count: number): Int32Array {
  const heap = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count >> 1; i >= 0; i--) siftDown(values, heap, i);
  let worst = values[heap[0] as number] as number;
  for (let i = count; i < size; i++) {
    // An equal one has the greater index, and loses.
    if ((values[i] as number) <= worst) continue;
    heap[0] = i;
    siftDown(values, heap, 0);
    worst = values[heap[0] as number] as number;
  }
  return heap.sort((a, b) => (values[b] as number) - (values[a] as number) || a - b);
}

function siftDown(values: Float32Array, heap: Int32Array, from: number): void {
  const moved = heap[from] as number;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isWorse(values, heap[child + 1] as number, heap[child] as number)) child++;
    if (!isWorse(values, heap[child] as number, moved)) break;
    heap[at] = heap[child] as number;
    at = child;
  }
  heap[at] = moved;
}

function isWorse(values: Float32Array, a: number, b: number): boolean {
  const left = values[a] as number;
  const right = values[b] as number;
  return left < right || (left === right && a > b);
}

/** Bits of an index in a sort key. */
const INDEX = 2 ** 21;

/** All indices in order. Value and index are packed into one exact double, which engines sort without a callback. */
function sorted(values: Float32Array, size: number): Int32Array {
  if (size > INDEX) throw new InternalError(`sampling: a vocabulary of ${size} tokens is beyond 2^21`);
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  const keys = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const pattern = values[i] === 0 ? 0 : (bits[i] as number);
    const ascending = pattern < 0 ? ~pattern : pattern + 2 ** 31;
    keys[i] = i - ascending * INDEX;
  }
  keys.sort();
  const indices = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    const key = keys[i] as number;
    indices[i] = key - Math.floor(key / INDEX) * INDEX;
  }
  return indices;
}
