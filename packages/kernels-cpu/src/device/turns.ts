/**
 * Slices of tensors along an axis, copied out and in: what one turn of a loop takes and gives.
 */

import { ARRAY_OF, DTYPE_INFO, Tensor, UserError, elementCount } from "@quern/core";

/** A copy of the slice at `index` of an axis, without that axis. */
export function takeSlice(tensor: Tensor, axis: number, index: number): Tensor {
  const { dtype, shape } = tensor;
  const rest = shape.toSpliced(axis, 1);
  const slice = new Tensor(dtype, rest, new ARRAY_OF[dtype](elementCount(rest)));
  const [from, to] = [tensor.bytes(), slice.bytes()];
  const { runs, runBytes, stride } = runsOf(tensor, axis);
  for (let run = 0; run < runs; run++) {
    const start = run * stride + index * runBytes;
    to.set(from.subarray(start, start + runBytes), run * runBytes);
  }
  return slice;
}

/** Writes a slice to its place at `index` of an axis. Throws a `UserError` when it has another shape. */
export function putSlice(tensor: Tensor, axis: number, index: number, slice: Tensor): void {
  const rest = tensor.shape.toSpliced(axis, 1);
  if (slice.shape.length !== rest.length || slice.shape.some((size, at) => size !== rest[at]))
    throw new UserError(`loop: turn ${index} gives [${slice.shape.join(", ")}] where [${rest.join(", ")}] is stacked`);
  const [from, to] = [slice.bytes(), tensor.bytes()];
  const { runs, runBytes, stride } = runsOf(tensor, axis);
  for (let run = 0; run < runs; run++) {
    to.set(from.subarray(run * runBytes, (run + 1) * runBytes), run * stride + index * runBytes);
  }
}

/** A slice is contiguous in runs, one per position of the axes in front. */
function runsOf({ dtype, shape }: Tensor, axis: number): { runs: number; runBytes: number; stride: number } {
  const runBytes = elementCount(shape.slice(axis + 1)) * DTYPE_INFO[dtype].bytes;
  return { runs: elementCount(shape.slice(0, axis)), runBytes, stride: runBytes * (shape[axis] as number) };
}
