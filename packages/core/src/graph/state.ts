/**
 * State: inputs of a graph that a node writes in place (`Op.updates`), so that a run changes the caller's tensor.
 *
 * What keeps this sound: state is an input of the outermost graph, one node alone reads it, and no output shows it.
 * Nodes that update state are never shared, folded, fused or left out.
 */

import { findOp } from "../ops/registry.ts";
import { type Graph, type Node, type Value, isGraph, someNode, usesOf } from "./graph.ts";

/** The inputs that a node writes in place, absent ones left out. */
export function updatedInputs(node: Node): Value[] {
  const { updates = [] } = findOp(node.op);
  return updates.map((at) => node.inputs[at]).filter((value) => value !== undefined);
}

export function updatesState(node: Node): boolean {
  return findOp(node.op).updates !== undefined;
}

/** The inputs of the graph that its runs write. */
export function stateOf(graph: Graph): ReadonlySet<Value> {
  const state = new Set<Value>();
  for (const node of graph.nodes) for (const value of updatedInputs(node)) state.add(value);
  return state;
}

/** Which rule of state a graph breaks, and at which node. */
export function stateProblem(graph: Graph): string | undefined {
  let uses: ReturnType<typeof usesOf> | undefined;
  for (const node of graph.nodes) {
    const where = node.name === undefined ? node.op : `${node.op} "${node.name}"`;
    for (const attr of Object.values(node.attrs)) {
      if (isGraph(attr) && someNode(attr, updatesState))
        return `${where}: its graph "${attr.name}" updates state, which only the outermost graph may`;
    }
    for (const value of updatedInputs(node)) {
      if (value.node.op !== "input")
        return `${where} updates the result of ${value.node.op}; state must be an input of the graph`;
      const name = `input "${value.node.attrs["name"] as string}"`;
      const use = (uses ??= usesOf(graph)).get(value);
      if (use !== undefined && use.readers.length > 1) return `${where} updates ${name}, which is read more than once`;
      if (use !== undefined && use.outputs > 0) return `${where} updates ${name}, which is an output as well`;
    }
  }
  return undefined;
}
