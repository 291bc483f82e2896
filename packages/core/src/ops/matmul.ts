/**
 * Matrix products. `matmul` follows NumPy: vectors on either side lose their axis, leading axes broadcast.
 */

import { type Dim, printShape } from "../dim.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { booleanAttr } from "./attrs.ts";
import { constant, of, opCase, stored } from "./cases.ts";
import { type Types, broadcastShapes, checkRankAtLeast, checkSameDType, reject, typed } from "./check.ts";
import { dimEqual, printDim } from "../dim.ts";
import type { Op, RefTensor } from "./op.ts";
import { broadcastStrides, input, newRef, positions, wrapInteger } from "./ref-tensor.ts";
import { DTYPE_INFO } from "../dtype.ts";
import { sumTolerance } from "./tolerance.ts";

/** How the axes of one operand take part. */
interface Side {
  readonly batch: readonly Dim[];
  /** Size of the kept axis; `undefined` for a vector, which has none. */
  readonly outer: Dim | undefined;
  readonly inner: Dim;
}

function leftSide({ shape }: { readonly shape: readonly Dim[] }, transposed: boolean): Side {
  if (shape.length === 1) return { batch: [], outer: undefined, inner: shape[0] as Dim };
  const [rows, columns] = shape.slice(-2) as [Dim, Dim];
  return { batch: shape.slice(0, -2), outer: transposed ? columns : rows, inner: transposed ? rows : columns };
}

function rightSide({ shape }: { readonly shape: readonly Dim[] }, transposed: boolean): Side {
  if (shape.length === 1) return { batch: [], outer: undefined, inner: shape[0] as Dim };
  const [rows, columns] = shape.slice(-2) as [Dim, Dim];
  return { batch: shape.slice(0, -2), outer: transposed ? rows : columns, inner: transposed ? columns : rows };
}

function productShape(op: string, a: Side, b: Side): Dim[] {
  const shape = broadcastShapes(op, [a.batch, b.batch]);
  if (a.outer !== undefined) shape.push(a.outer);
  if (b.outer !== undefined) shape.push(b.outer);
  return shape;
}

function inferProduct(op: string, a: TensorType, b: TensorType, attrs: Attrs): Dim[] {
  checkRankAtLeast(op, a, "a", 1);
  checkRankAtLeast(op, b, "b", 1);
  const left = leftSide(a, booleanAttr(op, attrs, "transposeA", false));
  const right = rightSide(b, booleanAttr(op, attrs, "transposeB", false));
  if (dimEqual(left.inner, right.inner) === false) {
    reject(
      op,
      `inner dimensions differ: ${printShape(a.shape)} × ${printShape(b.shape)} (${printDim(left.inner)} ≠ ${printDim(right.inner)})`,
    );
  }
  return productShape(op, left, right);
}

/** The product of two tensors of numbers; the result keeps the dtype of `a` in name only. */
function multiply(op: string, a: RefTensor, b: RefTensor, attrs: Attrs): RefTensor {
  const transposeA = booleanAttr(op, attrs, "transposeA", false) && a.shape.length > 1;
  const transposeB = booleanAttr(op, attrs, "transposeB", false) && b.shape.length > 1;
  const [left, right] = [leftSide(a, transposeA), rightSide(b, transposeB)];
  inferProduct(op, a, b, attrs);
  const batch = broadcastShapes(op, [left.batch, right.batch]) as number[];
  const [m, n, k] = [left.outer ?? 1, right.outer ?? 1, left.inner] as [number, number, number];
  const result = newRef(a.dtype, productShape(op, left, right) as number[]);
  const [aRow, aInner] = transposeA ? [1, m] : [k, 1];
  const [bInner, bColumn] = transposeB ? [1, k] : [n, 1];
  // Strides of the batch axes count matrices.
  const aBatches = positions(batch, broadcastStrides(left.batch as number[], batch));
  const bBatches = positions(batch, broadcastStrides(right.batch as number[], batch));
  for (let at = 0; at < aBatches.length; at++) {
    const [aBase, bBase] = [(aBatches[at] as number) * m * k, (bBatches[at] as number) * k * n];
    for (let row = 0; row < m; row++) {
      const out = (at * m + row) * n;
      for (let inner = 0; inner < k; inner++) {
        const weight = a.data[aBase + row * aRow + inner * aInner] as number;
        const from = bBase + inner * bInner;
        for (let column = 0; column < n; column++)
          result.data[out + column]! += weight * (b.data[from + column * bColumn] as number);
      }
    }
  }
  return result;
}

function innerSize(types: Types, attrs: Attrs): number {
  const [a] = types;
  const inner = a === undefined || a.shape.length === 0 ? 1 : leftSide(a, attrs["transposeA"] === true).inner;
  return typeof inner === "number" ? inner : 1024;
}

export const matmul: Op = {
  name: "matmul",
  summary: "Matrix product; vectors lose their axis, leading axes broadcast",
  inputs: ["a", "b"],
  infer: (types, attrs) => {
    const a = typed("matmul", types, 0, "a", "numeric");
    const b = typed("matmul", types, 1, "b", "numeric");
    checkSameDType("matmul", a, b);
    return [{ dtype: a.dtype, shape: inferProduct("matmul", a, b, attrs) }];
  },
  reference: (inputs, attrs) => {
    const result = multiply("matmul", input(inputs, 0), input(inputs, 1), attrs);
    if (DTYPE_INFO[result.dtype].kind === "float") return [result];
    return [{ ...result, data: result.data.map((value) => wrapInteger(result.dtype, value)) }];
  },
  toleranceFor: (types, attrs) => sumTolerance(innerSize(types, attrs)),
  cases: () => [
    opCase("small", [of("f32", 3, 5), of("f32", 5, 7)]),
    opCase("tails", [of("f32", 17, 33), of("f32", 33, 19)]),
    opCase("blocks", [of("f32", 64, 96), constant(of("f32", 96, 80))]),
    opCase("row", [of("f32", 1, 65), constant(of("f32", 65, 33))]),
    opCase("row of a matrix that is no constant", [of("f32", 1, 65), of("f32", 65, 131)]),
    opCase("two rows, transposed matrix", [of("f32", 2, 33), of("f32", 67, 33)], { transposeB: true }),
    opCase("many rows of a matrix that is no constant", [of("f32", 49, 33), of("f32", 33, 35)]),
    opCase("column", [of("f32", 33, 17), of("f32", 17, 1)]),
    opCase("transposeA", [of("f32", 17, 5), of("f32", 17, 9)], { transposeA: true }),
    opCase("transposeB", [of("f32", 5, 17), of("f32", 9, 17)], { transposeB: true }),
    opCase("transposeBoth", [of("f32", 2, 17, 5), of("f32", 9, 17)], { transposeA: true, transposeB: true }),
    opCase("batch", [of("f32", 3, 5, 17), of("f32", 3, 17, 9)]),
    opCase("batch broadcast", [of("f32", 2, 1, 5, 7), of("f32", 3, 7, 4)]),
    opCase("batch of one", [of("f32", 4, 3, 5), constant(of("f32", 5, 6))]),
    opCase("vector", [of("f32", 17), of("f32", 17)]),
    opCase("vector matrix", [of("f32", 17), of("f32", 2, 17, 3)]),
    opCase("matrix vector", [of("f32", 2, 3, 17), of("f32", 17)]),
    opCase("inner 0", [of("f32", 3, 0), of("f32", 0, 4)]),
    opCase("no rows", [of("f32", 0, 3), of("f32", 3, 4)]),
    opCase("f16", [of("f16", 5, 17), of("f16", 17, 3)]),
    opCase("f64", [of("f64", 5, 17), of("f64", 17, 3)]),
    opCase("i32", [of("i32", 5, 17), of("i32", 17, 3)]),
    opCase("stored as f16", [of("f32", 9, 37), stored("F16", 19, 37)], { transposeB: true }),
    opCase("stored as bf16, one row", [of("f32", 1, 37), stored("BF16", 33, 37)], { transposeB: true }),
    opCase("stored in blocks", [of("f32", 3, 64), stored("Q4_0", 19, 64)], { transposeB: true }),
  ],
};

const ZERO_POINT_HINT = "a zero point is a scalar, or a list with one value per row of a or column of b";

/** x - zeroPoint, the zero point aligned with `axis` from the end where it is a list. */
function centred(x: RefTensor, zeroPoint: RefTensor | undefined, perRow: boolean): RefTensor {
  if (zeroPoint === undefined) return x;
  const { data } = zeroPoint;
  if (data.length === 1) return { ...x, data: x.data.map((value) => value - (data[0] as number)) };
  const rows = perRow ? (x.shape.at(-2) ?? 1) : 1;
  const columns = x.shape.at(-1) as number;
  const size = perRow ? rows : columns;
  if (zeroPoint.shape.length === 1 && data.length !== size)
    reject("matmulInteger", `zero point with ${data.length} values for ${size}`, ZERO_POINT_HINT);
  // Lists per matrix of a batch have their own leading axes, which follow those of x.
  return {
    ...x,
    data: x.data.map((value, i) => {
      const matrix = Math.floor(i / (columns * (x.shape.at(-2) ?? 1)));
      const within = perRow ? Math.floor(i / columns) % rows : i % columns;
      return value - (data[(zeroPoint.shape.length > 1 ? matrix * size : 0) + within] as number);
    }),
  };
}

export const matmulInteger: Op = {
  name: "matmulInteger",
  summary: "Product of 8-bit matrices after subtracting their zero points, in i32",
  inputs: ["a", "b", "aZeroPoint?", "bZeroPoint?"],
  infer: (types, attrs) => {
    const [a, b] = ["a", "b"].map((name, i) => {
      const type = typed("matmulInteger", types, i, name, "integer");
      if (type.dtype !== "i8" && type.dtype !== "u8")
        reject("matmulInteger", `input "${name}" must be i8 or u8, got ${type.dtype}`);
      const zeroPoint = types[i + 2];
      if (zeroPoint !== undefined) checkSameDType("matmulInteger", type, zeroPoint);
      return type;
    }) as [TensorType, TensorType];
    return [{ dtype: "i32", shape: inferProduct("matmulInteger", a, b, attrs) }];
  },
  reference: (inputs, attrs) => {
    const a = centred(input(inputs, 0), inputs[2], true);
    const b = centred(input(inputs, 1), inputs[3], false);
    const product = multiply("matmulInteger", a, b, attrs);
    return [{ dtype: "i32", shape: product.shape, data: product.data.map((value) => wrapInteger("i32", value)) }];
  },
  cases: () => [
    opCase("u8 i8", [of("u8", 5, 17), constant(of("i8", 17, 9))]),
    opCase("u8 u8", [of("u8", 3, 33), constant(of("u8", 33, 5))]),
    opCase("i8 i8", [of("i8", 3, 5), of("i8", 5, 4)]),
    opCase("zero points", [of("u8", 5, 17), constant(of("i8", 17, 9)), of("u8"), constant(of("i8", 9))]),
    opCase("row zero points", [of("u8", 5, 6), of("u8", 6, 3), of("u8", 5), of("u8")]),
    opCase("batch", [of("u8", 2, 4, 6), of("i8", 6, 3), of("u8", 1), undefined]),
    opCase("empty", [of("u8", 0, 6), of("i8", 6, 3)]),
  ],
};
