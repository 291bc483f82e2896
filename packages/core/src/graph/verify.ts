/**
 * Checks that a graph keeps the rules of the IR: run between passes, on parsed text, and on whatever a user built.
 * A broken rule is a defect of the pass which made the graph, hence an `InternalError` that names the pass and node.
 */

import { sameShape } from "../dim.ts";
import { InternalError, UserError } from "../errors.ts";
import { findOp } from "../ops/registry.ts";
import { type Graph, type Node, type Value, isGraph } from "./graph.ts";
import { printTensorType } from "./print.ts";
import { stateProblem } from "./state.ts";

/** Throws an `InternalError` for the first broken rule. `stage` says who made the graph. */
export function verifyGraph(graph: Graph, stage: string): void {
  const defined = new Set<Value>();
  const names = new Set<string>();
  let lastId = -1;
  for (const node of graph.nodes) {
    const fail = (what: string): never => {
      throw new InternalError(
        `${stage}: graph "${graph.name}", %${node.id} ${node.op}${node.name ? ` "${node.name}"` : ""}: ${what}`,
      );
    };
    if (node.id <= lastId) fail("nodes are not in order of their ids");
    lastId = node.id;
    for (const input of node.inputs)
      if (input !== undefined && !defined.has(input)) fail("reads a value that is not defined before it");
    verifyNode(node, fail);
    for (const attr of Object.values(node.attrs)) if (isGraph(attr)) verifyGraph(attr, stage);
    for (const output of node.outputs) defined.add(output);
  }
  const problem = stateProblem(graph);
  if (problem !== undefined) throw new InternalError(`${stage}: graph "${graph.name}": ${problem}`);
  for (const { name, value } of [...graph.inputs, ...graph.outputs]) {
    if (!defined.has(value))
      throw new InternalError(`${stage}: graph "${graph.name}": "${name}" is not computed by any node`);
  }
  for (const { name } of graph.inputs) {
    if (names.has(name)) throw new InternalError(`${stage}: graph "${graph.name}": two inputs are named "${name}"`);
    names.add(name);
  }
}

function verifyNode(node: Node, fail: (what: string) => never): void {
  const op = findOp(node.op);
  const required = op.inputs.filter((input) => !input.endsWith("?") && !input.endsWith("...")).length;
  const variadic = op.inputs.some((input) => input.endsWith("..."));
  if (node.inputs.length < required || (!variadic && node.inputs.length > op.inputs.length)) {
    fail(`has ${node.inputs.length} inputs, the op takes (${op.inputs.join(", ")})`);
  }
  if (node.op === "input") return;
  let fresh = 0;
  const context = { dims: () => undefined, freshDim: () => node.outputs[0]?.type.shape[fresh++] ?? 0 };
  let types;
  try {
    types = op.infer(
      node.inputs.map((input) => input?.type),
      node.attrs,
      context,
      node.inputs,
    );
  } catch (error) {
    if (error instanceof UserError) return fail(error.message);
    throw error;
  }
  if (types.length !== node.outputs.length) fail(`has ${node.outputs.length} outputs, inference gives ${types.length}`);
  node.outputs.forEach((output, i) => {
    const type = types[i];
    if (type === undefined || output.index !== i || output.node !== node) return fail("has a malformed output");
    const dataDependent = fresh > 0 || output.type.shape.some((dim) => String(dim).includes("$"));
    if (type.dtype !== output.type.dtype || (!dataDependent && !sameShape(type.shape, output.type.shape))) {
      fail(`is ${printTensorType(output.type)}, inference gives ${printTensorType(type)}`);
    }
  });
}
