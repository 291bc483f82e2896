/**
 * Running sums and products along an axis. Exclusive leaves out the element itself; reverse runs from the end.
 */

import { isFloat } from "../dtype.ts";
import { axisAttr, booleanAttr } from "./attrs.ts";
import { of, opCase, within } from "./cases.ts";
import { typed } from "./check.ts";
import type { Op, OpCase } from "./op.ts";
import { input, newRef, slicesAlong, wrapInteger } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

function running(
  name: string,
  summary: string,
  start: number,
  step: (total: number, value: number) => number,
  makeCases: () => readonly OpCase[],
): Op {
  return {
    name,
    summary,
    inputs: ["x"],
    infer: (types, attrs) => {
      const x = typed(name, types, 0, "x", "numeric");
      axisAttr(name, attrs, x.shape.length);
      return [x];
    },
    reference: (inputs, attrs) => {
      const x = input(inputs, 0);
      const exclusive = booleanAttr(name, attrs, "exclusive", false);
      const { outer, inner } = slicesAlong(x.shape, [axisAttr(name, attrs, x.shape.length)]);
      const order = booleanAttr(name, attrs, "reverse", false) ? inner.toReversed() : inner;
      const result = newRef(x.dtype, x.shape);
      for (const base of outer) {
        let total = start;
        for (const offset of order) {
          const next = step(total, x.data[base + offset] as number);
          result.data[base + offset] = exclusive ? total : next;
          total = isFloat(x.dtype) ? next : wrapInteger(x.dtype, next);
          if (!exclusive) result.data[base + offset] = total;
        }
      }
      return [result];
    },
    toleranceFor: (types, attrs) =>
      sumTolerance(Number(types[0]?.shape[axisAttr(name, attrs, types[0]?.shape.length ?? 0)] ?? 1)),
    cases: makeCases,
  };
}

function cumulativeCases(fill: (...shape: number[]) => OpCase["inputs"][0]): OpCase[] {
  return [
    opCase("last", [fill(3, 33)], { axis: 1, exclusive: false, reverse: false }),
    opCase("first", [fill(17, 3)], { axis: 0, exclusive: false, reverse: false }),
    opCase("exclusive", [fill(3, 9)], { axis: 1, exclusive: true, reverse: false }),
    opCase("reverse", [fill(2, 5, 3)], { axis: 1, exclusive: false, reverse: true }),
    opCase("exclusive reverse", [fill(9)], { axis: 0, exclusive: true, reverse: true }),
    opCase("i64", [of("i64", 2, 7)], { axis: 1, exclusive: false, reverse: false }),
    opCase("i32", [within("i32", -3, 3, 9)], { axis: 0, exclusive: false, reverse: false }),
    opCase("empty", [fill(0, 3)], { axis: 0, exclusive: false, reverse: false }),
  ];
}

export const cumSum: Op = running(
  "cumSum",
  "Running sum",
  0,
  (total, value) => total + value,
  () => cumulativeCases((...shape) => of("f32", ...shape)),
);
export const cumProd: Op = running(
  "cumProd",
  "Running product",
  1,
  (total, value) => total * value,
  () => cumulativeCases((...shape) => within("f32", 0.5, 1.5, ...shape)).filter(({ name }) => name !== "i64"),
);
