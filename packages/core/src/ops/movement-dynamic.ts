/**
 * Movement whose arguments are tensors. Each decomposes into its static form once shape arithmetic knows the arguments;
 * until then the sizes of the result are fresh symbols.
 */

import { type Dim, dimAdd, dimFloorDiv, dimMul, dimSub, printDim, sameDim, shapeSize } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import {
  type Attr,
  type Attrs,
  type ConstantData,
  type TensorType,
  type Value,
  isConstantData,
} from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { booleanAttr, choiceAttr } from "./attrs.ts";
import { constant, of, opCase, scalar, values } from "./cases.ts";
import { type Types, broadcastShapes, checkRank, checkSameDType, given, indexTyped, reject } from "./check.ts";
import { dimLess, lowerBound } from "./dim-facts.ts";
import { PAD_MODES, padReference, tileReference } from "./movement-reference.ts";
import type { InferContext, Op } from "./op.ts";
import { broadcastTo, gatherAt, input, positions, refOf, stridesOf } from "./ref-tensor.ts";
import { refFromConstant } from "./ref-convert.ts";
import { sliceAxis } from "./slice-bounds.ts";

type Values = readonly (Value | undefined)[];

/** The elements of input `index` as dimensions, where they are known. */
function known(context: Pick<InferContext, "dims">, inputs: Values, index: number): readonly Dim[] | undefined {
  const value = inputs[index];
  return value === undefined ? undefined : context.dims(value);
}

/** Number of elements of a list input; its size must be known, since it is a rank. */
function listLength(op: string, types: Types, index: number, name: string): number {
  const type = indexTyped(op, types, index, name);
  checkRank(op, type, name, 1);
  const [size] = type.shape;
  return typeof size === "number"
    ? size
    : reject(op, `the size of input "${name}" must be known, got ${printTensorType(type)}`);
}

function freshShape(context: InferContext, hint: string, rank: number): Dim[] {
  return Array.from({ length: rank }, () => context.freshDim(hint));
}

/** The target of a reshape: 0 copies an input size (unless allowed), -1 takes what is left. */
function reshapeTarget(x: readonly Dim[], wanted: readonly Dim[], allowZero: boolean): Dim[] {
  const target = wanted.map((dim, axis) =>
    dim === 0 && !allowZero
      ? (x[axis] ?? reject("reshapeDynamic", `a 0 on axis ${axis} copies an axis that the input does not have`))
      : dim,
  );
  const open = target.indexOf(-1);
  if (open < 0) return target;
  const rest = target.filter((_, axis) => axis !== open);
  // Factors that occur on both sides cancel even where division cannot see it.
  const total = [...x];
  const divisor = rest.filter((dim) => {
    const at = total.findIndex((other) => sameDim(dim, other) && dim !== 0);
    if (at >= 0) total.splice(at, 1);
    return at < 0;
  });
  const by = shapeSize(divisor);
  const left = by === 0 ? 0 : dimFloorDiv(shapeSize(total), by);
  return target.with(open, left);
}

export const reshapeDynamic: Op = {
  name: "reshapeDynamic",
  summary: "reshape to a run-time shape: 0 copies a size (unless allowZero), -1 is what is left",
  inputs: ["x", "shape"],
  infer: (types, attrs, context, inputs) => {
    const x = given("reshapeDynamic", types, 0, "x");
    const rank = listLength("reshapeDynamic", types, 1, "shape");
    const wanted = known(context, inputs, 1);
    const shape =
      wanted === undefined
        ? freshShape(context, "reshape", rank)
        : reshapeTarget(x.shape, wanted, booleanAttr("reshapeDynamic", attrs, "allowZero", false));
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const shape = reshapeTarget(
      x.shape,
      Array.from(input(inputs, 1).data),
      booleanAttr("reshapeDynamic", attrs, "allowZero", false),
    ) as number[];
    if (shape.reduce((n, dim) => n * dim, 1) !== x.data.length)
      reject("reshapeDynamic", `[${x.shape.join(", ")}] has another number of elements than [${shape.join(", ")}]`);
    return [refOf(x.dtype, shape, x.data)];
  },
  decompose: (b, [x, shape], attrs) => {
    const value = x as Value;
    const wanted = b.dims(shape as Value);
    if (wanted === undefined) return undefined;
    return b.apply("reshape", [value], { shape: reshapeTarget(value.type.shape, wanted, attrs["allowZero"] === true) });
  },
  dims: ([x]) => x,
  cases: () => [
    opCase("known", [of("f32", 2, 6), constant(values("i64", [3, -1]))], { allowZero: false }),
    opCase("copies", [of("f32", 2, 6), constant(values("i64", [0, 2, -1]))], { allowZero: false }),
    opCase("at run time", [of("f32", 2, 6), values("i64", [4, 3])], { allowZero: false }),
    opCase("allows zero", [of("f32", 0, 6), constant(values("i64", [3, 0]))], { allowZero: true }),
    opCase("to scalar", [of("i64", 1), constant(values("i64", [], 0))], { allowZero: false }),
  ],
};

export const expandDynamic: Op = {
  name: "expandDynamic",
  summary: "x broadcast together with a run-time shape",
  inputs: ["x", "shape"],
  infer: (types, _attrs, context, inputs) => {
    const x = given("expandDynamic", types, 0, "x");
    const rank = Math.max(listLength("expandDynamic", types, 1, "shape"), x.shape.length);
    const wanted = known(context, inputs, 1);
    return [
      {
        dtype: x.dtype,
        shape:
          wanted === undefined
            ? freshShape(context, "expand", rank)
            : broadcastShapes("expandDynamic", [x.shape, wanted]),
      },
    ];
  },
  reference: (inputs) => {
    const x = input(inputs, 0);
    return [broadcastTo(x, broadcastShapes("expandDynamic", [x.shape, Array.from(input(inputs, 1).data)]) as number[])];
  },
  decompose: (b, [x, shape]) => {
    const value = x as Value;
    const wanted = b.dims(shape as Value);
    return (
      wanted && b.apply("expand", [value], { shape: broadcastShapes("expandDynamic", [value.type.shape, wanted]) })
    );
  },
  dims: ([x, shape]) => {
    const size = shape === undefined ? undefined : shapeSize(shape);
    return x?.length === 1 && typeof size === "number" ? new Array<Dim>(size).fill(x[0] as Dim) : undefined;
  },
  cases: () => [
    opCase("known", [of("f32", 3, 1), constant(values("i64", [2, 1, 5]))]),
    opCase("keeps larger axes", [of("f32", 3, 4), constant(values("i64", [1, 4]))]),
    opCase("at run time", [of("f32", 3, 1), values("i64", [3, 17])]),
    opCase("scalar", [scalar("i64", 7), constant(values("i64", [4]))]),
    opCase("to empty", [of("f32", 1), constant(values("i64", [0]))]),
  ],
};

/** Axes of a slice, which default to the first ones; negative ones count from the end. */
function axesFrom(op: string, rank: number, count: number, axes: readonly Dim[] | undefined): number[] {
  const list =
    axes === undefined
      ? Array.from({ length: count }, (_, i) => i)
      : axes.map((axis) => (typeof axis === "number" ? axis : reject(op, "axes must be numbers")));
  return list.map((axis) => {
    const at = axis < 0 ? axis + rank : axis;
    return at >= 0 && at < rank ? at : reject(op, `axis ${axis} is outside of ${rank} axes`);
  });
}

interface SlicePlan {
  readonly starts: readonly Dim[];
  readonly sizes: readonly Dim[];
  readonly steps: readonly number[];
}

/** The static form of a slice with known arguments. */
function planSlice(
  shape: readonly Dim[],
  starts: readonly Dim[],
  ends: readonly Dim[],
  axes: readonly Dim[] | undefined,
  steps: readonly Dim[] | undefined,
): SlicePlan {
  const plan = { starts: shape.map((): Dim => 0), sizes: [...shape], steps: shape.map(() => 1) };
  axesFrom("sliceDynamic", shape.length, starts.length, axes).forEach((axis, i) => {
    const step = steps?.[i] ?? 1;
    if (typeof step !== "number" || step === 0)
      return reject("sliceDynamic", `step ${printDim(step)} must be a number other than 0`);
    const { start, size } = sliceAxis(shape[axis] as Dim, starts[i] as Dim, ends[i] as Dim, step);
    plan.starts[axis] = start;
    plan.sizes[axis] = size;
    plan.steps[axis] = step;
  });
  return plan;
}

export const sliceDynamic: Op = {
  name: "sliceDynamic",
  summary: "Slice with run-time starts, ends, axes and steps; negative bounds count from the end, bounds clamp",
  inputs: ["x", "starts", "ends", "axes?", "steps?"],
  infer: (types, _attrs, context, inputs) => {
    const x = given("sliceDynamic", types, 0, "x");
    const count = listLength("sliceDynamic", types, 1, "starts");
    if (listLength("sliceDynamic", types, 2, "ends") !== count)
      reject("sliceDynamic", `${count} starts, but other ends: ${printTensorType(types[2] as TensorType)}`);
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => known(context, inputs, i));
    const open = (i: number, dims: readonly Dim[] | undefined): boolean => types[i] !== undefined && dims === undefined;
    if (open(3, axes)) return [{ dtype: x.dtype, shape: freshShape(context, "slice", x.shape.length) }];
    if (starts === undefined || ends === undefined || open(4, steps)) {
      const touched = axesFrom("sliceDynamic", x.shape.length, count, axes);
      return [
        {
          dtype: x.dtype,
          shape: x.shape.map((dim, axis) => (touched.includes(axis) ? context.freshDim("slice") : dim)),
        },
      ];
    }
    return [{ dtype: x.dtype, shape: planSlice(x.shape, starts, ends, axes, steps).sizes }];
  },
  reference: (inputs) => {
    const x = input(inputs, 0);
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => inputs[i] && Array.from(inputs[i].data)) as [
      number[],
      number[],
      number[] | undefined,
      number[] | undefined,
    ];
    const plan = planSlice(x.shape, starts, ends, axes, steps) as {
      starts: number[];
      sizes: number[];
      steps: number[];
    };
    const strides = stridesOf(x.shape);
    const start = strides.reduce((sum, stride, axis) => sum + stride * (plan.starts[axis] as number), 0);
    return [
      gatherAt(
        x,
        plan.sizes,
        positions(
          plan.sizes,
          strides.map((stride, axis) => stride * (plan.steps[axis] as number)),
          start,
        ),
      ),
    ];
  },
  decompose: (b, inputs) => {
    const x = inputs[0] as Value;
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => known(b, inputs, i));
    const open = (i: number, dims: readonly Dim[] | undefined): boolean =>
      inputs[i] !== undefined && dims === undefined;
    if (starts === undefined || ends === undefined || open(3, axes) || open(4, steps)) return undefined;
    const plan = planSlice(x.type.shape, starts, ends, axes, steps);
    return b.apply("slice", [x], { starts: plan.starts, sizes: plan.sizes, steps: plan.steps });
  },
  dims: ([x, starts, ends, axes, steps], _attrs, types) => {
    const shape = types[0]?.shape;
    if (x === undefined || starts === undefined || ends === undefined || shape?.length !== 1) return undefined;
    if ((types[3] !== undefined && axes === undefined) || (types[4] !== undefined && steps === undefined))
      return undefined;
    const plan = planSlice(shape, starts, ends, axes, steps);
    const [[start], [size], [step]] = [plan.starts, plan.sizes, plan.steps];
    if (typeof start !== "number" || typeof size !== "number" || step === undefined) return undefined;
    return Array.from({ length: size }, (_, i) => x[start + i * step] as Dim);
  },
  cases: () => [
    opCase("known", [
      of("f32", 9, 17),
      ...[
        [1, -5],
        [-1, 1000],
        [0, 1],
        [2, 1],
      ].map((list) => constant(values("i64", list))),
    ]),
    opCase("backwards", [
      of("f32", 9, 4),
      ...[[-1], [-(2 ** 31)], [0], [-2]].map((list) => constant(values("i64", list))),
    ]),
    opCase("empty", [of("f32", 9), constant(values("i64", [7])), constant(values("i64", [3]))]),
    opCase("to the end", [of("f32", 5), constant(values("i64", [2])), constant(values("i64", [2 ** 53]))]),
    opCase("starts at run time", [
      of("f32", 9, 4),
      values("i64", [2]),
      values("i64", [5]),
      constant(values("i64", [0])),
    ]),
    opCase("axes at run time", [of("f32", 9, 4), values("i64", [1]), values("i64", [3]), values("i64", [-1])]),
    opCase("list", [values("i64", [4, 5, 6, 7]), constant(values("i64", [1])), constant(values("i64", [-1]))]),
  ],
};

/** Widths per axis from the list of all befores, then all afters, of the given axes. */
function padWidths(
  rank: number,
  pads: readonly Dim[],
  axes: readonly Dim[] | undefined,
): { before: Dim[]; after: Dim[] } {
  const widths = { before: new Array<Dim>(rank).fill(0), after: new Array<Dim>(rank).fill(0) };
  const count = pads.length / 2;
  axesFrom("padDynamic", rank, count, axes).forEach((axis, i) => {
    widths.before[axis] = pads[i] as Dim;
    widths.after[axis] = pads[i + count] as Dim;
  });
  return widths;
}

/** The number in a constant scalar, or 0 without one; `undefined` where only the run knows it. */
function padValue(value: Value | undefined): number | undefined {
  if (value === undefined) return 0;
  const data: Attr | undefined = value.node.attrs["value"];
  return value.node.op === "constant" && isConstantData(data)
    ? (refFromConstant(data as ConstantData).data[0] ?? 0)
    : undefined;
}

export const padDynamic: Op = {
  name: "padDynamic",
  summary: "pad with run-time widths (negative ones remove), value and axes",
  inputs: ["x", "pads", "value?", "axes?"],
  infer: (types, attrs, context, inputs) => {
    const x = given("padDynamic", types, 0, "x");
    choiceAttr("padDynamic", attrs, "mode", PAD_MODES, "constant");
    listLength("padDynamic", types, 1, "pads");
    if (types[2] !== undefined) checkSameDType("padDynamic", x, types[2]);
    const [pads, axes] = [known(context, inputs, 1), known(context, inputs, 3)];
    if (pads === undefined || (types[3] !== undefined && axes === undefined))
      return [{ dtype: x.dtype, shape: freshShape(context, "pad", x.shape.length) }];
    const { before, after } = padWidths(x.shape.length, pads, axes);
    return [
      {
        dtype: x.dtype,
        shape: x.shape.map((dim, axis) => dimAdd(dim, dimAdd(before[axis] as Dim, after[axis] as Dim))),
      },
    ];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const { before, after } = padWidths(
      x.shape.length,
      Array.from(input(inputs, 1).data),
      inputs[3] && Array.from(inputs[3].data),
    ) as { before: number[]; after: number[] };
    const mode = choiceAttr("padDynamic", attrs, "mode", PAD_MODES, "constant");
    const value = inputs[2]?.data[0] ?? 0;
    // Negative widths remove elements first.
    const strides = stridesOf(x.shape);
    const kept = x.shape.map((size, axis) =>
      Math.max(0, size + Math.min(0, before[axis] as number) + Math.min(0, after[axis] as number)),
    );
    const start = strides.reduce((sum, stride, axis) => sum + stride * Math.max(0, -(before[axis] as number)), 0);
    const inner = gatherAt(x, kept, positions(kept, strides, start));
    const clip = (widths: readonly number[]): number[] => widths.map((width) => Math.max(0, width));
    return [padReference(inner, clip(before), clip(after), mode, value)];
  },
  decompose: (b, [x, pads, value, axes], attrs) =>
    padStatic(b, x as Value, b.dims(pads as Value), padValue(value), axes && b.dims(axes), axes !== undefined, attrs),
  cases: () => [
    opCase("known", [of("f32", 3, 5), constant(values("i64", [1, 0, 0, 2]))], { mode: "constant" }),
    opCase("value", [of("f32", 3, 5), constant(values("i64", [1, 0, 0, 2])), constant(scalar("f32", 2.5))], {
      mode: "constant",
    }),
    opCase("infinite value", [of("f32", 3), constant(values("i64", [1, 1])), constant(scalar("f32", -Infinity))], {
      mode: "constant",
    }),
    opCase("axes", [of("f32", 3, 5), constant(values("i64", [1, 2])), undefined, constant(values("i64", [-1]))], {
      mode: "constant",
    }),
    opCase("negative", [of("f32", 5, 5), constant(values("i64", [-1, 1, 2, -2]))], { mode: "constant" }),
    opCase("reflect", [of("f32", 5, 5), constant(values("i64", [2, 1, 0, 3]))], { mode: "reflect" }),
    opCase("edge", [of("f32", 5, 5), constant(values("i64", [2, 1, 0, 3]))], { mode: "edge" }),
    opCase("at run time", [of("f32", 3, 5), values("i64", [1, 0, 0, 2]), scalar("f32", 7)], { mode: "constant" }),
  ],
};

function padStatic(
  b: GraphBuilder,
  x: Value,
  pads: readonly Dim[] | undefined,
  value: number | undefined,
  axes: readonly Dim[] | undefined,
  hasAxes: boolean,
  attrs: Attrs,
): readonly Value[] | undefined {
  if (pads === undefined || value === undefined || (hasAxes && axes === undefined)) return undefined;
  const { before, after } = padWidths(x.type.shape.length, pads, axes);
  const negative = (width: Dim): boolean => dimLess(width, 0) === true;
  // The sign of a symbolic width must be known, since removing and adding are different ops.
  if ([...before, ...after].some((width) => !negative(width) && lowerBound(width) < 0)) return undefined;
  let inner = x;
  if ([...before, ...after].some(negative)) {
    const removed = (width: Dim): Dim => (negative(width) ? dimMul(width, -1) : 0);
    const sizes = x.type.shape.map((dim, axis) =>
      dimSub(dim, dimAdd(removed(before[axis] as Dim), removed(after[axis] as Dim))),
    );
    inner = b.apply("slice", [x], { starts: before.map(removed), sizes, steps: sizes.map(() => 1) })[0] as Value;
  }
  const added = (widths: readonly Dim[]): Dim[] => widths.map((width) => (negative(width) ? 0 : width));
  return b.apply("pad", [inner], {
    before: added(before),
    after: added(after),
    mode: attrs["mode"] ?? "constant",
    value,
  });
}

export const tileDynamic: Op = {
  name: "tileDynamic",
  summary: "tile with run-time repeats",
  inputs: ["x", "repeats"],
  infer: (types, _attrs, context, inputs) => {
    const x = given("tileDynamic", types, 0, "x");
    const count = listLength("tileDynamic", types, 1, "repeats");
    if (count !== x.shape.length)
      reject("tileDynamic", `needs ${x.shape.length} repeats for ${printTensorType(x)}, got ${count}`);
    const repeats = known(context, inputs, 1);
    return [
      {
        dtype: x.dtype,
        shape: x.shape.map((dim, axis) =>
          repeats === undefined ? context.freshDim("tile") : dimMul(dim, repeats[axis] as Dim),
        ),
      },
    ];
  },
  reference: (inputs) => [tileReference(input(inputs, 0), Array.from(input(inputs, 1).data))],
  decompose: (b, [x, repeats]) => {
    const counts = b.dims(repeats as Value);
    return counts && b.apply("tile", [x], { repeats: counts });
  },
  cases: () => [
    opCase("known", [of("f32", 2, 3), constant(values("i64", [2, 3]))]),
    opCase("at run time", [of("f32", 2, 3), values("i64", [1, 4])]),
    opCase("none", [of("f32", 2, 3), constant(values("i64", [0, 1]))]),
  ],
};
