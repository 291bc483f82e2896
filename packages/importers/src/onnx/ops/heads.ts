/** Steps that attention ops of all domains share: heads apart and together, rotary positions. */

import { type Dim, type Value, dimFloorDiv } from "@quern/core";
import { add, concat, mul, reshape, sliceAxis, sub, transpose, unsqueeze } from "../build.ts";
import type { OnnxNode } from "../node.ts";

/** [b, s, h * d] as [b, h, s, d]; a tensor of 4 axes stays. */
export function splitHeads(n: OnnxNode, x: Value, heads: number): Value {
  if (x.type.shape.length === 4) return x;
  if (x.type.shape.length !== 3) return n.fail("query, key and value need 3 or 4 axes");
  if (heads < 1) return n.fail(`${heads} heads`);
  const [batch, length, width] = x.type.shape as [Dim, Dim, Dim];
  return transpose(n.b, reshape(n.b, x, [batch, length, heads, dimFloorDiv(width, heads)]), [0, 2, 1, 3]);
}

/** [b, h, s, d] as [b, s, h * d]. */
export function joinHeads(n: OnnxNode, x: Value): Value {
  const [batch, heads, length, width] = x.type.shape as [Dim, Dim, Dim, Dim];
  return reshape(n.b, transpose(n.b, x, [0, 2, 1, 3]), [
    batch,
    length,
    typeof heads === "number" && typeof width === "number" ? heads * width : n.unsupported("heads must be fixed"),
  ]);
}

/** Rotates pairs of features by angles that grow with the position. */
export function rotate(n: OnnxNode, x: Value, cos: Value, sin: Value, interleaved: boolean, rotary: number): Value {
  const { b } = n;
  // x is [b, s, h, d]; cos and sin are [b or 1, s, 1, rotary / 2].
  const width = x.type.shape[3];
  if (typeof width !== "number" || rotary > width || rotary % 2 !== 0)
    return n.fail(`cannot rotate ${rotary} of ${String(width)} features`);
  const half = rotary / 2;
  const part = sliceAxis(b, x, 3, 0, rotary);
  const first = interleaved ? sliceAxis(b, part, 3, 0, half, 2) : sliceAxis(b, part, 3, 0, half);
  const second = interleaved ? sliceAxis(b, part, 3, 1, half, 2) : sliceAxis(b, part, 3, half, half);
  const real = sub(b, mul(b, cos, first), mul(b, sin, second));
  const imaginary = add(b, mul(b, sin, first), mul(b, cos, second));
  const turned = interleaved
    ? reshape(b, concat(b, [unsqueeze(b, real, [4]), unsqueeze(b, imaginary, [4])], 4), part.type.shape)
    : concat(b, [real, imaginary], 3);
  return rotary === width ? turned : concat(b, [turned, sliceAxis(b, x, 3, rotary, width - rotary)], 3);
}
