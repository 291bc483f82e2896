/**
 * Rotary position embedding as plain ops of the graph: x · cos + partner(x) · sin, where the partner of an element is the
 * other one of its pair, and sin has its sign. Angles depend on the token alone, so all layers and heads share them.
 */

import { UserError, type Var } from "@quern/core";
import { type Rope, ropeFrequencies } from "./rope-parameters.ts";

/** Turns `[T, heads, headDim]` by the position of each token. */
export type Rotate = (x: Var) => Var;

/** The rotation for tokens at `positions` (i32 `[T]`). `divisors`: one number per pair, see `ropeFrequencies`. */
export function rotation(positions: Var, rope: Rope, divisors?: ArrayLike<number>): Rotate {
  const { dims, magnitude } = rope;
  const frequencies = ropeFrequencies(rope, divisors);
  if (!frequencies.every((frequency) => Number.isFinite(Math.fround(frequency))))
    throw new UserError("rotary embedding: the frequencies are not finite", {
      hint: "the rope keys of the file, or its tensor of rope factors, are damaged",
    });
  const signed = new Float64Array(dims);
  frequencies.forEach((frequency, pair) => {
    const [first, second] = rope.pairs === "neighbours" ? [2 * pair, 2 * pair + 1] : [pair, pair + dims / 2];
    signed[first] = -frequency;
    signed[second] = frequency;
  });
  const { scope } = positions;
  const angles = positions.cast("f32").unsqueeze([1, 2]).mul(scope.constant("f32", signed));
  const [cos, sin] = [scaled(angles.cos(), magnitude), scaled(angles.sin(), magnitude)];
  return (x) => {
    const headDim = x.shape[2] as number;
    if (dims === headDim) return x.mul(cos).add(partner(x, rope).mul(sin));
    const turned = x.slice(2, 0, dims);
    return turned
      .mul(cos)
      .add(partner(turned, rope).mul(sin))
      .concat([x.slice(2, dims)], 2);
  };
}

function scaled(x: Var, factor: number): Var {
  return factor === 1 ? x : x.mul(factor);
}

/** Every element replaced by the other one of its pair: an axis of two, reversed. */
function partner(x: Var, { pairs, dims }: Rope): Var {
  const [tokens, heads] = x.shape as [Var["shape"][number], number];
  const [split, axis] = pairs === "neighbours" ? [[dims / 2, 2], 3] : [[2, dims / 2], 2];
  return x
    .reshape([tokens, heads, ...split])
    .slice(axis, -1, -Infinity, -1)
    .reshape(x.shape);
}
