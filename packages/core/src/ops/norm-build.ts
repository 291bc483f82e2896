/**
 * Words for the decompositions of normalisations.
 */

import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, Value } from "../graph/graph.ts";
import { constantFromRef } from "./ref-convert.ts";

export function applyOne(
  b: GraphBuilder,
  op: string,
  inputs: readonly (Value | undefined)[],
  attrs: Attrs = {},
): Value {
  return b.apply(op, inputs, attrs)[0] as Value;
}

/** x + a number of its dtype. */
export function addNumber(b: GraphBuilder, x: Value, number: number): Value {
  const one = constantNumber(b, x, number);
  return applyOne(b, "add", [x, one]);
}

function constantNumber(b: GraphBuilder, like: Value, number: number): Value {
  return b.constant(constantFromRef({ dtype: like.type.dtype, shape: [], data: Float64Array.of(number) }));
}
