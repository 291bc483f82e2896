/** Loops that stay loops: the body becomes a sub-graph whose further inputs are the values taken from outside. */

import { type Graph, type Shape, type TensorType, type Value, dimEqual, symbol } from "@quern/core";
import { applyAll, reshape } from "../build.ts";
import { type Capture, capturedInputs, capturesOf } from "../capture.ts";
import { type Item, type OnnxNode, isValue } from "../node.ts";
import type { GraphProto } from "../proto/schema.ts";

/** Turns up to which loops are unrolled instead. */
export const MAX_UNROLL = 32;

/** A `loop` node over an ONNX loop body: iteration, condition, carried values. */
export function loopNode(
  n: OnnxNode,
  body: GraphProto,
  carried: readonly Item[],
  count: Value | undefined,
  condition: Value | undefined,
): readonly Value[] {
  const { b } = n;
  const initial = carried.map((item) => (isValue(item) ? item : n.unsupported(`a loop that carries a ${item.kind}`)));
  const captures = capturesOf(n, [body]);
  const types: TensorType[] = [
    { dtype: "i64", shape: [] },
    { dtype: "bool", shape: [] },
    ...initial.map((value) => value.type),
  ];
  const graph = stableBody(n, body, types, captures);
  const scalarOf = (value: Value | undefined): Value | undefined =>
    value === undefined ? undefined : reshape(b, value, []);
  const captured = capturedInputs(n, captures);
  return applyAll(b, "loop", [scalarOf(count), scalarOf(condition), ...initial, ...captured], {
    body: graph,
    carried: initial.length,
    captured: captured.length,
  });
}

/** The body with input types that hold for every turn: sizes that change become symbols. */
function stableBody(n: OnnxNode, body: GraphProto, first: readonly TensorType[], captures: readonly Capture[]): Graph {
  let types = first;
  for (let attempt = 0; attempt < 4; attempt++) {
    const graph = n.subgraphs.build(body, types, captures);
    let changed = false;
    types = types.map((type, i) => {
      const next = i < 2 ? type : graph.outputs[i - 1]?.value.type;
      if (next === undefined) return n.fail("the body has fewer outputs than carried values");
      if (next.shape.length !== type.shape.length)
        return n.unsupported("a carried value that changes its number of axes");
      const shape: Shape = type.shape.map((dim, axis) =>
        dimEqual(dim, next.shape[axis] ?? dim) === true ? dim : changing(i, axis),
      );
      if (shape.some((dim, axis) => dimEqual(dim, type.shape[axis] ?? dim) !== true)) changed = true;
      return { dtype: type.dtype, shape };
    });
    if (!changed) return graph;
  }
  return n.unsupported("sizes of carried values do not settle");
}

function changing(input: number, axis: number): ReturnType<typeof symbol> {
  return symbol(`carried${input}_${axis}`);
}
