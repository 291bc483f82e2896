/** Scaled dot-product attention and rotary positions, as products, masks and a softmax for the fusion to find. */

import { type Dim, type Value, dimEqual, dimFloorDiv, isFloat } from "@quern/core";
import { add, apply, cast, concat, reshape, scalar, scaled, sub, swapLast, transpose, unsqueeze } from "../build.ts";
import type { OnnxNode, OpFunction } from "../node.ts";
import { joinHeads, rotate, splitHeads } from "./heads.ts";

/** Repeats each of the key's heads for a group of query heads. */
function repeatHeads(n: OnnxNode, x: Value, heads: Dim): Value {
  const [batch, own, length, width] = x.type.shape as [Dim, Dim, Dim, Dim];
  if (dimEqual(own, heads) === true) return x;
  if (typeof own !== "number" || typeof heads !== "number" || heads % own !== 0)
    return n.fail(`${String(heads)} query heads for ${String(own)} key heads`);
  const groups = apply(n.b, "expand", [reshape(n.b, x, [batch, own, 1, length, width])], {
    shape: [batch, own, heads / own, length, width],
  });
  return reshape(n.b, groups, [batch, heads, length, width]);
}

/** 0, 1, … along the last axis of a column or row. */
function positionsAlong(n: OnnxNode, size: Dim, column: boolean): Value {
  const { b } = n;
  const limit =
    typeof size === "number"
      ? scalar(b, "i64", size)
      : apply(b, "dimTensor", [], { dims: [size], shape: [], dtype: "i64" });
  const list = apply(b, "range", [scalar(b, "i64", 0), limit, scalar(b, "i64", 1)]);
  return reshape(b, list, column ? [size, 1] : [1, size]);
}

/** What is added to the scores: 0 where a key is seen, -∞ where it is not. */
function hidden(n: OnnxNode, seen: Value, like: Value): Value {
  return apply(n.b, "where", [seen, scalar(n.b, like.type.dtype, 0), scalar(n.b, like.type.dtype, -Infinity)]);
}

export const Attention: OpFunction = (n) => {
  const { b } = n;
  const flat = n.input(0).type.shape.length === 3;
  const q = splitHeads(n, n.input(0), flat ? n.int("q_num_heads") : 0);
  const [pastKey, pastValue] = [n.optional(4), n.optional(5)];
  const kvHeads = n.input(1).type.shape.length === 3 ? n.int("kv_num_heads") : 0;
  const [newKey, newValue] = [splitHeads(n, n.input(1), kvHeads), splitHeads(n, n.input(2), kvHeads)];
  const key = pastKey === undefined ? newKey : concat(b, [pastKey, newKey], 2);
  const value = pastValue === undefined ? newValue : concat(b, [pastValue, newValue], 2);
  const [, heads, queries, width] = q.type.shape as [Dim, Dim, Dim, Dim];
  const total = key.type.shape[2] as Dim;
  const scale = n.float("scale", typeof width === "number" ? 1 / Math.sqrt(width) : 1);
  const root = Math.sqrt(scale);
  const raw = apply(b, "matmul", [scaled(b, q, root), swapLast(b, scaled(b, repeatHeads(n, key, heads), root))]);
  let mask = maskOf(n, raw, total);
  if (n.flag("is_causal", false)) mask = combine(n, mask, causalMask(n, raw, queries, total, pastKey));
  const softcap = n.float("softcap", 0);
  const cap = (x: Value): Value =>
    softcap === 0 ? x : scaled(b, apply(b, "tanh", [scaled(b, x, 1 / softcap)]), softcap);
  const capped = cap(raw);
  const biased = mask === undefined ? capped : add(b, capped, mask);
  const precise = n.dtype("softmax_precision") ?? raw.type.dtype;
  const soft = cast(b, apply(b, "softmax", [cast(b, biased, precise)], { axis: 3 }), raw.type.dtype);
  const weights = mask === undefined ? soft : withoutHiddenRows(n, soft, mask);
  const result = apply(b, "matmul", [cast(b, weights, value.type.dtype), repeatHeads(n, value, heads)]);
  const shown =
    [raw, capped, biased, weights][n.int("qk_matmul_output_mode", 0)] ?? n.fail("qk_matmul_output_mode is not in 0..3");
  return [flat ? joinHeads(n, result) : result, key, value, shown];
};

/** Zeros for queries that see no key at all, whose softmax has no value. */
function withoutHiddenRows(n: OnnxNode, weights: Value, mask: Value): Value {
  const { b } = n;
  const axis = mask.type.shape.length - 1;
  const best = apply(b, "reduceMax", [mask], { axes: [axis], keepDims: true });
  const none = apply(b, "equal", [best, scalar(b, mask.type.dtype, -Infinity)]);
  return apply(b, "where", [none, scalar(b, weights.type.dtype, 0), weights]);
}

function combine(n: OnnxNode, a: Value | undefined, c: Value): Value {
  return a === undefined ? c : add(n.b, a, c);
}

/** The given mask and the lengths of the keys, as numbers to add. */
function maskOf(n: OnnxNode, scores: Value, total: Dim): Value | undefined {
  const { b } = n;
  const given = n.optional(3);
  let mask: Value | undefined;
  if (given !== undefined) {
    mask = isFloat(given.type.dtype) ? cast(b, given, scores.type.dtype) : hidden(n, given, scores);
    const last = mask.type.shape.at(-1) as Dim;
    // A shorter mask hides the keys it does not reach.
    const missing = typeof total === "number" && typeof last === "number" ? total - last : 0;
    if (missing > 0 && last !== 1) {
      const zero = mask.type.shape.map(() => 0);
      mask = apply(b, "pad", [mask], {
        before: zero,
        after: zero.with(-1, missing),
        mode: "constant",
        value: -Infinity,
      });
    }
  }
  const lengths = n.optional(6);
  if (lengths === undefined) return mask;
  const limit = reshape(b, cast(b, lengths, "i64"), [lengths.type.shape[0] ?? 1, 1, 1, 1]);
  return combine(n, mask, hidden(n, apply(b, "less", [positionsAlong(n, total, false), limit]), scores));
}

/** Query i sees keys up to its own position, which follows the past. */
function causalMask(n: OnnxNode, scores: Value, queries: Dim, total: Dim, past: Value | undefined): Value {
  const { b } = n;
  const offset = past?.type.shape[2] ?? 0;
  let row = positionsAlong(n, queries, true);
  const lengths = n.optional(6);
  if (offset !== 0)
    row = add(
      b,
      row,
      typeof offset === "number"
        ? scalar(b, "i64", offset)
        : apply(b, "dimTensor", [], { dims: [offset], shape: [], dtype: "i64" }),
    );
  else if (lengths !== undefined) {
    // Queries are the last of the valid keys.
    const count =
      typeof queries === "number" ? scalar(b, "i64", queries) : n.unsupported("queries must have a fixed length");
    row = add(b, row, sub(b, reshape(b, cast(b, lengths, "i64"), [lengths.type.shape[0] ?? 1, 1, 1, 1]), count));
  }
  return hidden(n, apply(b, "lessEqual", [positionsAlong(n, total, false), row]), scores);
}

export const RotaryEmbedding: OpFunction = (n) => {
  const { b } = n;
  const x = n.input(0);
  const flat = x.type.shape.length === 3;
  const [batch, length] = x.type.shape as [Dim, Dim];
  const heads = flat ? n.int("num_heads") : 0;
  if (flat && heads < 1) return n.fail("num_heads is needed for an input of 3 axes");
  const split = flat
    ? reshape(b, x, [batch, length, heads, dimFloorDiv(x.type.shape[2] as Dim, heads)])
    : transpose(b, x, [0, 2, 1, 3]);
  const ids = n.optional(3);
  const width = split.type.shape[3];
  const asked = n.int("rotary_embedding_dim", 0);
  const rotary = asked !== 0 ? asked : typeof width === "number" ? width : n.unsupported("features must be fixed");
  const angles = (cache: Value): Value => {
    const looked = ids === undefined ? cache : apply(b, "gather", [cache, ids], { axis: 0 });
    return unsqueeze(b, looked, [2]);
  };
  const turned = rotate(n, split, angles(n.input(1)), angles(n.input(2)), n.flag("interleaved", false), rotary);
  return flat ? reshape(b, turned, x.type.shape) : transpose(b, turned, [0, 2, 1, 3]);
};
