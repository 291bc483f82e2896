/**
 * The shape rules that only the sizes of a run can decide: that two symbolic sizes agree, that a slice stays inside.
 *
 * Inference lets a rule pass whose sizes are not known yet. Before a graph runs with new sizes, a device applies the
 * same inference again with numbers in place of symbols; nothing has to be checked inside kernels then. Nodes of equal
 * op, types and attributes are checked once, so repeated layers cost nothing.
 */

import {
  type Dim,
  type DimBindings,
  type Shape,
  SymbolicDim,
  dimEqual,
  printDim,
  printShape,
  substituteDim,
} from "../dim.ts";
import { UserError } from "../errors.ts";
import {
  type Attr,
  type Attrs,
  type Graph,
  type Node,
  type TensorType,
  isConstantData,
  isGraph,
} from "../graph/graph.ts";
import type { InferContext } from "../ops/op.ts";
import { findOp } from "../ops/registry.ts";

/** Checks a graph for the given symbol values. Throws a `UserError` that names the node. */
export type ShapeCheck = (bindings: DimBindings) => void;

export function shapeChecks(graph: Graph): ShapeCheck {
  const checks = new Map<string, Node>();
  for (const node of graph.nodes) if (dependsOnSymbols(node)) checks.set(keyOf(node), node);
  const nodes = [...checks.values()];
  return (bindings) => {
    const replace = (dim: Dim): Dim => substituteDim(dim, (name) => bindings[name]);
    for (const node of nodes) checkNode(node, replace);
  };
}

function checkNode(node: Node, replace: (dim: Dim) => Dim): void {
  const where = node.name === undefined ? node.op : `${node.op} "${node.name}"`;
  const typeOf = (type: TensorType): TensorType => ({ dtype: type.dtype, shape: type.shape.map(replace) });
  const declared = node.outputs.map((output) => typeOf(output.type));
  for (const { shape } of declared) {
    if (shape.some((dim) => typeof dim === "number" && dim < 0))
      throw new UserError(`${node.op}: the result would have shape ${printShape(shape)}`, { where });
  }
  let inferred: readonly TensorType[];
  try {
    inferred = findOp(node.op).infer(
      node.inputs.map((input) => input && typeOf(input.type)),
      replaceAttrs(node.attrs, replace),
      CONTEXT,
      node.inputs,
    );
  } catch (error) {
    if (error instanceof UserError && error.where === undefined)
      throw new UserError(error.message, { where, cause: error });
    throw error;
  }
  declared.forEach(({ shape }, i) => {
    const other = inferred[i]?.shape;
    if (
      other === undefined ||
      other.length !== shape.length ||
      shape.every((dim, axis) => dimEqual(dim, other[axis] as Dim) !== false)
    )
      return;
    throw new UserError(
      `${node.op}: with these sizes the result has shape ${printShape(other)}, the graph expects ${printShape(shape)}`,
      { where },
    );
  });
}

/** Elements of values stay unknown here: ops then infer sizes of their own, which agree with anything. */
const CONTEXT: InferContext = {
  dims: () => undefined,
  freshDim: (hint) =>
    new SymbolicDim([{ coefficient: 1, atoms: [{ kind: "symbol", name: `${hint.replace(/\W/g, "_")}$unknown` }] }]),
};

function dependsOnSymbols(node: Node): boolean {
  // A fused group repeats nodes that have been checked before it was made.
  if (node.op === "input" || node.op === "constant" || node.op === "group") return false;
  const shapes: Shape[] = [...node.outputs, ...node.inputs.filter((input) => input !== undefined)].map(
    (value) => value.type.shape,
  );
  return shapes.some((shape) => shape.some((dim) => typeof dim !== "number")) || dimsOf(node.attrs).length > 0;
}

/** Symbolic dimensions among attributes; sub-graphs are checked when they run. */
function dimsOf(attrs: Attrs): SymbolicDim[] {
  const found: SymbolicDim[] = [];
  const visit = (attr: Attr): void => {
    if (attr instanceof SymbolicDim) found.push(attr);
    else if (Array.isArray(attr)) attr.forEach(visit);
  };
  Object.values(attrs).forEach(visit);
  return found;
}

function keyOf(node: Node): string {
  const types = [...node.inputs, ...node.outputs].map((value) =>
    value === undefined ? "_" : `${value.type.dtype}${printShape(value.type.shape)}`,
  );
  return `${node.op} ${types.join()} ${Object.entries(node.attrs)
    .map(([name, attr]) => `${name}=${printAttr(attr)}`)
    .join()}`;
}

function printAttr(attr: Attr): string {
  if (Array.isArray(attr)) return `[${attr.map((item: Attr) => printAttr(item)).join()}]`;
  if (isGraph(attr as Attr) || isConstantData(attr as Attr)) return "·";
  return typeof attr === "object" || typeof attr === "number" ? printDim(attr as Dim) : String(attr);
}

function replaceAttrs(attrs: Attrs, replace: (dim: Dim) => Dim): Attrs {
  const visit = (attr: Attr): Attr => {
    if (attr instanceof SymbolicDim) return replace(attr);
    return Array.isArray(attr) ? attr.map(visit) : attr;
  };
  return Object.fromEntries(Object.entries(attrs).map(([name, attr]) => [name, visit(attr)]));
}
