/**
 * Building graphs by hand: typed ops, called on the graph or chained on values.
 *
 *   const g = graph("mnist");
 *   const x = g.input("x", "f32", ["n", 784]);
 *   const y = g.matmul(x, g.constant("f32", weights, [784, 10])).add(bias).relu();
 *   const model = g.output("y", y).build();
 *
 * `OpMethods` (`op-methods.ts`) states each signature once, with the first operand first. A `GraphScope` has them as they are; a `Var`
 * has them without their first operand. Both end in `GraphBuilder.apply`. Numbers stand for scalar constants of the
 * dtype of the other operand, negative axes count from the end. What has no method here: `g.apply(op, inputs, attrs)`.
 */

import { type Dim, type Shape, dimEqual, isStatic, shapeSize, symbol } from "../dim.ts";
import type { DType } from "../dtype.ts";
import { InternalError, UserError } from "../errors.ts";
import { sliceAxis } from "../ops/slice-bounds.ts";
import { Tensor } from "../runtime/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import type { Attrs, ConstantData, Graph, TensorType, Value } from "./graph.ts";
import type { Binary, OpMethods, Operand, Reduction, Size, Unary, WindowOptions } from "./op-methods.ts";
import { printTensorType } from "./print.ts";

type WithoutFirst<F> = F extends (first: Var, ...rest: infer Rest) => infer Result ? (...rest: Rest) => Result : never;
type Chained = { readonly [Name in keyof OpMethods]: WithoutFirst<OpMethods[Name]> };

class VarBase {
  readonly scope: GraphScope;
  readonly value: Value;

  constructor(scope: GraphScope, value: Value) {
    this.scope = scope;
    this.value = value;
  }

  get type(): TensorType {
    return this.value.type;
  }

  get dtype(): DType {
    return this.value.type.dtype;
  }

  get shape(): Shape {
    return this.value.type.shape;
  }
}

/** A value of a graph in the making. */
export type Var = VarBase & Chained;

class ScopeBase {
  readonly builder: GraphBuilder = new GraphBuilder();
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  get #self(): GraphScope {
    return this as unknown as GraphScope;
  }

  /** A graph input. Strings in the shape are symbols: the same name is the same size everywhere. */
  input(name: string, dtype: DType, shape: readonly Size[]): Var {
    return makeVar(this.#self, this.builder.input(name, dtype, shape.map(sizeOf)));
  }

  /** A constant with the elements of a tensor, on its memory. */
  tensor(tensor: Tensor): Var {
    return makeVar(
      this.#self,
      this.builder.constant({ dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.bytes() }),
    );
  }

  /** A constant on the memory of `data`, which may be blocks of an encoding. */
  weights(data: ConstantData): Var {
    return makeVar(this.#self, this.builder.constant(data));
  }

  /** A constant from numbers: a scalar for one number, else a list or the given shape. */
  constant(dtype: DType, values: number | ArrayLike<number>, shape?: readonly number[]): Var {
    const list = typeof values === "number" ? [values] : values;
    return this.tensor(Tensor.from(dtype, list, shape ?? (typeof values === "number" ? [] : [list.length])));
  }

  /** Declares an output. Returns the graph. */
  output(name: string, value: Var): GraphScope {
    this.builder.output(name, value.value);
    return this.#self;
  }

  /** Any op by name; all its results. */
  apply(op: string, inputs: readonly (Var | undefined)[], attrs: Attrs = {}): Var[] {
    for (const input of inputs) checkScope(this.#self, input);
    return this.builder
      .apply(
        op,
        inputs.map((input) => input?.value),
        attrs,
      )
      .map((value) => makeVar(this.#self, value));
  }

  build(): Graph {
    return this.builder.build(this.#name);
  }
}

/** A graph in the making, with all ops as methods. */
export type GraphScope = ScopeBase & OpMethods;

/** Begins a graph. */
export function graph(name: string): GraphScope {
  return new ScopeBase(name) as GraphScope;
}

/** The value as a `Var`, to go on by hand where a builder has begun. */
function makeVar(scope: GraphScope, value: Value): Var {
  return new VarBase(scope, value) as Var;
}

function checkScope(scope: GraphScope, value: Var | undefined): void {
  if (value !== undefined && value.scope !== scope)
    throw new UserError("graph: a value of another graph was given; each graph has its own values");
}

function sizeOf(size: Size): Dim {
  return typeof size === "string" ? symbol(size) : size;
}

function axisOf(x: Var, axis: number, rank: number = x.shape.length): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || at < 0 || at >= rank)
    throw new UserError(`axis ${axis} is outside of ${printTensorType(x.type)}`);
  return at;
}

function listOf(axes: number | readonly number[]): readonly number[] {
  return typeof axes === "number" ? [axes] : axes;
}

function one(op: string, inputs: readonly (Var | undefined)[], attrs: Attrs = {}): Var {
  const scope = inputs.find((input) => input !== undefined)?.scope;
  const [result] = scope?.apply(op, inputs, attrs) ?? [];
  if (result === undefined) throw new InternalError(`${op}: no result`);
  return result;
}

/** A number as a scalar of the dtype of `like`. */
function operand(like: Var, value: Operand): Var {
  return typeof value === "number" ? like.scope.constant(like.dtype, value) : value;
}

function unary(op: string): Unary {
  return (x) => one(op, [x]);
}

function binary(op: string): Binary {
  return (a, b) => one(op, [a, operand(a, b)]);
}

function reduction(op: string): Reduction {
  return (x, { axes, keepDims = false } = {}) => {
    const all = axes === undefined ? x.shape.map((_, axis) => axis) : listOf(axes).map((axis) => axisOf(x, axis));
    return one(op, [x], { axes: all, keepDims });
  };
}

function extremeIndex(op: string): OpMethods["argMax"] {
  return (x, axis = -1, { keepDims = false } = {}) =>
    one(op, [x], { axis: axisOf(x, axis), keepDims, selectLast: false });
}

function perAxis(value: number | readonly number[] | undefined, rank: number, fallback: number): readonly number[] {
  return typeof value === "object" ? value : new Array<number>(rank).fill(value ?? fallback);
}

function windowAttrs(
  rank: number,
  { strides, dilations, padding, layout }: WindowOptions,
  stride: number | readonly number[],
): Attrs {
  const sides =
    typeof padding === "object" && "before" in padding
      ? padding
      : { before: perAxis(padding, rank, 0), after: perAxis(padding, rank, 0) };
  return {
    strides: perAxis(strides ?? stride, rank, 1),
    dilations: perAxis(dilations, rank, 1),
    padsBefore: sides.before,
    padsAfter: sides.after,
    layout: layout ?? "nchw",
  };
}

/** The target shape with -1 replaced by what is left. */
function completeShape(x: Var, sizes: readonly Size[]): Dim[] {
  const shape = sizes.map(sizeOf);
  const open = shape.indexOf(-1);
  if (open < 0) return shape;
  const rest = shapeSize(shape.toSpliced(open, 1));
  const total = shapeSize(x.shape);
  const left = typeof total === "number" && typeof rest === "number" ? total / rest : undefined;
  if (left !== undefined && Number.isInteger(left)) return shape.with(open, left);
  if (left !== undefined || !isStatic(shape.toSpliced(open, 1)))
    throw new UserError(`reshape: ${printTensorType(x.type)} does not divide into [${sizes.join(", ")}]`);
  return inferOpen(x, shape, open);
}

/** -1 beside symbolic sizes: the run-time form knows how to divide them. */
function inferOpen(x: Var, shape: readonly Dim[], open: number): Dim[] {
  const target = x.scope.constant(
    "i64",
    shape.map((dim) => dim as number),
  );
  const size = one("reshapeDynamic", [x, target], { allowZero: false }).shape[open] as Dim;
  return shape.toSpliced(open, 1, size);
}

const METHODS: OpMethods = {
  neg: unary("neg"),
  abs: unary("abs"),
  sign: unary("sign"),
  floor: unary("floor"),
  ceil: unary("ceil"),
  round: unary("round"),
  trunc: unary("trunc"),
  sqrt: unary("sqrt"),
  rsqrt: unary("rsqrt"),
  reciprocal: unary("reciprocal"),
  square: unary("square"),
  exp: unary("exp"),
  log: unary("log"),
  sin: unary("sin"),
  cos: unary("cos"),
  tan: unary("tan"),
  tanh: unary("tanh"),
  erf: unary("erf"),
  relu: unary("relu"),
  sigmoid: unary("sigmoid"),
  silu: unary("silu"),
  softplus: unary("softplus"),
  mish: unary("mish"),
  hardSwish: unary("hardSwish"),
  logicalNot: unary("logicalNot"),
  isNaN: unary("isNaN"),
  gelu: (x, { approximate = "none" } = {}) => one("gelu", [x], { approximate }),
  leakyRelu: (x, alpha = 0.01) => one("leakyRelu", [x], { alpha }),
  elu: (x, alpha = 1) => one("elu", [x], { alpha }),
  clamp: (x, min, max) =>
    one("clamp", [x], { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }),
  cast: (x, to) => (x.dtype === to ? x : one("cast", [x], { to })),

  add: binary("add"),
  sub: binary("sub"),
  mul: binary("mul"),
  div: binary("div"),
  pow: binary("pow"),
  mod: binary("mod"),
  maximum: binary("maximum"),
  minimum: binary("minimum"),
  equal: binary("equal"),
  notEqual: binary("notEqual"),
  less: binary("less"),
  lessEqual: binary("lessEqual"),
  greater: binary("greater"),
  greaterEqual: binary("greaterEqual"),
  logicalAnd: binary("logicalAnd"),
  logicalOr: binary("logicalOr"),
  logicalXor: binary("logicalXor"),
  where: (condition, a, b) => {
    const like = typeof a === "number" ? b : a;
    if (typeof like === "number")
      throw new UserError("where: one of the two choices must be a value, to give the dtype");
    return one("where", [condition, operand(like, a), operand(like, b)]);
  },

  reshape: (x, shape) => one("reshape", [x], { shape: completeShape(x, shape) }),
  transpose: (x, perm) =>
    one("transpose", [x], {
      perm: perm?.map((axis) => axisOf(x, axis)) ?? x.shape.map((_, axis) => x.shape.length - 1 - axis),
    }),
  expand: (x, shape) => one("expand", [x], { shape: shape.map(sizeOf) }),
  squeeze: (x, axes) => {
    const gone = listOf(axes).map((axis) => axisOf(x, axis));
    const wide = gone.find((axis) => dimEqual(x.shape[axis] as Dim, 1) === false);
    if (wide !== undefined)
      throw new UserError(`squeeze: axis ${wide} of ${printTensorType(x.type)} has more than one element`);
    return one("reshape", [x], { shape: x.shape.filter((_, axis) => !gone.includes(axis)) });
  },
  unsqueeze: (x, axes) => {
    const list = listOf(axes);
    const added = list.map((axis) => axisOf(x, axis, x.shape.length + list.length)).sort((a, b) => a - b);
    return one("reshape", [x], { shape: added.reduce<Shape>((shape, axis) => shape.toSpliced(axis, 0, 1), x.shape) });
  },
  flatten: (x, axis = 1) => {
    const at = axisOf(x, axis, x.shape.length + 1);
    return one("reshape", [x], { shape: [...x.shape.slice(0, at), shapeSize(x.shape.slice(at))] });
  },
  slice: (x, axis, start, end = Infinity, step = 1) => {
    const at = axisOf(x, axis);
    const plan = sliceAxis(x.shape[at] as Dim, start, end, step);
    const rank = x.shape.length;
    return one("slice", [x], {
      starts: new Array<Dim>(rank).fill(0).with(at, plan.start),
      sizes: x.shape.with(at, plan.size),
      steps: new Array<number>(rank).fill(1).with(at, step),
    });
  },
  pad: (x, before, after, { mode = "constant", value = 0 } = {}) => one("pad", [x], { before, after, mode, value }),
  concat: (x, others, axis = 0) => one("concat", [x, ...others], { axis: axisOf(x, axis) }),
  tile: (x, repeats) => one("tile", [x], { repeats }),

  gather: (x, indices, axis = 0) => one("gather", [x, indices], { axis: axisOf(x, axis) }),
  argMax: extremeIndex("argMax"),
  argMin: extremeIndex("argMin"),
  cumSum: (x, axis) => one("cumSum", [x], { axis: axisOf(x, axis), exclusive: false, reverse: false }),

  sum: reduction("reduceSum"),
  mean: reduction("reduceMean"),
  max: reduction("reduceMax"),
  min: reduction("reduceMin"),
  prod: reduction("reduceProd"),
  softmax: (x, axis = -1) => one("softmax", [x], { axis: axisOf(x, axis) }),
  logSoftmax: (x, axis = -1) => one("logSoftmax", [x], { axis: axisOf(x, axis) }),

  matmul: (a, b, { transposeA = false, transposeB = false } = {}) =>
    one("matmul", [a, b], { ...(transposeA ? { transposeA } : {}), ...(transposeB ? { transposeB } : {}) }),
  expertMatmul: (x, ids, weights) => one("expertMatmul", [x, ids, weights]),
  conv: (x, weights, options = {}) => {
    const attrs = windowAttrs(x.shape.length - 2, options, 1);
    return one("conv", [x, weights, ...(options.bias === undefined ? [] : [options.bias])], {
      ...attrs,
      groups: options.groups ?? 1,
    });
  },
  maxPool: (x, kernel, options = {}) =>
    one("maxPool", [x], {
      kernel,
      ...windowAttrs(kernel.length, options, kernel),
      ceilMode: options.ceilMode ?? false,
    }),
  averagePool: (x, kernel, options = {}) =>
    one("averagePool", [x], {
      kernel,
      ...windowAttrs(kernel.length, options, kernel),
      ceilMode: options.ceilMode ?? false,
      countIncludePad: options.countIncludePad ?? false,
    }),
  attention: (q, k, v, { runs, pages, keys, values, keyScales, valueScales }, options = {}) =>
    one("attention", [q, k, v, runs, pages, keys, values, keyScales, valueScales], {
      ...(options.scale === undefined ? {} : { scale: options.scale }),
      ...(options.softcap === undefined ? {} : { softcap: options.softcap }),
      ...(options.window === undefined ? {} : { window: options.window }),
    }),
  layerNorm: (x, { scale, bias, axis = -1, epsilon = 1e-5 } = {}) =>
    one("layerNorm", [x, scale, bias], { axis: axisOf(x, axis), epsilon }),
  rmsNorm: (x, { scale, axis = -1, epsilon = 1e-5 } = {}) =>
    one("rmsNorm", [x, scale], { axis: axisOf(x, axis), epsilon }),
  shapeOf: (x) => one("shapeOf", [x]),
};

for (const [name, method] of Object.entries(METHODS) as [string, (first: Var, ...rest: unknown[]) => Var][]) {
  Object.defineProperty(VarBase.prototype, name, {
    value(this: Var, ...rest: unknown[]): Var {
      return method(this, ...rest);
    },
  });
  Object.defineProperty(ScopeBase.prototype, name, {
    value(this: GraphScope, first: Var, ...rest: unknown[]): Var {
      checkScope(this, first);
      return method(first, ...rest);
    },
  });
}
