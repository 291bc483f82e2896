/** Values that a sub-graph takes from the graph around it: constants are repeated inside, the rest become inputs. */

import { type GraphBuilder, type Value, UnsupportedError } from "@quern/core";
import { constant } from "./build.ts";
import { type Item, type OnnxNode, isValue, storedConstant } from "./node.ts";
import type { GraphProto } from "./proto/schema.ts";

export interface Capture {
  readonly name: string;
  readonly value: Item;
}

/** What the sub-graphs of a node take from outside, each name once. */
export function capturesOf(n: OnnxNode, graphs: readonly GraphProto[]): Capture[] {
  const names = new Set(graphs.flatMap((graph) => n.subgraphs.freeNames(graph)));
  return [...names].map((name) => ({ name, value: n.subgraphs.lookup(name) }));
}

/** The captured values that the op passes to its sub-graphs as inputs. */
export function capturedInputs(n: OnnxNode, captures: readonly Capture[]): Value[] {
  return captures
    .map(({ value }) => value)
    .filter(isValue)
    .filter((value) => repeated(n.b, value) === undefined);
}

/** The stand-in for `item` in a sub-graph that is built by `inner`. */
export function capture(inner: GraphBuilder, outer: GraphBuilder, name: string, item: Item, where: string): Item {
  if (!isValue(item))
    throw new UnsupportedError({ op: `${item.kind} used in a sub-graph`, where, reason: "sub-graphs take tensors" });
  const repeat = repeated(outer, item);
  return repeat === undefined ? inner.input(name, item.type.dtype, item.type.shape) : repeat(inner);
}

/** How to make the same constant in another builder, if `value` is one. */
function repeated(outer: GraphBuilder, value: Value): ((inner: GraphBuilder) => Value) | undefined {
  const stored = storedConstant(value);
  if (stored !== undefined) return (inner) => inner.constant(stored);
  const dims = value.type.dtype === "i64" ? outer.dims(value) : undefined;
  if (dims === undefined || !dims.every((dim) => typeof dim === "number")) return undefined;
  return (inner) => constant(inner, "i64", dims as readonly number[], value.type.shape as readonly number[]);
}
