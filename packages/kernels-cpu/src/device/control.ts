/**
 * Control flow between native segments: runs the branches of `if` as programs of their own. Loops are left to the
 * reference implementation.
 */

import { type Executable, type Graph, type Node, type Tensor, type Tensors, isGraph } from "@quern/core";

/** Results of a control-flow node, or `undefined` for other nodes and forms. */
export function runControl(
  node: Node,
  inputs: readonly Tensor[],
  compile: (graph: Graph) => Executable,
): Tensor[] | undefined {
  if (node.op !== "if") return undefined;
  const [condition, ...captured] = inputs;
  const taken = (condition?.data[0] ?? 0) !== 0;
  const branch = node.attrs[taken ? "then" : "else"];
  if (!isGraph(branch)) return undefined;
  return runGraph(compile(branch), branch, captured);
}

function runGraph(executable: Executable, graph: Graph, inputs: readonly Tensor[]): Tensor[] {
  const named: Record<string, Tensor> = {};
  graph.inputs.forEach(({ name }, i) => (named[name] = inputs[i] as Tensor));
  const outputs = executable.runSync(named as Tensors);
  return graph.outputs.map(({ name }) => outputs[name] as Tensor);
}
