/**
 * Merges adjacent axes of a group body wherever every value is either full or broadcast along both, so that loops are
 * few and long: a chain of equally shaped pointwise ops becomes one axis.
 *
 * In: a body of pointwise ops and at most one reduction with `keepDims`. Out: the same body over fewer axes; buffers
 * are unchanged, since merging axes of a row-major tensor moves no element. Bodies with views stay as they are.
 */

import { type Dim, type Shape, dimMul, sameDim } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { type Attrs, type Graph, type Value, isConstantData } from "../graph/graph.ts";
import { isPointwise, REDUCTIONS } from "../passes/fuse.ts";

export function collapseAxes(body: Graph): Graph {
  const regular = body.nodes.every(
    (node) => node.op === "input" || node.op === "constant" || isPointwise(node) || REDUCTIONS.has(node.op),
  );
  if (!regular) return body;
  const values = body.nodes.flatMap((node) => node.outputs);
  const rank = Math.max(0, ...values.map((value) => value.type.shape.length));
  const full = values.map((value) => padShape(value.type.shape, rank));
  const extent = Array.from(
    { length: rank },
    (_, axis) => full.map((shape) => shape[axis] as Dim).find((dim) => dim !== 1) ?? 1,
  );
  // Reducing an axis of extent 1 does nothing; counted as reduced it would drag its neighbours along.
  const named = body.nodes.filter((node) => REDUCTIONS.has(node.op)).flatMap((node) => node.attrs["axes"] as number[]);
  const reduced = new Set(named.filter((axis) => extent[axis] !== 1));
  const groups: number[][] = [];
  for (let axis = 0; axis < rank; axis++) {
    const last = groups.at(-1);
    // Axes of extent 1 fit anywhere: what decides is the last axis of the group that is longer.
    const before = last?.findLast((other) => extent[other] !== 1);
    const fits = extent[axis] === 1 || before === undefined || mayMerge(before, axis, full, extent, reduced);
    if (last !== undefined && fits) last.push(axis);
    else groups.push([axis]);
  }
  return groups.length === rank && full.every((shape, i) => shape.length === (values[i] as Value).type.shape.length)
    ? body
    : rebuild(body, rank, groups, reduced);
}

function padShape(shape: Shape, rank: number): Dim[] {
  return [...Array.from({ length: rank - shape.length }, () => 1 as Dim), ...shape];
}

function mayMerge(
  a: number,
  b: number,
  shapes: readonly Dim[][],
  extent: readonly Dim[],
  reduced: ReadonlySet<number>,
): boolean {
  if (reduced.has(a) !== reduced.has(b)) return false;
  return shapes.every((shape) => {
    const fullA = sameDim(shape[a] as Dim, extent[a] as Dim);
    const fullB = sameDim(shape[b] as Dim, extent[b] as Dim);
    return fullA === fullB;
  });
}

function rebuild(
  body: Graph,
  rank: number,
  groups: readonly (readonly number[])[],
  reduced: ReadonlySet<number>,
): Graph {
  const builder = new GraphBuilder();
  const replaced = new Map<Value, Value>();
  const merged = (shape: Shape): Dim[] => {
    const padded = padShape(shape, rank);
    return groups.map((axes) => axes.reduce<Dim>((size, axis) => dimMul(size, padded[axis] as Dim), 1));
  };
  for (const { name, value } of body.inputs)
    replaced.set(value, builder.input(name, value.type.dtype, merged(value.type.shape)));
  for (const node of body.nodes) {
    if (node.op === "input") continue;
    builder.sourceName = node.name;
    let attrs: Attrs = node.attrs;
    if (isConstantData(attrs["value"])) {
      // Constants inside a body have one element: without axes they broadcast against any rank.
      replaced.set(node.outputs[0] as Value, builder.constant({ ...attrs["value"], shape: [] }));
      continue;
    }
    if (REDUCTIONS.has(node.op)) {
      attrs = {
        ...attrs,
        axes: groups.map((group, at) => (group.some((axis) => reduced.has(axis)) ? at : -1)).filter((at) => at >= 0),
      };
    }
    const outputs = builder.apply(
      node.op,
      node.inputs.map((input) => input && (replaced.get(input) as Value)),
      attrs,
    );
    node.outputs.forEach((output, i) => replaced.set(output, outputs[i] as Value));
  }
  for (const { name, value } of body.outputs) builder.output(name, replaced.get(value) as Value);
  return builder.build(body.name);
}
