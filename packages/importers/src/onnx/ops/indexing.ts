/** Ops that pick, place or order elements by index. */

import type { Value } from "@quern/core";
import { apply, applyAll, cast, expand, reshape, scalar } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";

function axisOf(n: OnnxNode, fallback: number): number {
  return n.axis(n.int("axis", fallback), n.input(0).type.shape.length);
}

export const Gather: OpFunction = (n) => apply(n.b, "gather", [n.input(0), n.input(1)], { axis: axisOf(n, 0) });
export const GatherElements: OpFunction = (n) =>
  apply(n.b, "gatherElements", [n.input(0), n.input(1)], { axis: axisOf(n, 0) });
export const GatherND: OpFunction = (n) =>
  apply(n.b, "gatherND", [n.input(0), n.input(1)], { batchDims: n.int("batch_dims", 0) });

const REDUCTIONS = ["none", "add", "mul", "max", "min"] as const;

export const ScatterElements: OpFunction = (n) =>
  apply(n.b, "scatterElements", [n.input(0), n.input(1), n.input(2)], {
    axis: axisOf(n, 0),
    reduction: n.choice("reduction", REDUCTIONS, "none"),
  });

export const Scatter: OpFunction = ScatterElements;

export const ScatterND: OpFunction = (n) =>
  apply(n.b, "scatterND", [n.input(0), n.input(1), n.input(2)], {
    reduction: n.choice("reduction", REDUCTIONS, "none"),
  });

export const OneHot: OpFunction = (n) => {
  const [indices, depth, values] = [n.input(0), n.input(1), n.input(2)];
  const rank = indices.type.shape.length + 1;
  const axis = n.axis(n.int("axis", -1), rank);
  const exact = indices.type.dtype === "i64" || indices.type.dtype === "i32" ? indices : cast(n.b, indices, "i64");
  return apply(n.b, "oneHot", [exact, reshape(n.b, cast(n.b, depth, "i64"), []), values], { axis });
};

export const TopK: OpFunction = (n) => {
  const x = n.input(0);
  const axis = axisOf(n, -1);
  const k = n.opset < 10 ? scalar(n.b, "i64", n.int("k")) : reshape(n.b, n.input(1), []);
  return applyAll(n.b, "topK", [x, k], { axis, largest: n.flag("largest", true), sorted: n.flag("sorted", true) });
};

function argExtreme(name: string): OpFunction {
  return (n) =>
    apply(n.b, name, [n.input(0)], {
      axis: axisOf(n, 0),
      keepDims: n.flag("keepdims", true),
      selectLast: n.flag("select_last_index", false),
    });
}

export const ArgMax: OpFunction = argExtreme("argMax");
export const ArgMin: OpFunction = argExtreme("argMin");

export const NonZero: OpFunction = (n) => apply(n.b, "nonZero", [n.input(0)]);

function cumulative(name: string): OpFunction {
  return (n) => {
    const axis = n.axis(n.constantNumbers(1, "axis")[0] ?? 0, n.input(0).type.shape.length);
    return apply(n.b, name, [n.input(0)], {
      axis,
      exclusive: n.flag("exclusive", false),
      reverse: n.flag("reverse", false),
    });
  };
}

export const CumSum: OpFunction = cumulative("cumSum");
export const CumProd: OpFunction = cumulative("cumProd");

export const EyeLike: OpFunction = (n) => {
  const x = n.input(0);
  return apply(n.b, "eyeLike", [x], { dtype: n.dtype("dtype") ?? x.type.dtype, k: n.int("k", 0) });
};

export const Compress: OpFunction = (n) =>
  apply(n.b, "compress", [n.input(0), n.input(1)], n.has("axis") ? { axis: axisOf(n, 0) } : {});

export const Unique: OpFunction = (n) => {
  const attrs = { sorted: n.flag("sorted", true) };
  return applyAll(n.b, "unique", [n.input(0)], n.has("axis") ? { ...attrs, axis: axisOf(n, 0) } : attrs);
};

export const NonMaxSuppression: OpFunction = (n) => {
  const one = (index: number): Value | undefined => {
    const value = n.optional(index);
    return value === undefined ? undefined : reshape(n.b, value, []);
  };
  return apply(n.b, "nonMaxSuppression", [n.input(0), n.input(1), one(2), one(3), one(4)], {
    centerPoint: n.flag("center_point_box", false),
  });
};

/** Writes `update` into a cache along one axis, each batch entry at its own position. */
export const TensorScatter: OpFunction = (n) => {
  const [cache, update] = [n.input(0), n.input(1)];
  const positions = n.optional(2);
  const { b } = n;
  const { shape } = cache.type;
  const axis = n.axis(n.int("axis", -2), shape.length);
  const mode = n.choice("mode", ["linear", "circular"], "linear");
  const length = update.type.shape[axis] ?? 0;
  const steps = apply(b, "range", [
    scalar(b, "i64", 0),
    typeof length === "number" ? scalar(b, "i64", length) : n.unsupported("the update must have a fixed length"),
    scalar(b, "i64", 1),
  ]);
  const along = reshape(
    b,
    steps,
    shape.map((_, i) => (i === axis ? length : 1)),
  );
  const start =
    positions === undefined
      ? scalar(b, "i64", 0)
      : reshape(
          b,
          cast(b, positions, "i64"),
          shape.map((dim, i) => (i === 0 ? dim : 1)),
        );
  const places = apply(b, "add", [along, start]);
  const limit = shape[axis] ?? 0;
  const wrapped =
    mode === "linear"
      ? places
      : apply(b, "mod", [
          places,
          typeof limit === "number" ? scalar(b, "i64", limit) : n.unsupported("the cache must have a fixed length"),
        ]);
  return apply(b, "scatterElements", [cache, expand(b, wrapped, update.type.shape), update], {
    axis,
    reduction: "none",
  });
};
