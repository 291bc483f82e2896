/** Shapes that are known at run time only. */

import type { Value } from "@quern/core";
import type { OnnxNode } from "../node.ts";

/** Most axes that a shape computed at run time may have. */
const MAX_AXES = 64;

/** A shape that is known at run time only; its number of axes must be known and sensible. */
export function shapeArgument(n: OnnxNode, index: number): Value {
  const value = n.input(index);
  const axes = value.type.shape[0];
  if (value.type.shape.length !== 1 || typeof axes !== "number") return n.unsupported("a shape of unknown length");
  return axes <= MAX_AXES ? value : n.fail(`a shape of ${axes} axes`);
}
