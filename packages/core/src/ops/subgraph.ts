/**
 * Rules that ops with sub-graphs share.
 */

import { dimEqual } from "../dim.ts";
import type { Graph } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { type Types, given, reject } from "./check.ts";

/** The inputs of `body` must have the dtypes and ranks, and where known the sizes, of what the node gets. */
export function checkBodyInputs(op: string, body: Graph, types: Types): void {
  if (types.length !== body.inputs.length)
    reject(op, `graph "${body.name}" takes ${body.inputs.length} inputs, got ${types.length}`);
  body.inputs.forEach(({ name, value }, i) => {
    const type = given(op, types, i, name);
    const { dtype, shape } = value.type;
    const fits =
      type.dtype === dtype &&
      type.shape.length === shape.length &&
      shape.every((dim, axis) => dimEqual(dim, type.shape[axis] ?? 0) !== false);
    if (!fits)
      reject(
        op,
        `input "${name}" of graph "${body.name}" is ${printTensorType(value.type)}, got ${printTensorType(type)}`,
      );
  });
}
