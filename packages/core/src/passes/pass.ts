/**
 * What a pass is: a named function from graph to graph. Passes share nothing but the graph and the context.
 */

import type { Dim } from "../dim.ts";
import type { ConstantData, Graph, Node } from "../graph/graph.ts";

/** What passes need to know of the device they optimise for. */
export interface PassTarget {
  /** Ops that the device runs as they are; others are decomposed when their record can. */
  keeps(op: string): boolean;
  /** Memory layout of convolution and pooling activations that the kernels want. */
  readonly convLayout: "nchw" | "nhwc";
  /** True when the device has a kernel for this node that takes pointwise work on its result (an epilogue). */
  takesEpilogue(node: Node): boolean;
  /** True when the device has a kernel for this node that reads its operand `at` in the blocks of its encoding. Default: never. */
  readsBlocks?(node: Node, at: number, data: ConstantData): boolean;
}

export interface PassContext {
  readonly target: PassTarget;
  /** Known values of dimension symbols, replaced before anything else. */
  readonly bindings: Readonly<Record<string, Dim>>;
}

export interface Pass {
  readonly name: string;
  run(graph: Graph, context: PassContext): Graph;
}
