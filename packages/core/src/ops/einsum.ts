/**
 * Einstein summation: products of elements summed over every label that the output lacks.
 *
 * Two operands become transposes, reshapes and one matmul; more are taken from left to right.
 */

import { type Dim, dimEqual, printDim, shapeSize } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, Value } from "../graph/graph.ts";
import { stringAttr } from "./attrs.ts";
import { of, opCase } from "./cases.ts";
import { checkSameDType, given, reject, typed } from "./check.ts";
import type { Op, OpCase } from "./op.ts";
import { input, newRef, positions, stridesOf } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

/** Labels of the axes of each operand and of the output; "…0", "…1" stand for the axes of an ellipsis. */
interface Equation {
  readonly operands: readonly (readonly string[])[];
  readonly output: readonly string[];
}

function parseEquation(text: string, ranks: readonly number[]): Equation {
  const [left, right] = text.replaceAll(" ", "").split("->") as [string, string | undefined];
  const terms = left.split(",");
  if (terms.length !== ranks.length) reject("einsum", `"${text}" has ${terms.length} operands, got ${ranks.length}`);
  let broadcast = 0;
  terms.forEach((term, i) => {
    if (term.includes("...")) broadcast = Math.max(broadcast, (ranks[i] as number) - (term.length - 3));
  });
  const labelsOf = (term: string, rank: number): string[] => {
    const [before, after] = term.split("...") as [string, string | undefined];
    if (after === undefined) return Array.from(term);
    const count = rank - before.length - after.length;
    return [
      ...Array.from(before),
      ...Array.from({ length: count }, (_, i) => `…${broadcast - count + i}`),
      ...Array.from(after),
    ];
  };
  const operands = terms.map((term, i) => {
    const labels = labelsOf(term, ranks[i] as number);
    if (labels.length !== ranks[i])
      reject("einsum", `"${term}" of "${text}" has ${labels.length} axes, the operand ${ranks[i]}`);
    return labels;
  });
  const all = operands.flat();
  const implicit = [...new Set(all)].filter(
    (label) => label.startsWith("…") || all.indexOf(label) === all.lastIndexOf(label),
  );
  const output =
    right === undefined
      ? implicit.sort((a, b) => Number(b.startsWith("…")) - Number(a.startsWith("…")) || (a < b ? -1 : 1))
      : labelsOf(right, right.replace("...", "").length + (right.includes("...") ? broadcast : 0));
  for (const label of output)
    if (!all.includes(label)) reject("einsum", `output label "${label}" of "${text}" is in no operand`);
  return { operands, output };
}

/** The size of each label; ellipsis axes may be 1 in some operands. */
function labelSizes(equation: Equation, shapes: readonly (readonly Dim[])[]): Map<string, Dim> {
  const sizes = new Map<string, Dim>();
  equation.operands.forEach((labels, i) =>
    labels.forEach((label, axis) => {
      const size = shapes[i]?.[axis] as Dim;
      const known = sizes.get(label);
      if (known === undefined || known === 1) sizes.set(label, size);
      else if (dimEqual(known, size) === false && size !== 1)
        reject("einsum", `axis "${label}" has sizes ${printDim(known)} and ${printDim(size)}`);
      else if (typeof size === "number" && size !== 1) sizes.set(label, size);
    }),
  );
  return sizes;
}

export const einsum: Op = {
  name: "einsum",
  summary: 'Einstein summation by an equation such as "bij,bjk->bik"',
  inputs: ["x..."],
  infer: (types, attrs) => {
    const operands = types.map((_, i) => typed("einsum", types, i, `x[${i}]`, "numeric"));
    const first = given("einsum", types, 0, "x");
    for (const type of operands) checkSameDType("einsum", first, type);
    const equation = parseEquation(
      stringAttr("einsum", attrs, "equation"),
      operands.map((type) => type.shape.length),
    );
    const sizes = labelSizes(
      equation,
      operands.map((type) => type.shape),
    );
    return [{ dtype: first.dtype, shape: equation.output.map((label) => sizes.get(label) as Dim) }];
  },
  reference: (inputs, attrs) => {
    const tensors = inputs.map((_, i) => input(inputs, i));
    const equation = parseEquation(
      stringAttr("einsum", attrs, "equation"),
      tensors.map((x) => x.shape.length),
    );
    const sizes = labelSizes(
      equation,
      tensors.map((x) => x.shape),
    ) as Map<string, number>;
    const summed = [...sizes.keys()].filter((label) => !equation.output.includes(label));
    const sizeOf = (labels: readonly string[]): number[] => labels.map((label) => sizes.get(label) as number);
    // A label repeated within an operand walks its diagonal: strides add up.
    const stridesFor = (labels: readonly string[], at: number): number[] => {
      const own = tensors[at]?.shape as readonly number[];
      const strides = stridesOf(own);
      return labels.map((label) =>
        (equation.operands[at] as readonly string[]).reduce(
          (sum, other, axis) => (other === label && own[axis] !== 1 ? sum + (strides[axis] as number) : sum),
          0,
        ),
      );
    };
    const outer = tensors.map((_, i) => positions(sizeOf(equation.output), stridesFor(equation.output, i)));
    const inner = tensors.map((_, i) => positions(sizeOf(summed), stridesFor(summed, i)));
    const result = newRef((tensors[0] as (typeof tensors)[0]).dtype, sizeOf(equation.output));
    for (let o = 0; o < result.data.length; o++) {
      let sum = 0;
      for (let s = 0; s < (inner[0] as Float64Array).length; s++) {
        let product = 1;
        for (let i = 0; i < tensors.length; i++)
          product *= tensors[i]?.data[(outer[i]?.[o] as number) + (inner[i]?.[s] as number)] as number;
        sum += product;
      }
      result.data[o] = sum;
    }
    return [result];
  },
  decompose: (b, inputs, attrs) => decomposeEinsum(b, inputs as readonly Value[], attrs),
  toleranceFor: () => sumTolerance(256),
  cases: () => [
    einsumCase("ij,jk->ik", [3, 17], [17, 5]),
    einsumCase("bij,bjk->bik", [2, 3, 5], [2, 5, 4]),
    einsumCase("bhid,bhjd->bhij", [2, 3, 4, 5], [2, 3, 6, 5]),
    einsumCase("bhij,bhjd->bihd", [2, 3, 4, 6], [2, 3, 6, 5]),
    einsumCase("i,j->ij", [5], [7]),
    einsumCase("i,i->", [17], [17]),
    einsumCase("ij->ji", [3, 5]),
    einsumCase("ij->", [3, 5]),
    einsumCase("ii->i", [4, 4]),
    einsumCase("...ij,...jk->...ik", [2, 1, 3, 4], [5, 4, 2]),
    einsumCase("ij,jk", [3, 4], [4, 2]),
    einsumCase("ij,jk,kl->il", [2, 3], [3, 4], [4, 5]),
    einsumCase("bn,anm,bm->ba", [2, 3], [4, 3, 5], [2, 5]),
    einsumCase("bid,d->bi", [2, 3, 4], [4]),
    einsumCase("ij,kj->", [3, 4], [2, 4]),
  ],
};

function einsumCase(equation: string, ...shapes: readonly number[][]): OpCase {
  return opCase(
    equation,
    shapes.map((shape) => of("f32", ...shape)),
    { equation },
  );
}

/** One operand of a decomposition: a value and its labels. */
interface Term {
  readonly value: Value;
  readonly labels: readonly string[];
}

function apply(b: GraphBuilder, op: string, inputs: readonly Value[], attrs: Attrs = {}): Value {
  return b.apply(op, inputs, attrs)[0] as Value;
}

function decomposeEinsum(b: GraphBuilder, inputs: readonly Value[], attrs: Attrs): readonly Value[] | undefined {
  const equation = parseEquation(
    stringAttr("einsum", attrs, "equation"),
    inputs.map((value) => value.type.shape.length),
  );
  // Diagonals stay with the reference; an axis of 1 beside a larger one must not be contracted.
  if (equation.operands.some((labels) => new Set(labels).size !== labels.length)) return undefined;
  const sizes = labelSizes(
    equation,
    inputs.map((value) => value.type.shape),
  );
  const terms = inputs.map((value, i): Term => ({ value, labels: equation.operands[i] as readonly string[] }));
  if (
    terms.some(({ value, labels }) =>
      labels.some(
        (label, axis) =>
          dimEqual(value.type.shape[axis] as Dim, sizes.get(label) as Dim) !== true && !equation.output.includes(label),
      ),
    )
  )
    return undefined;
  let left = terms[0] as Term;
  for (let i = 1; i < terms.length; i++) {
    const later = new Set([...equation.output, ...terms.slice(i + 1).flatMap((term) => term.labels)]);
    left = contract(b, left, terms[i] as Term, later, sizes);
  }
  return [orderAs(b, sumOut(b, left, new Set(equation.output)), equation.output)];
}

/** Sums over the labels that nothing needs any more. */
function sumOut(b: GraphBuilder, { value, labels }: Term, needed: ReadonlySet<string>): Term {
  const axes = labels.flatMap((label, axis) => (needed.has(label) ? [] : [axis]));
  if (axes.length === 0) return { value, labels };
  return {
    value: apply(b, "reduceSum", [value], { axes, keepDims: false }),
    labels: labels.filter((label) => needed.has(label)),
  };
}

function orderAs(b: GraphBuilder, { value, labels }: Term, order: readonly string[]): Value {
  const perm = order.map((label) => labels.indexOf(label));
  return perm.every((axis, i) => axis === i) ? value : apply(b, "transpose", [value], { perm });
}

/** The product of two terms, summed over the labels that only they have. */
function contract(
  b: GraphBuilder,
  first: Term,
  second: Term,
  later: ReadonlySet<string>,
  sizes: ReadonlyMap<string, Dim>,
): Term {
  const x = sumOut(b, first, new Set([...later, ...second.labels]));
  const y = sumOut(b, second, new Set([...later, ...first.labels]));
  const shared = x.labels.filter((label) => y.labels.includes(label));
  const batch = shared.filter((label) => later.has(label));
  const inner = shared.filter((label) => !later.has(label));
  const rows = x.labels.filter((label) => !shared.includes(label));
  const columns = y.labels.filter((label) => !shared.includes(label));
  const dims = (labels: readonly string[]): Dim[] => labels.map((label) => sizes.get(label) as Dim);
  // Batch axes keep their own sizes, so that an axis of 1 broadcasts in matmul.
  const ownDims = ({ value, labels }: Term): Dim[] =>
    batch.map((label) => value.type.shape[labels.indexOf(label)] as Dim);
  const matrix = (term: Term, order: readonly string[], shape: readonly Dim[]): Value =>
    apply(b, "reshape", [orderAs(b, term, order)], { shape });
  const a = matrix(x, [...batch, ...rows, ...inner], [...ownDims(x), shapeSize(dims(rows)), shapeSize(dims(inner))]);
  const c = matrix(
    y,
    [...batch, ...inner, ...columns],
    [...ownDims(y), shapeSize(dims(inner)), shapeSize(dims(columns))],
  );
  const labels = [...batch, ...rows, ...columns];
  const product = apply(b, "matmul", [a, c]);
  return { value: apply(b, "reshape", [product], { shape: dims(labels) }), labels };
}
