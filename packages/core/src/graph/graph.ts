/**
 * Graph IR: an immutable, typed, directed acyclic graph of tensor ops.
 *
 * A `Node` applies one op record to input values and has one or more output `Value`s. Nodes are created only by
 * `GraphBuilder`, which infers types through the op record and shares equal nodes (hash consing). Passes never
 * change a node; they rebuild through `rewriteGraph`. A sub-graph (of `if`, `loop`, `scan`, `group`) is an attribute
 * of its node and sees nothing but its own inputs.
 */

import type { DType } from "../dtype.ts";
import type { BlockType } from "../encoding/block.ts";
import type { Dim, Shape } from "../dim.ts";

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/**
 * Elements of a constant, on memory that may be a mapped file. Little-endian, row-major, never written.
 *
 * With an `encoding` the bytes are blocks of it along the last axis, and the elements, of dtype f32, are what they decode
 * to: the graph means the same, and kernels that know the encoding compute on the blocks.
 */
export interface ConstantData {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly encoding?: BlockType;
}

/** Attribute values. Optional attributes are absent rather than `undefined`. */
export type Attr = string | boolean | Dim | ConstantData | Graph | readonly Attr[];
export type Attrs = Readonly<Record<string, Attr>>;

/** One output of a node. */
export interface Value {
  readonly node: Node;
  readonly index: number;
  readonly type: TensorType;
}

export interface Node {
  /** Unique and increasing in the builder which made the node: a topological order. */
  readonly id: number;
  readonly op: string;
  /** Absent optional inputs are `undefined`. */
  readonly inputs: readonly (Value | undefined)[];
  readonly attrs: Attrs;
  readonly outputs: readonly Value[];
  /** Name in the source model, for reports and errors. Not part of a node's identity. */
  readonly name: string | undefined;
}

export interface NamedValue {
  readonly name: string;
  readonly value: Value;
}

export interface Graph {
  readonly name: string;
  /** Values of `input` nodes, in order. */
  readonly inputs: readonly NamedValue[];
  readonly outputs: readonly NamedValue[];
  /** Every node that an input or output needs, in topological order. */
  readonly nodes: readonly Node[];
}

export function isGraph(attr: Attr | undefined): attr is Graph {
  return typeof attr === "object" && "nodes" in attr;
}

export function isConstantData(attr: Attr | undefined): attr is ConstantData {
  return typeof attr === "object" && "bytes" in attr;
}

/** All nodes that `outputs` need, inputs of a node before the node, ordered by id. */
export function reachableNodes(outputs: readonly Value[], also: readonly Value[] = []): Node[] {
  const seen = new Set<Node>();
  const stack = [...outputs, ...also].map((value) => value.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) if (input !== undefined) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** True when a node of the graph, or of a sub-graph at any depth, satisfies `test`. */
export function someNode(graph: Graph, test: (node: Node) => boolean): boolean {
  for (const node of graph.nodes) {
    if (test(node)) return true;
    for (const key in node.attrs) {
      const attr = node.attrs[key];
      if (isGraph(attr) && someNode(attr, test)) return true;
    }
  }
  return false;
}

/** The nodes which read each value, and how often graph outputs name it. */
export function usesOf(graph: Graph): Map<Value, { readers: Node[]; outputs: number }> {
  const uses = new Map<Value, { readers: Node[]; outputs: number }>();
  const of = (value: Value): { readers: Node[]; outputs: number } => {
    let use = uses.get(value);
    if (use === undefined) uses.set(value, (use = { readers: [], outputs: 0 }));
    return use;
  };
  for (const node of graph.nodes)
    for (const input of node.inputs) if (input !== undefined) of(input).readers.push(node);
  for (const { value } of graph.outputs) of(value).outputs += 1;
  return uses;
}
