/**
 * Control flow. A branch whose condition is known at import is imported in place, and so are loops of a few known
 * turns; everything else becomes a node with sub-graphs, whose further inputs are the values taken from outside.
 */

import { type Graph, type GraphBuilder, type Shape, type TensorType, type Value, dimEqual, symbol } from "@quern/core";
import { applyAll, cast, concat, reshape, scalar, sliceAxis, unsqueeze } from "../build.ts";
import { type Capture, capturedInputs, capturesOf } from "../capture.ts";
import { type Item, type OnnxNode, type OpFunction, isValue, numbersOf } from "../node.ts";
import type { GraphProto } from "../proto/schema.ts";

/** Turns up to which loops are unrolled. */
const MAX_UNROLL = 32;

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
  return unrolled ?? loopNode(n, body, carried);
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

function loopNode(n: OnnxNode, body: GraphProto, carried: readonly Item[]): readonly Value[] {
  const { b } = n;
  const initial = carried.map((item) => (isValue(item) ? item : n.unsupported(`a loop that carries a ${item.kind}`)));
  const captures = capturesOf(n, [body]);
  const types: TensorType[] = [
    { dtype: "i64", shape: [] },
    { dtype: "bool", shape: [] },
    ...initial.map((value) => value.type),
  ];
  const graph = stableBody(n, body, types, captures);
  const scalarOf = (value: Value | undefined): Value | undefined =>
    value === undefined ? undefined : reshape(b, value, []);
  const count = n.optional(0) === undefined ? undefined : cast(b, n.input(0), "i64");
  const captured = capturedInputs(n, captures);
  return applyAll(b, "loop", [scalarOf(count), scalarOf(n.optional(1)), ...initial, ...captured], {
    body: graph,
    carried: initial.length,
    captured: captured.length,
  });
}

/** The body with input types that hold for every turn: sizes that change become symbols. */
function stableBody(n: OnnxNode, body: GraphProto, first: readonly TensorType[], captures: readonly Capture[]): Graph {
  let types = first;
  for (let attempt = 0; attempt < 4; attempt++) {
    const graph = n.subgraphs.build(body, types, captures);
    let changed = false;
    types = types.map((type, i) => {
      const next = i < 2 ? type : graph.outputs[i - 1]?.value.type;
      if (next === undefined) return n.fail("the body has fewer outputs than carried values");
      if (next.shape.length !== type.shape.length)
        return n.unsupported("a carried value that changes its number of axes");
      const shape: Shape = type.shape.map((dim, axis) =>
        dimEqual(dim, next.shape[axis] ?? dim) === true ? dim : changing(i, axis),
      );
      if (shape.some((dim, axis) => dimEqual(dim, type.shape[axis] ?? dim) !== true)) changed = true;
      return { dtype: type.dtype, shape };
    });
    if (!changed) return graph;
  }
  return n.unsupported("sizes of carried values do not settle");
}

function changing(input: number, axis: number): ReturnType<typeof symbol> {
  return symbol(`carried${input}_${axis}`);
}

/** Scan: a loop over slices of its inputs. Unrolled; the number of turns must be fixed. */
export const Scan: OpFunction = (n) => {
  const body = n.graph("body");
  const count = n.int("num_scan_inputs");
  if (n.opset < 9) return scanBatched(n, body, count);
  const states = n.inputCount - count;
  const scans = body.output.length - states;
  if (states < 0 || scans < 0)
    return n.fail(`${n.inputCount} inputs and ${body.output.length} body outputs do not fit to ${count} scan inputs`);
  const inputs = n.rest(states);
  const axes = inputs.map((x, i) => n.axis(n.ints("scan_input_axes")?.[i] ?? 0, x.type.shape.length));
  const reversed = inputs.map((_, i) => n.ints("scan_input_directions")?.[i] === 1);
  const { state, rows } = unrollScan(n, body, n.rest().slice(0, states), inputs, axes, reversed, scans);
  const stacked = rows.map((list, i) => {
    const ordered = n.ints("scan_output_directions")?.[i] === 1 ? list.toReversed() : list;
    const rank = (list[0] as Value).type.shape.length + 1;
    const axis = n.axis(n.ints("scan_output_axes")?.[i] ?? 0, rank);
    return concat(
      n.b,
      ordered.map((value) => unsqueeze(n.b, value, [axis])),
      axis,
    );
  });
  return [...state, ...stacked];
};

const MAX_SCAN = 512;

function unrollScan(
  n: OnnxNode,
  body: GraphProto,
  initial: readonly Value[],
  inputs: readonly Value[],
  axes: readonly number[],
  reversed: readonly boolean[],
  scans: number,
): { state: readonly Value[]; rows: Value[][] } {
  const length = inputs[0]?.type.shape[axes[0] ?? 0];
  if (typeof length !== "number") return n.unsupported("scanning an axis of unknown size");
  if (length > MAX_SCAN || length < 1) return n.unsupported(`scanning ${length} elements`);
  let state: readonly Value[] = initial;
  const rows: Value[][] = Array.from({ length: scans }, () => []);
  for (let turn = 0; turn < length; turn++) {
    const slices = inputs.map((x, i) => {
      const [axis, at] = [axes[i] as number, reversed[i] === true ? length - 1 - turn : turn];
      return reshape(
        n.b,
        sliceAxis(n.b, x, axis, at, 1),
        x.type.shape.filter((_, j) => j !== axis),
      );
    });
    const results = n.subgraphs
      .inline(body, [...state, ...slices])
      .map((item) => (isValue(item) ? item : n.unsupported("sequences in a scan")));
    state = results.slice(0, state.length);
    results.slice(state.length).forEach((value, i) => rows[i]?.push(value));
  }
  return { state, rows };
}

/** Scan of opset 8: a batch axis before everything, optional lengths first. */
function scanBatched(n: OnnxNode, body: GraphProto, count: number): readonly Value[] {
  if (n.items[0] !== undefined) return n.unsupported("sequence lengths");
  const all = n.items.slice(1).map((_, i) => n.input(i + 1));
  const states = all.length - count;
  const scans = body.output.length - states;
  const batch = all[0]?.type.shape[0];
  if (typeof batch !== "number" || batch < 1 || batch > 64 || states < 0 || scans < 0)
    return n.unsupported("a batch of this size");
  const { b } = n;
  const results: Value[][] = [];
  for (let i = 0; i < batch; i++) {
    const pick = (x: Value): Value => reshape(b, sliceAxis(b, x, 0, i, 1), x.type.shape.slice(1));
    const inputs = all.slice(states).map(pick);
    const reversed = inputs.map((_, at) => n.ints("directions")?.[at] === 1);
    const { state, rows } = unrollScan(
      n,
      body,
      all.slice(0, states).map(pick),
      inputs,
      inputs.map(() => 0),
      reversed,
      scans,
    );
    results.push([
      ...state,
      ...rows.map((list) =>
        concat(
          b,
          list.map((value) => unsqueeze(b, value, [0])),
          0,
        ),
      ),
    ]);
  }
  return (results[0] as Value[]).map((_, i) =>
    concat(
      b,
      results.map((list) => unsqueeze(b, list[i] as Value, [0])),
      0,
    ),
  );
}
