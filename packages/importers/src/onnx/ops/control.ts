/**
 * Control flow. A branch whose condition is known at import is imported in place, and so are loops of a few known
 * turns; everything else becomes a node with sub-graphs, whose further inputs are the values taken from outside.
 */

import type { Graph, GraphBuilder, Value } from "@quern/core";
import { applyAll, cast, concat, reshape, scalar, unsqueeze } from "../build.ts";
import { capturedInputs, capturesOf } from "../capture.ts";
import { type Item, type OnnxNode, type OpFunction, isValue, numbersOf } from "../node.ts";
import type { GraphProto } from "../proto/schema.ts";
import { MAX_UNROLL, loopNode } from "./loop-node.ts";

export const If: OpFunction = (n) => {
  const [thenBranch, elseBranch] = [n.graph("then_branch"), n.graph("else_branch")];
  const known = n.number(0);
  if (known !== undefined) return n.subgraphs.inline(known !== 0 ? thenBranch : elseBranch, []);
  const condition = reshape(n.b, n.input(0), []);
  const captures = capturesOf(n, [thenBranch, elseBranch]);
  const attrs = {
    then: n.subgraphs.build(thenBranch, [], captures),
    else: n.subgraphs.build(elseBranch, [], captures),
  };
  if (!sameRanks(attrs.then, attrs.else) && comparesSizes(n.b, n.input(0))) return n.subgraphs.inline(thenBranch, []);
  return applyAll(n.b, "if", [condition, ...capturedInputs(n, captures)], attrs);
};

function sameRanks(a: Graph, c: Graph): boolean {
  return a.outputs.every(({ value }, i) => value.type.shape.length === c.outputs[i]?.value.type.shape.length);
}

/**
 * True for conditions of the form "this symbolic size is 1". PyTorch writes `squeeze` of a dynamic axis as such a
 * condition with branches of different rank; what follows fits to the squeezed one only. Another size is found out when
 * the reshape in the branch runs.
 */
function comparesSizes(b: GraphBuilder, condition: Value): boolean {
  const { op, inputs } = condition.node;
  if (op === "reshape" || op === "identity" || op === "cast")
    return inputs[0] !== undefined && comparesSizes(b, inputs[0]);
  return op === "equal" && inputs.every((input) => input !== undefined && b.dims(input)?.length === 1);
}

export const Loop: OpFunction = (n) => {
  const body = n.graph("body");
  const carried = n.items.slice(2).map((item, i) => item ?? n.fail(`input ${i + 2} is missing`));
  const limit = n.optional(0) === undefined ? Infinity : n.number(0);
  const start = n.optional(1) === undefined ? 1 : n.number(1);
  const unrolled =
    limit === undefined || start === undefined ? undefined : unrollLoop(n, body, carried, limit, start !== 0);
  if (unrolled !== undefined) return unrolled;
  const count = n.optional(0) === undefined ? undefined : cast(n.b, n.input(0), "i64");
  return loopNode(n, body, carried, count, n.optional(1));
};

/** The loop as straight-line nodes, or `undefined` where the number of turns is not known or too large. */
function unrollLoop(
  n: OnnxNode,
  body: GraphProto,
  initial: readonly Item[],
  limit: number,
  start: boolean,
): readonly Item[] | undefined {
  let state = initial;
  let going = start;
  const rows: Value[][] = [];
  const scans = Math.max(0, body.output.length - 1 - initial.length);
  for (let turn = 0; going && turn < limit; turn++) {
    if (turn >= MAX_UNROLL) return undefined;
    const results = n.subgraphs.inline(body, [scalar(n.b, "i64", turn), scalar(n.b, "bool", 1), ...state]);
    const condition = results[0];
    if (condition === undefined || !isValue(condition)) return undefined;
    const known = numbersOf(n.b, condition)?.[0];
    if (known === undefined) return undefined;
    going = known !== 0;
    state = results.slice(1, 1 + initial.length);
    rows.push(
      results
        .slice(1 + initial.length)
        .map((item) => (isValue(item) ? unsqueeze(n.b, item, [0]) : n.unsupported("scan outputs that are no tensors"))),
    );
  }
  // Without a turn the shape of a scan output is not known.
  if (rows.length === 0 && scans > 0) return undefined;
  return [
    ...state,
    ...Array.from({ length: scans }, (_, i) =>
      concat(
        n.b,
        rows.map((row) => row[i] as Value),
        0,
      ),
    ),
  ];
}
