/**
 * Cases of the kernels on the matrix unit, for tests: random graphs of one product with work behind it.
 */

import { type Graph, type MatmulPrecision, type Value, GraphBuilder, Tensor, randomNumbers } from "@quern/core";

export interface MatmulCase {
  readonly name: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly attrs?: Readonly<Record<string, boolean>>;
  /** B is known when the kernel is made. */
  readonly constant?: boolean;
  /** |product + bias| behind the product: leaves the root mean square about as it is. */
  readonly bias?: boolean;
  readonly threads?: number;
}

/** Sizes that are no multiples of tiles, panels or blocks, and some that are. */
export const MATMUL_CASES: readonly MatmulCase[] = [
  { name: "whole tiles", a: [32, 64], b: [64, 32], constant: true },
  { name: "odd sizes", a: [37, 75], b: [75, 41], constant: true, bias: true },
  { name: "several visits", a: [70, 300], b: [300, 35], constant: true },
  { name: "a visit that is shorter", a: [65, 545], b: [545, 20], constant: true, bias: true },
  { name: "few rows", a: [9, 100], b: [100, 70], constant: true, bias: true },
  { name: "one step", a: [40, 7], b: [7, 33], constant: true },
  { name: "transposed weights", a: [33, 50], b: [30, 50], attrs: { transposeB: true }, constant: true },
  { name: "transposed left side", a: [50, 33], b: [50, 40], attrs: { transposeA: true }, constant: true },
  { name: "two threads", a: [45, 64], b: [64, 130], constant: true, threads: 2 },
  { name: "batches", a: [3, 20, 40], b: [3, 40, 21] },
  { name: "batches, keys transposed", a: [2, 19, 33], b: [2, 35, 33], attrs: { transposeB: true } },
  { name: "rows of several axes", a: [3, 11, 40], b: [40, 33], constant: true, bias: true },
];

export interface Built {
  readonly graph: Graph;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/** `whole`: small integers, whose products and sums are exact in any order. */
export function buildMatmul(one: MatmulCase, seed: number, whole = false): Built {
  const random = randomNumbers(seed);
  const tensor = (shape: readonly number[]): Tensor =>
    Tensor.from(
      "f32",
      Array.from({ length: shape.reduce((n, dim) => n * dim, 1) }, () =>
        whole ? Math.floor(random() * 9) - 4 : random() * 2 - 1,
      ),
      shape,
    );
  const builder = new GraphBuilder();
  const inputs: Record<string, Tensor> = {};
  const value = (name: string, shape: readonly number[], constant: boolean): Value => {
    const data = tensor(shape);
    if (constant) return builder.constant({ dtype: "f32", shape, bytes: data.bytes() });
    inputs[name] = data;
    return builder.input(name, "f32", shape);
  };
  let [y] = builder.apply("matmul", [value("a", one.a, false), value("b", one.b, one.constant === true)], {
    ...one.attrs,
  }) as [Value];
  if (one.bias === true) {
    [y] = builder.apply("add", [y, value("bias", [y.type.shape.at(-1) as number], true)]) as [Value];
    [y] = builder.apply("abs", [y]) as [Value];
  }
  builder.output("y", y);
  return { graph: builder.build(one.name), inputs };
}

export const PRECISIONS: readonly MatmulPrecision[] = ["high", "medium"];
