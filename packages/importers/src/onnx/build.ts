/** Small steps that op functions are written in: one graph op or one constant each, left out where they change nothing. */

import {
  type Attrs,
  type DType,
  type Dim,
  type GraphBuilder,
  type Shape,
  type Value,
  Tensor,
  UnsupportedError,
  UserError,
  allOps,
  dimMul,
  isFloat,
  isStatic,
  sameShape,
  shapeSize,
} from "@quern/core";

let known: ReadonlySet<string> | undefined;

/** All outputs of op `name`. Ops that the graph does not have yet are unsupported, not an error of the file. */
export function applyAll(
  b: GraphBuilder,
  name: string,
  inputs: readonly (Value | undefined)[],
  attrs: Attrs = {},
): readonly Value[] {
  known ??= new Set(allOps().map((op) => op.name));
  if (!known.has(name)) throw new UnsupportedError({ op: name, reason: "there is no such graph op yet" });
  return b.apply(name, inputs, attrs);
}

/** The first output of op `name`. */
export function apply(b: GraphBuilder, name: string, inputs: readonly (Value | undefined)[], attrs: Attrs = {}): Value {
  return applyAll(b, name, inputs, attrs)[0] as Value;
}

const I64_MAX = 2n ** 63n - 1n;

/** A constant of plain numbers. 64-bit integers beyond the range of the type saturate. */
export function constant(
  b: GraphBuilder,
  dtype: DType,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): Value {
  if (!isFloat(dtype)) {
    const wrong = values.find((value) => !Number.isInteger(value) && Math.abs(value) !== Infinity);
    if (wrong !== undefined) throw new UserError(`${wrong} is no value of ${dtype}`);
  }
  const exact =
    dtype === "i64"
      ? values.map((value) => (value >= 2 ** 63 ? I64_MAX : value < -(2 ** 63) ? -I64_MAX : BigInt(value)))
      : values;
  return b.constant({ dtype, shape, bytes: Tensor.from(dtype, exact as ArrayLike<number>, shape).bytes() });
}

export function scalar(b: GraphBuilder, dtype: DType, value: number): Value {
  return constant(b, dtype, [value], []);
}

/** A tensor of one value. */
export function full(b: GraphBuilder, dtype: DType, value: number, shape: Shape): Value {
  return expand(b, scalar(b, dtype, value), shape);
}

/** Dimensions as an i64 tensor. */
export function dimTensor(b: GraphBuilder, dims: readonly Dim[], shape: readonly number[] = [dims.length]): Value {
  if (isStatic(dims)) return constant(b, "i64", dims, shape);
  return apply(b, "dimTensor", [], { dims, shape, dtype: "i64" });
}

export function reshape(b: GraphBuilder, x: Value, shape: Shape): Value {
  return sameShape(x.type.shape, shape) ? x : apply(b, "reshape", [x], { shape });
}

export function expand(b: GraphBuilder, x: Value, shape: Shape): Value {
  return sameShape(x.type.shape, shape) ? x : apply(b, "expand", [x], { shape });
}

export function transpose(b: GraphBuilder, x: Value, perm: readonly number[]): Value {
  return perm.every((axis, i) => axis === i) ? x : apply(b, "transpose", [x], { perm });
}

export function cast(b: GraphBuilder, x: Value, to: DType): Value {
  return x.type.dtype === to ? x : apply(b, "cast", [x], { to });
}

/** Inserts axes of size 1 at `axes` of the result. */
export function unsqueeze(b: GraphBuilder, x: Value, axes: readonly number[]): Value {
  const rest = [...x.type.shape];
  const rank = rest.length + axes.length;
  return reshape(
    b,
    x,
    Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : (rest.shift() as Dim))),
  );
}

/** Removes the given axes. */
export function squeeze(b: GraphBuilder, x: Value, axes: readonly number[]): Value {
  return reshape(
    b,
    x,
    x.type.shape.filter((_, axis) => !axes.includes(axis)),
  );
}

/** Elements `start`, `start + step`, … of one axis. */
export function sliceAxis(b: GraphBuilder, x: Value, axis: number, start: Dim, size: Dim, step: number = 1): Value {
  const { shape } = x.type;
  return slice(
    b,
    x,
    shape.map((_, i) => (i === axis ? start : 0)),
    shape.map((dim, i) => (i === axis ? size : dim)),
    shape.map((_, i) => (i === axis ? step : 1)),
  );
}

export function slice(
  b: GraphBuilder,
  x: Value,
  starts: readonly Dim[],
  sizes: readonly Dim[],
  steps: readonly number[],
): Value {
  const whole =
    starts.every((start) => start === 0) && steps.every((step) => step === 1) && sameShape(x.type.shape, sizes);
  return whole ? x : apply(b, "slice", [x], { starts, sizes, steps });
}

export function concat(b: GraphBuilder, values: readonly Value[], axis: number): Value {
  return values.length === 1 ? (values[0] as Value) : apply(b, "concat", values, { axis });
}

/** The tensor as a matrix: axes before `axis` and axes from `axis` on. */
export function flatten(b: GraphBuilder, x: Value, axis: number): Value {
  const { shape } = x.type;
  return reshape(b, x, [shapeSize(shape.slice(0, axis)), shapeSize(shape.slice(axis))]);
}

/** Axes joined into one: `count` axes from `axis` on. */
export function mergeAxes(b: GraphBuilder, x: Value, axis: number, count: number): Value {
  const { shape } = x.type;
  const merged = shape.slice(axis, axis + count).reduce<Dim>((size, dim) => dimMul(size, dim), 1);
  return reshape(b, x, [...shape.slice(0, axis), merged, ...shape.slice(axis + count)]);
}

/** A one-dimensional tensor laid along `axis` of a tensor of `rank` axes. */
export function alongAxis(b: GraphBuilder, x: Value, axis: number, rank: number): Value {
  if (x.type.shape.length === 0) return x;
  return reshape(
    b,
    x,
    Array.from({ length: rank }, (_, i) => (i === axis ? (x.type.shape[0] as Dim) : 1)),
  );
}

export const add = (b: GraphBuilder, x: Value, y: Value): Value => apply(b, "add", [x, y]);
export const sub = (b: GraphBuilder, x: Value, y: Value): Value => apply(b, "sub", [x, y]);
export const mul = (b: GraphBuilder, x: Value, y: Value): Value => apply(b, "mul", [x, y]);
export const div = (b: GraphBuilder, x: Value, y: Value): Value => apply(b, "div", [x, y]);

/** `x` times a number. */
export function scaled(b: GraphBuilder, x: Value, factor: number): Value {
  return factor === 1 ? x : mul(b, x, scalar(b, x.type.dtype, factor));
}

/** Matrices with their last two axes exchanged. */
export function swapLast(b: GraphBuilder, x: Value): Value {
  const rank = x.type.shape.length;
  return transpose(
    b,
    x,
    x.type.shape.map((_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i)),
  );
}
