/**
 * Names and order: what each node needs, which nodes the outputs need, and in which order they can be imported.
 *
 * ONNX asks for a topological order but files break it; any order is taken. Names that are produced twice or nowhere,
 * and cycles, are `UserError`s. Sub-graphs see the names around them, so a node also depends on the free names of its
 * sub-graphs.
 */

import { UserError } from "@quern/core";
import type { GraphProto, NodeProto } from "./proto/schema.ts";

const freeNamesOf = new WeakMap<GraphProto, readonly string[]>();

/** Names that `graph` uses and does not define, in order of first use. */
export function freeNames(graph: GraphProto): readonly string[] {
  let names = freeNamesOf.get(graph);
  if (names === undefined) freeNamesOf.set(graph, (names = findFreeNames(graph)));
  return names;
}

function findFreeNames(graph: GraphProto): readonly string[] {
  const own = new Set<string>([""]);
  for (const { name } of graph.input) own.add(name);
  for (const { name } of graph.initializer) own.add(name);
  for (const sparse of graph.sparseInitializer) own.add(sparse.values?.name ?? "");
  for (const node of graph.node) for (const name of node.output) own.add(name);
  const free = new Set<string>();
  const use = (name: string): void => {
    if (!own.has(name)) free.add(name);
  };
  for (const node of graph.node) namesRead(node).forEach(use);
  for (const { name } of graph.output) use(name);
  return [...free];
}

const NO_GRAPHS: readonly GraphProto[] = [];

/** Sub-graphs among the attributes of a node. */
export function subgraphsOf(node: NodeProto): readonly GraphProto[] {
  if (!node.attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0)) return NO_GRAPHS;
  return node.attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

function namesRead(node: NodeProto): string[] {
  return [...node.input, ...subgraphsOf(node).flatMap(freeNames)].filter((name) => name !== "");
}

/** How errors and reports call a node. */
export function describeNode(node: NodeProto): string {
  const name = node.name === "" ? (node.output.find((output) => output !== "") ?? "") : node.name;
  return `${node.opType} "${name}"`;
}

/**
 * The nodes that `outputs` need, producers first, otherwise in file order.
 * `defined` says whether a name comes from outside the list: inputs, initialisers, enclosing graphs.
 */
export function orderNodes(
  nodes: readonly NodeProto[],
  outputs: readonly string[],
  defined: (name: string) => boolean,
  where: string,
): NodeProto[] {
  const producer = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of node.output) {
      if (name === "") continue;
      if (producer.has(name) || defined(name)) {
        throw new UserError(`value "${name}" is produced twice`, {
          where: `${describeNode(node)}, ${where}`,
          hint: "every name has one producer",
        });
      }
      producer.set(name, i);
    }
  });
  const needs = nodes.map((node) => dependencies(node, producer, defined, where));
  for (const name of outputs) {
    if (!producer.has(name) && !defined(name)) throw new UserError(`output "${name}" is produced nowhere`, { where });
  }
  const order = sort(nodes, needs, where);
  const live = new Set<number>();
  for (const name of outputs) {
    const i = producer.get(name);
    if (i !== undefined) live.add(i);
  }
  for (const i of order.toReversed()) if (live.has(i)) for (const need of needs[i] as readonly number[]) live.add(need);
  return order.filter((i) => live.has(i)).map((i) => nodes[i] as NodeProto);
}

function dependencies(
  node: NodeProto,
  producer: ReadonlyMap<string, number>,
  defined: (name: string) => boolean,
  where: string,
): number[] {
  const needs = new Set<number>();
  for (const name of namesRead(node)) {
    const i = producer.get(name);
    if (i !== undefined) needs.add(i);
    else if (!defined(name)) {
      throw new UserError(`value "${name}" is produced nowhere`, {
        where: `${describeNode(node)}, ${where}`,
        hint: "it is no graph input, no initializer and no output of a node",
      });
    }
  }
  return [...needs];
}

/** Depth-first order of all nodes, without recursion. Throws for cycles. */
function sort(nodes: readonly NodeProto[], needs: readonly (readonly number[])[], where: string): number[] {
  const WAITING = 1;
  const DONE = 2;
  const state = new Uint8Array(nodes.length);
  const order: number[] = [];
  for (let root = 0; root < nodes.length; root++) {
    const stack = [root];
    while (stack.length > 0) {
      const i = stack.at(-1) as number;
      if (state[i] === DONE) {
        stack.pop();
        continue;
      }
      const open = (needs[i] as readonly number[]).filter((need) => state[need] !== DONE);
      if (open.length === 0) {
        state[i] = DONE;
        order.push(i);
        stack.pop();
        continue;
      }
      state[i] = WAITING;
      const back = open.find((need) => state[need] === WAITING);
      if (back !== undefined) {
        throw new UserError("the graph has a cycle", {
          where: `${describeNode(nodes[i] as NodeProto)}, ${where}`,
          hint: `it needs ${describeNode(nodes[back] as NodeProto)}, which needs it`,
        });
      }
      stack.push(...open.reverse());
    }
  }
  return order;
}
