/**
 * Attention of one step of a language model over a paged cache of keys and values, which is state of the graph.
 *
 * `runs` has a row (first token, count, sequence, first position) for every stretch of consecutive tokens; together they
 * cover the T tokens in order, and rows of count 0 are padding. First, key and value of each token are written to page
 * `pages[sequence, ⌊position / pageSize⌋]` at slot `position mod pageSize`. Then the token at position p attends to the
 * positions max(0, p - window + 1)..p of its sequence. Query head h reads head ⌊h · Hkv / Hq⌋ of the cache.
 *
 * Shapes: q [T, Hq, D], k and v [T, Hkv, D], runs [R, 4], pages [S, P], keys [N, Hkv, D, pageSize] (tokens are the lanes
 * of vectors), values [N, Hkv, pageSize, D]. A cache of i8 has scales of f16 for every 32 elements of a head: keyScales
 * [N, Hkv, D/32, pageSize], valueScales [N, Hkv, pageSize, D/32].
 */

import type { TensorType } from "../graph/graph.ts";
import { attentionCases } from "./attention-cases.ts";
import { ATTENTION_INPUTS, attentionProblem } from "./attention-problem.ts";
import { attend } from "./attention-reference.ts";
import { reject } from "./check.ts";
import type { Op } from "./op.ts";
import { sumTolerance } from "./tolerance.ts";

const STATE = ["keys", "values", "keyScales", "valueScales"] as const;

export const attention: Op = {
  name: "attention",
  summary: "Writes k and v to pages of a cache, then softmax(scale · q · keysᵀ) · values for every token",
  inputs: ["q", "k", "v", "runs", "pages", "keys", "values", "keyScales?", "valueScales?"],
  updates: STATE.map((name) => ATTENTION_INPUTS[name]),
  impure: true,
  infer: (types, attrs, _context, graphValues) => {
    attentionProblem(types, attrs);
    for (const name of STATE) {
      const value = graphValues[ATTENTION_INPUTS[name]];
      if (value !== undefined && value.node.op !== "input")
        reject("attention", `"${name}" is state and must be an input of the graph, got the result of ${value.node.op}`);
    }
    const { dtype, shape } = types[ATTENTION_INPUTS.q] as TensorType;
    return [{ dtype, shape }];
  },
  reference: (inputs, attrs) => [attend(inputs, attrs)],
  toleranceFor: (types) => sumTolerance(64 + Number(types[0]?.shape.at(-1) ?? 0)),
  cases: attentionCases,
};
