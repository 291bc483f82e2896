/**
 * Softmax and its logarithm along one axis. The maximum is subtracted first, so that nothing overflows.
 */

import { axisAttr } from "./attrs.ts";
import { of, opCase, values } from "./cases.ts";
import { typed } from "./check.ts";
import { mapSlices, maxOf, sumOf } from "./norm-reference.ts";
import type { Op } from "./op.ts";
import { input } from "./ref-tensor.ts";
import { ulps } from "./tolerance.ts";

function alongAxis(
  name: string,
  summary: string,
  rule: (slice: Float64Array) => ArrayLike<number>,
  tolerance: NonNullable<Op["tolerance"]>,
): Op {
  return {
    name,
    summary,
    inputs: ["x"],
    infer: (types, attrs) => {
      const x = typed(name, types, 0, "x", "float");
      axisAttr(name, attrs, x.shape.length);
      return [x];
    },
    reference: (inputs, attrs) => {
      const x = input(inputs, 0);
      return [mapSlices(x, [axisAttr(name, attrs, x.shape.length)], rule)];
    },
    tolerance,
    cases: () => [
      opCase("last", [of("f32", 5, 33)], { axis: 1 }),
      opCase("long row", [of("f32", 2, 1031)], { axis: 1 }),
      opCase("first", [of("f32", 17, 3)], { axis: 0 }),
      opCase("middle", [of("f32", 2, 9, 4)], { axis: 1 }),
      opCase("attention", [of("f32", 2, 3, 7, 17)], { axis: 3 }),
      opCase("one element", [of("f32", 4, 1)], { axis: 1 }),
      opCase("no elements", [of("f32", 3, 0)], { axis: 1 }),
      opCase("no slices", [of("f32", 0, 5)], { axis: 1 }),
      opCase("large values", [values("f32", [1000, 1001, 999, -1000, -1001, -999], 2, 3)], { axis: 1 }),
      opCase("masked", [values("f32", [1, -Infinity, 2, -Infinity, 0, -Infinity], 2, 3)], { axis: 1 }),
      opCase("special", [values("f32", [1, NaN, 2, -Infinity, -Infinity, -Infinity, Infinity, 0, 1], 3, 3)], {
        axis: 1,
      }),
      opCase("f16", [of("f16", 3, 17)], { axis: 1 }),
      opCase("f64", [of("f64", 3, 17)], { axis: 1 }),
    ],
  };
}

export const softmax: Op = alongAxis(
  "softmax",
  "e^x over its sum along an axis",
  (slice) => {
    const top = maxOf(slice);
    const parts = slice.map((x) => Math.exp(x - top));
    const total = sumOf(parts);
    return parts.map((part) => part / total);
  },
  ulps(32, 1),
);

export const logSoftmax: Op = alongAxis(
  "logSoftmax",
  "Logarithm of softmax",
  (slice) => {
    const top = maxOf(slice);
    const logSum = Math.log(sumOf(slice.map((x) => Math.exp(x - top))));
    return slice.map((x) => x - top - logSum);
  },
  ulps(16, 16),
);
