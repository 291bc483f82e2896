/**
 * Lowers a group around one reduction: pointwise work on its input, the reduction (`keepDims`), pointwise work on its
 * result. Reduced last axis: one task per result, `reduce` along the axis. Otherwise the last kept axis is `each` and
 * the reduced axes are loops inside, so that accesses stay contiguous.
 */

import { type Dim, shapeSize } from "../dim.ts";
import { DTYPE_INFO, type DType, isFloat } from "../dtype.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/builder.ts";
import { type Combiner, type KValue, type Kernel } from "../kernel/ir.ts";
import { REDUCTIONS } from "../passes/fuse.ts";
import { BodyEmitter, computeType, flatten, storeAs } from "./body.ts";
import { collapseAxes } from "./collapse.ts";
import { declareBuffers } from "./pointwise.ts";

/** Elements of a row between two looks. */
const STRETCH = 4096;

const COMBINER_OF: Readonly<Record<string, Combiner>> = {
  reduceSum: "sum",
  reduceMean: "sum",
  reduceMax: "max",
  reduceMin: "min",
  reduceProd: "prod",
};

export function findReduction(body: Graph): Node | undefined {
  return body.nodes.find((node) => REDUCTIONS.has(node.op));
}

/** One kernel for `original` (inputs in order, then the output). */
export function lowerReduction(name: string, original: Graph): Kernel {
  const body = collapseAxes(original);
  const k = new KernelBuilder(name);
  const buffers = declareBuffers(k, body);
  const reduction = findReduction(body) as Node;
  const source = reduction.inputs[0] as Value;
  const result = (body.outputs[0] as { value: Value }).value;
  const axes = new Set(reduction.attrs["axes"] as readonly number[]);
  const { shape } = source.type;
  // Truth values are compared as numbers: their largest is any, their smallest is all.
  const isBool = source.type.dtype === "bool";
  const dtype = isBool ? "i32" : computeType(source.type.dtype);
  const combiner = COMBINER_OF[reduction.op] as Combiner;
  const isExtreme = isFloat(dtype) && (combiner === "max" || combiner === "min");
  const reduced = shape.map((_, axis) => axis).filter((axis) => axes.has(axis));
  const kept = shape.map((_, axis) => axis).filter((axis) => !axes.has(axis));
  const inner = shape.length - 1;
  const emitter = new BodyEmitter(k, (input) => buffers.inputs.get(input));

  const finish = (number: KValue, index: readonly KValue[]): void => {
    emitter.leaveBlock();
    const total = isBool ? k.gt(number, 0) : number;
    const count = (): KValue => k.cast(k.index(shapeSize(reduced.map((axis) => shape[axis] as Dim))), total.type.dtype);
    emitter.give(reduction.outputs[0] as Value, reduction.op === "reduceMean" ? k.div(total, count()) : total);
    const out = index.map((i, axis) => (axes.has(axis) ? k.index(0) : i));
    storeAs(k, buffers.output, flatten(k, out, result.type.shape), emitter.at(result, { index: out }));
    emitter.leaveBlock();
  };
  /** The larger or smaller one; NaN wins, the first operand's by choice, the second's by the rule of the combiner. */
  const joinExtremes = (total: KValue, next: KValue): KValue =>
    k.select(k.ne(total, total), total, combine(k, combiner, total, next));
  /** Loops over `over` (outermost first) around `leaf`, with an accumulator when there is any loop. NaN wins extremes. */
  const accumulate = (
    over: readonly number[],
    index: readonly KValue[],
    leaf: (index: readonly KValue[]) => KValue,
  ): KValue => {
    if (over.length === 0) return leaf(index);
    const sum = k.local("acc", dtype, identity(combiner, dtype));
    const loop = (at: number, current: readonly KValue[]): void => {
      const axis = over[at];
      if (axis === undefined) {
        const [total, next] = [k.read(sum), leaf(current)];
        return k.assign(sum, isExtreme ? joinExtremes(total, next) : combine(k, combiner, total, next));
      }
      k.for({ end: shape[axis] as Dim }, (i) => loop(at + 1, current.with(axis, i)));
    };
    loop(0, index);
    return k.read(sum);
  };
  const element = (index: readonly KValue[]): KValue => {
    emitter.leaveBlock();
    const value = emitter.at(source, { index });
    emitter.leaveBlock();
    return isBool ? k.cast(value, "i32") : value;
  };

  /** Elements start...start + size - 1 along the last axis. */
  const reduceStretch = (index: readonly KValue[], start: KValue, size: Dim | KValue): KValue => {
    const at = (i: KValue): KValue => element(index.with(inner, k.add(start, i)));
    const total = k.reduce(combiner, size, at);
    if (!isExtreme) return total;
    // The combiners `max` and `min` drop NaN: a second look counts them.
    const strange = k.reduce("sum", size, (i) => {
      const value = at(i);
      return k.select(k.ne(value, value), k.const(dtype, 1), k.const(dtype, 0));
    });
    return k.select(k.gt(strange, 0), k.const(dtype, NaN), total);
  };
  /** Along the last axis; what is looked at twice, in stretches that stay in the first-level cache. */
  const reduceRow = (index: readonly KValue[]): KValue => {
    const size = shape[inner] as Dim;
    if (!isExtreme || (typeof size === "number" && size <= STRETCH)) return reduceStretch(index, k.index(0), size);
    const total = k.local("row", dtype, identity(combiner, dtype));
    k.for({ end: size, step: STRETCH }, (start) => {
      const part = reduceStretch(index, start, k.min(k.sub(k.index(size), start), STRETCH));
      k.assign(total, joinExtremes(k.read(total), part));
    });
    return k.read(total);
  };

  const zero = shape.map(() => k.index(0));
  const tasks = axes.has(inner) ? kept : kept.slice(0, -1);
  const outer = reduced.filter((axis) => axis !== inner);
  const task = (index: readonly KValue[]): void => {
    if (axes.has(inner)) {
      finish(
        accumulate(outer, index, (at) => reduceRow(at)),
        index,
      );
    } else if (inner < 0) {
      // A scalar has no axes to reduce.
      finish(element(index), index);
    } else {
      k.each(shape[inner] as Dim, (i) =>
        finish(accumulate(outer, index.with(inner, i), element), index.with(inner, i)),
      );
    }
  };
  const descend = (at: number, index: readonly KValue[]): void => {
    const axis = tasks[at];
    if (axis === undefined) return task(index);
    k.parallel(shape[axis] as Dim, (i) => descend(at + 1, index.with(axis, i)));
  };
  if (tasks.length === 0) k.parallel(1, () => task(zero));
  else descend(0, zero);
  return k.finish();
}

/** Neutral element of a combiner. */
export function identity(combiner: Combiner, dtype: DType): number {
  const { min, max } = DTYPE_INFO[dtype];
  switch (combiner) {
    case "sum":
    case "or":
      return 0;
    case "prod":
    case "and":
      return 1;
    case "max":
      return isFloat(dtype) ? -Infinity : min;
    case "min":
      return isFloat(dtype) ? Infinity : max;
  }
}

/** The running result with one more element. */
export function combine(k: KernelBuilder, combiner: Combiner, a: KValue, b: KValue): KValue {
  switch (combiner) {
    case "sum":
      return k.add(a, b);
    case "prod":
      return k.mul(a, b);
    case "max":
      return k.max(a, b);
    case "min":
      return k.min(a, b);
    case "and":
      return k.and(a, b);
    case "or":
      return k.or(a, b);
  }
}
