/**
 * Words for the `cases` of op records: inputs with their fill, and the shapes that catch most mistakes in loops over
 * vectors: tails (17, 33), one element, no elements, broadcasting along every kind of axis.
 */

import type { DType } from "../dtype.ts";
import type { Attrs } from "../graph/graph.ts";
import type { CaseInput, OpCase } from "./op.ts";

/** An input with seeded values: normal for floats, small integers otherwise. */
export function of(dtype: DType, ...shape: number[]): CaseInput {
  return { dtype, shape };
}

/** An input with seeded values in [low, high). */
export function within(dtype: DType, low: number, high: number, ...shape: number[]): CaseInput {
  return { dtype, shape, fill: { low, high } };
}

/** An input with these values; `shape` defaults to one axis. */
export function values(dtype: DType, list: readonly number[], ...shape: number[]): CaseInput {
  return { dtype, shape: shape.length > 0 ? shape : [list.length], fill: { values: list } };
}

/** A scalar input of one value. */
export function scalar(dtype: DType, value: number): CaseInput {
  return { dtype, shape: [], fill: { values: [value] } };
}

/** The same input as a graph constant. */
export function constant(input: CaseInput): CaseInput {
  return { ...input, constant: true };
}

/** An f32 constant of seeded values, stored in an encoding. */
export function stored(encoding: string, ...shape: number[]): CaseInput {
  return { dtype: "f32", shape, constant: true, encoding };
}

export function opCase(name: string, inputs: readonly (CaseInput | undefined)[], attrs: Attrs = {}): OpCase {
  return { name, inputs, attrs };
}

/** Floats on which rules differ: zeros of both signs, infinities, NaN, values that round. */
export const SPECIAL_FLOATS: readonly number[] = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  1e4,
  -1e4,
  Infinity,
  -Infinity,
  NaN,
];

/** Cases of an elementwise op with one input: range [low, high) for floats. */
export function unaryCases(dtypes: readonly DType[], low: number = -4, high: number = 4, attrs: Attrs = {}): OpCase[] {
  const cases: OpCase[] = [];
  for (const dtype of dtypes) {
    const float = dtype.includes("f");
    const fill = (...shape: number[]): CaseInput => (float ? within(dtype, low, high, ...shape) : of(dtype, ...shape));
    cases.push(opCase(`${dtype} tail`, [fill(33)], attrs));
    if (dtype !== dtypes[0]) continue;
    cases.push(opCase(`${dtype} matrix`, [fill(3, 17)], attrs), opCase(`${dtype} scalar`, [fill()], attrs));
    cases.push(opCase(`${dtype} empty`, [fill(0, 3)], attrs));
    if (float) cases.push(opCase(`${dtype} special`, [values(dtype, SPECIAL_FLOATS)], attrs));
  }
  return cases;
}

/** Cases of an elementwise op with two inputs; `right` makes the second one. */
export function binaryCases(
  dtypes: readonly DType[],
  right: (dtype: DType, ...shape: number[]) => CaseInput = of,
  attrs: Attrs = {},
): OpCase[] {
  const cases: OpCase[] = [];
  for (const dtype of dtypes) {
    cases.push(opCase(`${dtype} tail`, [of(dtype, 33), right(dtype, 33)], attrs));
    if (dtype !== dtypes[0]) continue;
    cases.push(
      opCase(`${dtype} row`, [of(dtype, 3, 17), right(dtype, 17)], attrs),
      opCase(`${dtype} column`, [of(dtype, 5, 1), right(dtype, 3, 1, 7)], attrs),
      opCase(`${dtype} outer`, [of(dtype, 4, 1), right(dtype, 1, 17)], attrs),
      opCase(`${dtype} scalar`, [of(dtype, 2, 3), right(dtype)], attrs),
      opCase(`${dtype} empty`, [of(dtype, 0, 3), right(dtype, 1, 3)], attrs),
      opCase(`${dtype} empty against one`, [of(dtype, 0), right(dtype, 1)], attrs),
    );
  }
  return cases;
}

/** Every ordered pair of special floats. */
export function specialPairs(
  dtype: DType,
  specials: readonly number[] = [0, -0, 1, -1, 2.5, Infinity, -Infinity, NaN],
): CaseInput[] {
  const left = specials.flatMap((a) => specials.map(() => a));
  const right = specials.flatMap(() => specials);
  return [values(dtype, left), values(dtype, right)];
}
