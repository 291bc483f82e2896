/**
 * Fusion: partitions the graph into `group` nodes, each of which becomes one kernel.
 *
 * A group has one result. It is an anchor (an op with a kernel of its own that takes an epilogue, or a reduction) with
 * the pointwise work on its result, or pointwise and view ops around their last one. Producers that nobody else reads
 * are computed inside their consumer; whatever several groups read is computed once. Ops that are neither stay alone.
 */

import { type Shape, sameShape } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { type Graph, type Node, type Value, usesOf } from "../graph/graph.ts";
import { copyNode } from "../graph/rewrite.ts";
import { updatesState } from "../graph/state.ts";
import { findOp } from "../ops/registry.ts";
import { constantOf } from "./fold-constants.ts";
import type { PassContext } from "./pass.ts";

/** Buffers a kernel may read: general registers hold their addresses. */
const MAX_GROUP_INPUTS = 8;
const MAX_GROUP_NODES = 48;

interface Region {
  readonly nodes: Set<Node>;
  /** The one node whose result leaves the region. */
  exit: Node;
  /** The op with a kernel of its own, or a reduction. */
  anchor: Node | undefined;
}

export const REDUCTIONS: ReadonlySet<string> = new Set([
  "reduceSum",
  "reduceMean",
  "reduceMax",
  "reduceMin",
  "reduceProd",
]);

/** Ops that read their input row by row, several times, and write a result of the same shape. */
export const ROW_OPS: ReadonlySet<string> = new Set(["softmax", "logSoftmax", "layerNorm", "rmsNorm"]);

/** True for anchors whose kernel computes its first input element by element, so that producers may move inside. */
function takesPrologue(anchor: Node): boolean {
  return REDUCTIONS.has(anchor.op) || ROW_OPS.has(anchor.op);
}

export function isPointwise(node: Node): boolean {
  return findOp(node.op).pointwise !== undefined;
}

export function isView(node: Node): boolean {
  return findOp(node.op).view !== undefined;
}

export function fuse(graph: Graph, context: PassContext): Graph {
  const regionOf = partition(graph, context);
  const exits = new Map<Node, Region>();
  for (const region of new Set(regionOf.values())) exits.set(region.exit, region);
  // Members of a region other than its exit stay behind unused and vanish in `build`.
  const replaced = new Map<Value, Value>();
  const builder = new GraphBuilder();
  for (const { name, value } of graph.inputs)
    replaced.set(value, builder.input(name, value.type.dtype, value.type.shape));
  for (const node of graph.nodes) {
    if (node.op === "input" || (regionOf.has(node) && !exits.has(node))) continue;
    builder.sourceName = node.name;
    const region = exits.get(node);
    const outputs =
      region === undefined
        ? copyNode(
            builder,
            node,
            node.inputs.map((input) => input && (replaced.get(input) as Value)),
          )
        : emitGroup(builder, region, replaced);
    node.outputs.forEach((output, i) => replaced.set(output, outputs[i] as Value));
  }
  for (const { name, value } of graph.outputs) builder.output(name, replaced.get(value) as Value);
  return builder.build(graph.name);
}

function partition(graph: Graph, context: PassContext): Map<Node, Region> {
  const uses = usesOf(graph);
  const regionOf = new Map<Node, Region>();
  const readersOf = (node: Node): Node[] => node.outputs.flatMap((output) => uses.get(output)?.readers ?? []);
  const isOutput = (node: Node): boolean => node.outputs.some((output) => (uses.get(output)?.outputs ?? 0) > 0);
  for (const node of graph.nodes) {
    const anchors = context.target.takesEpilogue(node) || takesPrologue(node);
    if (!anchors || node.outputs.length !== 1 || updatesState(node)) continue;
    const region = epilogueRegion(node, readersOf, isOutput, regionOf);
    for (const member of region.nodes) regionOf.set(member, region);
  }
  for (const node of [...graph.nodes].reverse()) {
    if (regionOf.has(node) || !(isPointwise(node) || isView(node))) continue;
    const region = consumerRegion(node, readersOf, isOutput, regionOf) ?? {
      nodes: new Set<Node>(),
      exit: node,
      anchor: undefined,
    };
    region.nodes.add(node);
    regionOf.set(node, region);
  }
  return regionOf;
}

/**
 * The anchor and as much pointwise work behind it as has a single result: grows over readers of equal shape and keeps
 * the largest state in which exactly one member is read from outside.
 */
function epilogueRegion(
  anchor: Node,
  readersOf: (node: Node) => Node[],
  isOutput: (node: Node) => boolean,
  taken: ReadonlyMap<Node, Region>,
): Region {
  const shape = (anchor.outputs[0] as Value).type.shape;
  const members = new Set<Node>([anchor]);
  let best = { nodes: new Set(members), exit: anchor };
  for (;;) {
    const next = [...members]
      .flatMap(readersOf)
      .filter((reader) => !members.has(reader))
      .sort((a, b) => a.id - b.id)[0];
    if (next === undefined || taken.has(next) || !isPointwise(next) || members.size >= MAX_GROUP_NODES) break;
    if (!sameShape((next.outputs[0] as Value).type.shape, shape)) break;
    // Other inputs must be ready before the anchor starts: they may not depend on a member.
    const others = next.inputs.filter((input) => input !== undefined && !members.has(input.node)) as Value[];
    if (others.some((input) => dependsOn(input.node, members, anchor.id))) break;
    members.add(next);
    if (externalInputs(members).length > MAX_GROUP_INPUTS) break;
    const exits = [...members].filter(
      (node) => isOutput(node) || readersOf(node).some((reader) => !members.has(reader)),
    );
    if (exits.length === 1) best = { nodes: new Set(members), exit: exits[0] as Node };
  }
  return { ...best, anchor };
}

function dependsOn(node: Node, members: ReadonlySet<Node>, firstId: number): boolean {
  const stack = [node];
  const seen = new Set<Node>();
  while (stack.length > 0) {
    const current = stack.pop() as Node;
    if (members.has(current)) return true;
    if (current.id <= firstId || seen.has(current)) continue;
    seen.add(current);
    for (const input of current.inputs) if (input !== undefined) stack.push(input.node);
  }
  return false;
}

/** The region of all readers of `node`, when there is one that may compute it inside. */
function consumerRegion(
  node: Node,
  readersOf: (node: Node) => Node[],
  isOutput: (node: Node) => boolean,
  regionOf: ReadonlyMap<Node, Region>,
): Region | undefined {
  if (isOutput(node)) return undefined;
  const readers = readersOf(node);
  const region = readers[0] === undefined ? undefined : regionOf.get(readers[0]);
  if (region === undefined || readers.some((reader) => regionOf.get(reader) !== region)) return undefined;
  if (region.nodes.size >= MAX_GROUP_NODES) return undefined;
  // An anchor's own operands are read by its kernel from memory; reductions compute their input inside.
  const { anchor } = region;
  if (anchor !== undefined && !mayJoin(node, readers, anchor)) return undefined;
  const grown = new Set(region.nodes).add(node);
  return externalInputs(grown).length <= MAX_GROUP_INPUTS ? region : undefined;
}

/** Whether the kernel of `anchor` may compute `node` inside: as work on its input, or as an operand of its epilogue. */
function mayJoin(node: Node, readers: readonly Node[], anchor: Node): boolean {
  const shape: Shape = (anchor.outputs[0] as Value).type.shape;
  const sameAsResult = sameShape((node.outputs[0] as Value).type.shape, shape);
  if (REDUCTIONS.has(anchor.op)) return true;
  if (isView(node)) return false;
  if (!readers.includes(anchor)) return sameAsResult;
  const onlyFirstOperand = anchor.inputs.every((input, at) => input?.node !== node || at === 0);
  return ROW_OPS.has(anchor.op) && sameAsResult && onlyFirstOperand;
}

function externalInputs(nodes: ReadonlySet<Node>): Value[] {
  const external = new Set<Value>();
  for (const node of nodes) {
    for (const input of node.inputs) {
      if (input !== undefined && !nodes.has(input.node) && !isInlineConstant(input)) external.add(input);
    }
  }
  return [...external];
}

/** Scalar constants become immediates of the kernel. */
export function isInlineConstant(value: Value): boolean {
  const data = constantOf(value);
  return data !== undefined && data.shape.every((dim) => dim === 1);
}

/** The nodes of a region and the scalar constants that they read, in order. */
function membersOf(region: Region): Node[] {
  const members = new Set(region.nodes);
  for (const node of region.nodes)
    for (const input of node.inputs) if (input !== undefined && isInlineConstant(input)) members.add(input.node);
  return [...members].sort((a, b) => a.id - b.id);
}

function emitGroup(builder: GraphBuilder, region: Region, replaced: ReadonlyMap<Value, Value>): readonly Value[] {
  const { exit } = region;
  // A lone op with a kernel of its own, or a lone reshape (an alias, no kernel), needs no group.
  if (region.nodes.size === 1 && (region.anchor !== undefined || exit.op === "reshape") && !takesPrologue(exit)) {
    return copyNode(
      builder,
      exit,
      exit.inputs.map((input) => input && (replaced.get(input) as Value)),
    );
  }
  const body = new GraphBuilder();
  const inside = new Map<Value, Value>();
  const operands: Value[] = [];
  for (const external of externalInputs(region.nodes)) {
    inside.set(external, body.input(`x${operands.length}`, external.type.dtype, external.type.shape));
    operands.push(replaced.get(external) as Value);
  }
  for (const node of membersOf(region)) {
    body.sourceName = node.name;
    const outputs = copyNode(
      body,
      node,
      node.inputs.map((input) => input && (inside.get(input) as Value)),
    );
    node.outputs.forEach((output, i) => inside.set(output, outputs[i] as Value));
  }
  body.output("y", inside.get(exit.outputs[0] as Value) as Value);
  const name = [...region.nodes]
    .sort((a, b) => a.id - b.id)
    .map((node) => node.op)
    .join("+");
  return builder.apply("group", operands, { body: body.build(name) });
}
