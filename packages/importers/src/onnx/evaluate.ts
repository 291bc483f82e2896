/**
 * Evaluates small constant expressions while a graph is being built, with the reference functions of the op records.
 *
 * Exporters compute arguments such as the scales of Resize from constants and static shapes, in floating point and over
 * many nodes; op functions need the numbers. Work is bounded: a value takes part only with up to `MAX_ELEMENTS`
 * elements, and each value is evaluated once.
 */

import { type GraphBuilder, type RefTensor, type Value, UserError, findOp, isStatic } from "@quern/core";

const MAX_ELEMENTS = 4096;

/** Ops that never fold: their result is not a function of their inputs alone, or they run sub-graphs. */
const OPAQUE: ReadonlySet<string> = new Set(["input", "if", "loop", "scan", "group"]);

type Memo = Map<Value, RefTensor | undefined>;
const memos = new WeakMap<GraphBuilder, Memo>();

/** The elements of `value` where they depend on no graph input, else `undefined`. */
export function evaluateConstant(b: GraphBuilder, value: Value): readonly number[] | undefined {
  const result = evaluate(b, value);
  return result === undefined ? undefined : Array.from(result.data);
}

function evaluate(b: GraphBuilder, value: Value): RefTensor | undefined {
  let memo = memos.get(b);
  if (memo === undefined) memos.set(b, (memo = new Map()));
  // Iterative, because chains of nodes may be as long as the file.
  const stack: Value[] = [value];
  while (stack.length > 0) {
    const next = stack.at(-1) as Value;
    if (memo.has(next)) {
      stack.pop();
      continue;
    }
    const known = knownDims(b, next);
    if (known !== undefined || !mayEvaluate(next)) {
      memo.set(next, known);
      continue;
    }
    const { node } = next;
    const inputs = node.inputs.filter((input) => input !== undefined);
    if (inputs.some((input) => memo.has(input) && memo.get(input) === undefined)) {
      memo.set(next, undefined);
      continue;
    }
    const waiting = inputs.filter((input) => !memo.has(input));
    if (waiting.length > 0) stack.push(...waiting);
    else run(memo, next);
  }
  return memo.get(value);
}

function mayEvaluate(value: Value): boolean {
  if (OPAQUE.has(value.node.op) || value.node.op === "dimTensor") return false;
  return value.node.outputs.every(
    ({ type }) => isStatic(type.shape) && type.shape.reduce((size, dim) => size * dim, 1) <= MAX_ELEMENTS,
  );
}

function knownDims(b: GraphBuilder, value: Value): RefTensor | undefined {
  const { dtype, shape } = value.type;
  if (dtype === "bool" || !isStatic(shape)) return undefined;
  const dims = b.dims(value);
  if (dims?.every((dim) => typeof dim === "number") !== true) return undefined;
  return { dtype, shape, data: Float64Array.from(dims as readonly number[]) };
}

function run(memo: Memo, value: Value): void {
  const { node } = value;
  const { reference } = findOp(node.op);
  let results: readonly RefTensor[] | undefined;
  try {
    results = reference?.(
      node.inputs.map((input) => (input === undefined ? undefined : memo.get(input))),
      node.attrs,
      node.outputs.map((output) => output.type),
      {
        runGraph: () => refuse(),
        dim: (dim) => (typeof dim === "number" ? dim : refuse()),
      },
    );
  } catch (error) {
    // Not constant, or an error that belongs to the run: the node stays in the graph.
    if (!(error instanceof UserError)) throw error;
  }
  node.outputs.forEach((output, i) => memo.set(output, results?.[i]));
}

function refuse(): never {
  throw new UserError("not a constant");
}
