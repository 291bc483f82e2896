/**
 * Scan: a loop that takes slices of its inputs and stacks its outputs. Short scans of fixed length are unrolled; the
 * others are rewritten as ONNX loops, whose body first picks the slices of the turn.
 */

import { type Value, dimSub } from "@quern/core";
import { concat, dimTensor, reshape, slice, sliceAxis, transpose, unsqueeze } from "../build.ts";
import { type OnnxNode, type OpFunction, isValue } from "../node.ts";
import type { GraphProto, NodeProto } from "../proto/schema.ts";
import { MAX_UNROLL, loopNode } from "./loop-node.ts";

/** What a Scan asks for, with axes and directions of each scanned input and output. */
interface ScanPlan {
  readonly body: GraphProto;
  readonly states: readonly Value[];
  readonly inputs: readonly Value[];
  readonly axes: readonly number[];
  readonly reversed: readonly boolean[];
}

export const Scan: OpFunction = (n) => {
  const body = n.graph("body");
  const count = n.int("num_scan_inputs");
  if (n.opset < 9) return scanBatched(n, body, count);
  const inputs = n.rest();
  checkCounts(n, body, inputs.length, count);
  const scanned = inputs.slice(inputs.length - count);
  const plan: ScanPlan = {
    body,
    states: inputs.slice(0, inputs.length - count),
    inputs: scanned,
    axes: scanned.map((x, i) => n.axis(n.ints("scan_input_axes")?.[i] ?? 0, x.type.shape.length)),
    reversed: scanned.map((_, i) => n.ints("scan_input_directions")?.[i] === 1),
  };
  const length = scanned[0]?.type.shape[plan.axes[0] ?? 0];
  const unroll = typeof length === "number" && length >= 1 && length <= MAX_UNROLL;
  const { states, stacks } = unroll ? unrolled(n, plan, length) : looped(n, plan);
  return [...states, ...stacks.map((stack, i) => placed(n, stack, i))];
};

function checkCounts(n: OnnxNode, body: GraphProto, given: number, count: number): void {
  if (count >= 1 && count <= given && body.output.length >= given - count) return;
  n.fail(`${given} inputs and ${body.output.length} body outputs do not fit to ${count} scan inputs`);
}

/** A stack of rows along axis 0, in the direction and at the axis that output `i` asks for. */
function placed(n: OnnxNode, stack: Value, i: number): Value {
  const { shape } = stack.type;
  const zero = shape.map(() => 0);
  const turned =
    n.ints("scan_output_directions")?.[i] === 1
      ? slice(
          n.b,
          stack,
          zero.map((_, axis) => (axis === 0 ? dimSub(shape[0] ?? 0, 1) : 0)),
          shape,
          zero.map((_, axis) => (axis === 0 ? -1 : 1)),
        )
      : stack;
  const axis = n.axis(n.ints("scan_output_axes")?.[i] ?? 0, shape.length);
  const rest = shape.map((_, at) => at).slice(1);
  return transpose(n.b, turned, rest.toSpliced(axis, 0, 0));
}

function unrolled(n: OnnxNode, plan: ScanPlan, length: number): { states: readonly Value[]; stacks: readonly Value[] } {
  const { b } = n;
  let states = plan.states;
  const rows: Value[][] = plan.body.output.slice(states.length).map(() => []);
  for (let turn = 0; turn < length; turn++) {
    const slices = plan.inputs.map((x, i) => {
      const axis = plan.axes[i] as number;
      const at = plan.reversed[i] === true ? length - 1 - turn : turn;
      return reshape(b, sliceAxis(b, x, axis, at, 1), x.type.shape.toSpliced(axis, 1));
    });
    const results = n.subgraphs
      .inline(plan.body, [...states, ...slices])
      .map((item) => (isValue(item) ? item : n.unsupported("sequences in a scan")));
    states = results.slice(0, states.length);
    results.slice(states.length).forEach((value, i) => rows[i]?.push(value));
  }
  const stacks = rows.map((list) =>
    concat(
      b,
      list.map((value) => unsqueeze(b, value, [0])),
      0,
    ),
  );
  return { states, stacks };
}

/** Prefix of names that the rewritten body adds. */
const OWN = "scan::";

function looped(n: OnnxNode, plan: ScanPlan): { states: readonly Value[]; stacks: readonly Value[] } {
  const { body, states } = plan;
  const node = (opType: string, input: readonly string[], output: string, axis?: number): NodeProto => ({
    name: `${OWN}${opType}`,
    opType,
    domain: "",
    overload: "",
    input: [...input],
    output: [output],
    attribute: axis === undefined ? [] : [{ ...NO_ATTRIBUTE, name: "axis", type: 2, i: axis }],
  });
  const picks = plan.inputs.flatMap((_, i) => {
    const name = body.input[states.length + i]?.name ?? n.fail("the body has fewer inputs than it is given");
    const at = plan.reversed[i] === true ? `${OWN}back` : `${OWN}turn`;
    return node("Gather", [n.inputNames[states.length + i] as string, at], name, plan.axes[i] as number);
  });
  const back = plan.reversed.includes(true) ? [node("Sub", [`${OWN}last`, `${OWN}turn`], `${OWN}back`)] : [];
  const loopBody: GraphProto = {
    name: body.name,
    initializer: body.initializer,
    sparseInitializer: body.sparseInitializer,
    input: [
      { name: `${OWN}turn`, type: undefined },
      { name: `${OWN}going`, type: undefined },
      ...body.input.slice(0, states.length),
      ...(back.length > 0 ? [{ name: `${OWN}last`, type: undefined }] : []),
    ],
    node: [
      ...back,
      ...picks,
      node("Identity", [`${OWN}going`], `${OWN}still`),
      ...body.node,
      ...(back.length > 0 ? [node("Identity", [`${OWN}last`], `${OWN}same`)] : []),
    ],
    output: [
      { name: `${OWN}still`, type: undefined },
      ...body.output.slice(0, states.length),
      ...(back.length > 0 ? [{ name: `${OWN}same`, type: undefined }] : []),
      ...body.output.slice(states.length),
    ],
  };
  const length = plan.inputs[0]?.type.shape[plan.axes[0] ?? 0] ?? n.fail("needs a scan input");
  const carried = back.length > 0 ? [...states, dimTensor(n.b, [dimSub(length, 1)], [])] : states;
  const results = loopNode(n, loopBody, carried, dimTensor(n.b, [length], []), undefined);
  return { states: results.slice(0, states.length), stacks: results.slice(carried.length) };
}

const NO_ATTRIBUTE = {
  refAttrName: "",
  f: 0,
  i: 0,
  s: undefined,
  t: undefined,
  g: undefined,
  floats: [],
  ints: [],
  strings: [],
  graphs: [],
  sparseTensor: undefined,
  tp: undefined,
};

/** Scan of opset 8: a batch axis before everything, optional lengths first. */
function scanBatched(n: OnnxNode, body: GraphProto, count: number): readonly Value[] {
  if (n.items[0] !== undefined) return n.unsupported("sequence lengths");
  const { b } = n;
  const all = n.items.slice(1).map((_, i) => n.input(i + 1));
  checkCounts(n, body, all.length, count);
  const batch = all[0]?.type.shape[0];
  const length = all[all.length - count]?.type.shape[1];
  if (typeof batch !== "number" || batch < 1 || batch > MAX_UNROLL) return n.unsupported("a batch of this size");
  if (typeof length !== "number" || length < 1 || length > MAX_UNROLL)
    return n.unsupported("a sequence of this length");
  const results = Array.from({ length: batch }, (_, i) => {
    const one = all.map((x) => reshape(b, sliceAxis(b, x, 0, i, 1), x.type.shape.slice(1)));
    const inputs = one.slice(one.length - count);
    const reversed = inputs.map((_, at) => n.ints("directions")?.[at] === 1);
    const { states, stacks } = unrolled(
      n,
      { body, states: one.slice(0, one.length - count), inputs, axes: inputs.map(() => 0), reversed },
      length,
    );
    return [...states, ...stacks];
  });
  return (results[0] as Value[]).map((_, i) =>
    concat(
      b,
      results.map((list) => unsqueeze(b, list[i] as Value, [0])),
      0,
    ),
  );
}
