/**
 * Control flow: ops that run sub-graphs. A sub-graph sees nothing but its inputs, so that values from outside are
 * captured as inputs of the node. Sizes that only the sub-graph knows become fresh symbols outside.
 */

import { type Dim, collectSymbols, dimEqual, substituteDim } from "../dim.ts";
import type { DType } from "../dtype.ts";
import type { Attrs, Graph, TensorType, Value } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { graphAttr, numberAttr, numbersAttr } from "./attrs.ts";
import { CaseGraph, singleNodeGraph } from "./case-graphs.ts";
import { of, opCase, scalar, values } from "./cases.ts";
import { type Types, given, reject, typedAs } from "./check.ts";
import type { InferContext, Op, RefTensor, Tolerances } from "./op.ts";
import { gatherAt, input, newRef, positions, refOf, slicesAlong, stridesOf } from "./ref-tensor.ts";
import { checkBodyInputs } from "./subgraph.ts";
import { ulps } from "./tolerance.ts";

/** Symbols of a sub-graph's inputs by the sizes that the node gives them. */
function outerSizes(body: Graph, types: Types): Map<string, Dim> {
  const sizes = new Map<string, Dim>();
  body.inputs.forEach(({ value }, i) => {
    value.type.shape.forEach((dim, axis) => {
      const outer = types[i]?.shape[axis];
      if (typeof dim !== "number" && outer !== undefined && !sizes.has(dim.key)) sizes.set(dim.key, outer);
    });
  });
  return sizes;
}

/** A size of the sub-graph as seen outside, or `undefined` where it depends on what happens inside. */
function seenOutside(dim: Dim, sizes: ReadonlyMap<string, Dim>): Dim | undefined {
  const names = new Set<string>();
  collectSymbols(dim, names);
  return [...names].every((name) => sizes.has(name)) ? substituteDim(dim, (name) => sizes.get(name)) : undefined;
}

/** The node as a whole gets the same fresh symbol only once per axis. */
function joinTypes(
  op: string,
  name: string,
  a: TensorType,
  b: TensorType,
  inside: (dim: Dim, other: boolean) => Dim | undefined,
  context: InferContext,
): TensorType {
  if (a.dtype !== b.dtype || a.shape.length !== b.shape.length) {
    reject(
      op,
      `output "${name}" is ${printTensorType(a)} on one way and ${printTensorType(b)} on the other; dtypes and numbers of axes must agree`,
    );
  }
  const shape = a.shape.map((dim, axis) => {
    const [left, right] = [inside(dim, false), inside(b.shape[axis] as Dim, true)];
    return left !== undefined && right !== undefined && dimEqual(left, right) === true ? left : context.freshDim(op);
  });
  return { dtype: a.dtype, shape };
}

/** Bodies of the cases are a few additions; larger bodies have the bounds of their ops. */
const BODY_TOLERANCE: Tolerances = ulps(8, 16);

export const ifOp: Op = {
  name: "if",
  summary: "The outputs of one of two graphs, by the condition; the other inputs go to both",
  inputs: ["condition", "x..."],
  infer: (types, attrs, context, graphValues) => {
    const condition = typedAs("if", types, 0, "condition", ["bool"]);
    if (condition.shape.some((dim) => dimEqual(dim, 1) === false))
      reject("if", `the condition must have one element, got ${printTensorType(condition)}`);
    const [whenTrue, whenFalse] = [graphAttr("if", attrs, "then"), graphAttr("if", attrs, "else")];
    const captured = types.slice(1);
    for (const branch of [whenTrue, whenFalse]) checkBodyInputs("if", branch, captured);
    if (whenTrue.outputs.length !== whenFalse.outputs.length)
      reject("if", `one branch has ${whenTrue.outputs.length} outputs, the other ${whenFalse.outputs.length}`);
    const [thenSizes, elseSizes] = [outerSizes(whenTrue, captured), outerSizes(whenFalse, captured)];
    const known = graphValues[0] === undefined ? undefined : context.dims(graphValues[0])?.[0];
    return whenTrue.outputs.map(({ name, value }, i) => {
      const other = (whenFalse.outputs[i] as { value: Value }).value.type;
      if (typeof known === "number") {
        const [taken, sizes] = known === 0 ? [other, elseSizes] : [value.type, thenSizes];
        return {
          dtype: taken.dtype,
          shape: taken.shape.map((dim) => seenOutside(dim, sizes) ?? context.freshDim("if")),
        };
      }
      return joinTypes(
        "if",
        name,
        value.type,
        other,
        (dim, inElse) => seenOutside(dim, inElse ? elseSizes : thenSizes),
        context,
      );
    });
  },
  reference: (inputs, attrs, _outputs, context) => {
    const branch = graphAttr("if", attrs, input(inputs, 0).data[0] === 0 ? "else" : "then");
    return context.runGraph(
      branch,
      inputs.slice(1).map((_, i) => input(inputs, i + 1)),
    );
  },
  tolerance: BODY_TOLERANCE,
  cases: () => {
    const type: TensorType = { dtype: "f32", shape: [3, 5] };
    const attrs = {
      then: singleNodeGraph("then", "relu", [type], type),
      else: singleNodeGraph("else", "neg", [type], type),
    };
    return [
      opCase("then", [scalar("bool", 1), of("f32", 3, 5)], attrs),
      opCase("else", [values("bool", [0]), of("f32", 3, 5)], attrs),
    ];
  },
};

function countAttr(op: string, attrs: Attrs, name: string): number {
  const count = numberAttr(op, attrs, name);
  return Number.isInteger(count) && count >= 0
    ? count
    : reject(op, `attribute "${name}" must be a count, got ${count}`);
}

/** Sizes of carried values that no turn changes; others are known only inside. */
function carriedType(
  op: string,
  initial: TensorType,
  entry: TensorType,
  exit: TensorType,
  sizes: ReadonlyMap<string, Dim>,
  context: InferContext,
): TensorType {
  if (exit.dtype !== initial.dtype || exit.shape.length !== initial.shape.length) {
    reject(op, `a carried value begins as ${printTensorType(initial)} and leaves the body as ${printTensorType(exit)}`);
  }
  const shape = initial.shape.map((dim, axis) => {
    const same = dimEqual(entry.shape[axis] as Dim, exit.shape[axis] as Dim) === true;
    const after = seenOutside(exit.shape[axis] as Dim, sizes);
    return same || (after !== undefined && dimEqual(after, dim) === true) ? dim : context.freshDim(op);
  });
  return { dtype: initial.dtype, shape };
}

/** Results of the turns along a new axis; without turns, sizes come from the declared type. */
function stack(turns: readonly RefTensor[], axis: number, type: TensorType): RefTensor {
  const first = turns[0];
  const rest = first?.shape ?? type.shape.toSpliced(axis, 1).map((dim) => (typeof dim === "number" ? dim : 0));
  const shape = rest.toSpliced(axis, 0, turns.length);
  const result = newRef(type.dtype, shape);
  const strides = stridesOf(shape);
  turns.forEach((turn, i) => {
    if (turn.shape.some((size, at) => size !== rest[at]))
      reject("loop", `scan outputs differ in shape: [${rest.join(", ")}] and [${turn.shape.join(", ")}]`);
    const where = positions(rest, strides.toSpliced(axis, 1), i * (strides[axis] as number));
    where.forEach((at, element) => (result.data[at] = turn.data[element] as number));
  });
  return result;
}

export const loop: Op = {
  name: "loop",
  summary: "Repeats a graph: carries values from turn to turn and stacks what each turn gives besides",
  inputs: ["tripCount?", "condition?", "x..."],
  infer: (types, attrs, context, graphValues) => {
    const body = graphAttr("loop", attrs, "body");
    const [carried, captured] = [countAttr("loop", attrs, "carried"), countAttr("loop", attrs, "captured")];
    if (types[0] !== undefined) typedAs("loop", types, 0, "tripCount", ["i64", "i32"]);
    if (types[1] !== undefined) typedAs("loop", types, 1, "condition", ["bool"]);
    if (types.length !== 2 + carried + captured)
      reject("loop", `${carried} carried and ${captured} captured values, got ${types.length - 2}`);
    const outer: Types = [{ dtype: "i64", shape: [] }, { dtype: "bool", shape: [] }, ...types.slice(2)];
    checkBodyInputs("loop", body, outer);
    const scans = body.outputs.length - 1 - carried;
    if (scans < 0)
      reject(
        "loop",
        `graph "${body.name}" has ${body.outputs.length} outputs for a condition and ${carried} carried values`,
      );
    const sizes = outerSizes(body, outer);
    const results = Array.from({ length: carried }, (_, i) =>
      carriedType(
        "loop",
        given("loop", types, 2 + i, `carried ${i}`),
        body.inputs[2 + i]?.value.type as TensorType,
        body.outputs[1 + i]?.value.type as TensorType,
        sizes,
        context,
      ),
    );
    const turns = scans > 0 ? (knownTurns(body, graphValues, context) ?? context.freshDim("loop")) : 0;
    for (const { value } of body.outputs.slice(1 + carried)) {
      // Sizes that carried values change from turn to turn are not those of the first turn.
      results.push({
        dtype: value.type.dtype,
        shape: [
          turns,
          ...value.type.shape.map((dim) => stableSize(body, carried, dim, sizes) ?? context.freshDim("loop")),
        ],
      });
    }
    return results;
  },
  reference: (inputs, attrs, outputs, context) => {
    const body = graphAttr("loop", attrs, "body");
    const [carried, captured] = [countAttr("loop", attrs, "carried"), countAttr("loop", attrs, "captured")];
    const limit = inputs[0]?.data[0] ?? Infinity;
    let going = inputs[1]?.data[0] ?? 1;
    let state = Array.from({ length: carried }, (_, i) => input(inputs, 2 + i));
    const outside = Array.from({ length: captured }, (_, i) => input(inputs, 2 + carried + i));
    const scans: RefTensor[][] = outputs.slice(carried).map(() => []);
    for (let turn = 0; turn < limit && going !== 0; turn++) {
      const results = context.runGraph(body, [one("i64", turn), one("bool", going), ...state, ...outside]);
      going = results[0]?.data[0] as number;
      state = results.slice(1, 1 + carried);
      results.slice(1 + carried).forEach((result, i) => scans[i]?.push(result));
    }
    return [...state, ...scans.map((turns, i) => stack(turns, 0, outputs[carried + i] as TensorType))];
  },
  tolerance: BODY_TOLERANCE,
  cases: () => [
    opCase("counts", [scalar("i64", 4), undefined, of("f32", 3), of("f32", 3)], {
      body: countingBody(undefined),
      carried: 1,
      captured: 1,
    }),
    opCase("stops", [scalar("i64", 10), scalar("bool", 1), of("f32", 3), of("f32", 3)], {
      body: countingBody(2),
      carried: 1,
      captured: 1,
    }),
    opCase("no turns", [scalar("i64", 0), undefined, of("f32", 3), of("f32", 3)], {
      body: countingBody(undefined),
      carried: 1,
      captured: 1,
    }),
    opCase("never begins", [undefined, scalar("bool", 0), of("f32", 3), of("f32", 3)], {
      body: countingBody(3),
      carried: 1,
      captured: 1,
    }),
  ],
};

function one(dtype: DType, value: number): RefTensor {
  return refOf(dtype, [], Float64Array.of(value));
}

/** A size of one turn that is the same in every turn. */
function stableSize(body: Graph, carried: number, dim: Dim, sizes: ReadonlyMap<string, Dim>): Dim | undefined {
  const names = new Set<string>();
  collectSymbols(dim, names);
  const changing = body.inputs
    .slice(2, 2 + carried)
    .some(({ value }, i) =>
      value.type.shape.some(
        (entry, axis) =>
          typeof entry !== "number" &&
          names.has(entry.key) &&
          dimEqual(entry, body.outputs[1 + i]?.value.type.shape[axis] ?? 0) !== true,
      ),
    );
  return changing ? undefined : seenOutside(dim, sizes);
}

/** The number of turns where the trip count is known and nothing else can end the loop. */
function knownTurns(body: Graph, graphValues: readonly (Value | undefined)[], context: InferContext): Dim | undefined {
  const [tripCount, condition] = graphValues;
  if (tripCount === undefined) return undefined;
  const begins = condition === undefined || context.dims(condition)?.[0] === 1;
  const again = body.outputs[0]?.value;
  const passesOn = again !== undefined && again === body.inputs[1]?.value;
  return begins && passesOn ? context.dims(tripCount)?.[0] : undefined;
}

/** carried + captured each turn; also gives the new carried value. Goes on while the turn is below `last`. */
function countingBody(last: number | undefined): Graph {
  const vector: TensorType = { dtype: "f32", shape: [3] };
  const body = new CaseGraph();
  const turn = body.input("turn", { dtype: "i64", shape: [] });
  const going = body.input("going", { dtype: "bool", shape: [] });
  const total = body.input("total", vector);
  const step = body.input("step", vector);
  const [sum] = body.node("add", [total, step], {}, [vector]) as [Value];
  let again = going;
  if (last !== undefined) {
    const bytes = new Uint8Array(BigInt64Array.of(BigInt(last)).buffer);
    const [limit] = body.node("constant", [], { value: { dtype: "i64", shape: [], bytes } }, [
      { dtype: "i64", shape: [] },
    ]) as [Value];
    [again] = body.node("less", [turn, limit], {}, [{ dtype: "bool", shape: [] }]) as [Value];
  }
  return body.build("body", { again, total: sum, history: sum });
}

export const scan: Op = {
  name: "scan",
  summary: "Runs a graph on the slices of its scanned inputs one after another, carrying values along",
  inputs: ["x..."],
  infer: (types, attrs, context) => {
    const { body, carried, scanned, inputAxes } = scanParts(attrs);
    if (types.length !== body.inputs.length)
      reject("scan", `graph "${body.name}" takes ${body.inputs.length} inputs, got ${types.length}`);
    const outer = types.map((_, i): TensorType => {
      const type = given("scan", types, i, `x[${i}]`);
      return i >= carried && i < carried + scanned
        ? { dtype: type.dtype, shape: type.shape.toSpliced(inputAxes[i - carried] as number, 1) }
        : type;
    });
    checkBodyInputs("scan", body, outer);
    const sizes = outerSizes(body, outer);
    const turns = types[carried]?.shape[inputAxes[0] ?? 0] ?? reject("scan", "needs at least one scanned input");
    const outputAxes = numbersAttr(
      "scan",
      attrs,
      "outputAxes",
      body.outputs.slice(carried).map(() => 0),
    );
    return body.outputs.map(({ value }, i) => {
      if (i < carried)
        return carriedType(
          "scan",
          outer[i] as TensorType,
          body.inputs[i]?.value.type as TensorType,
          value.type,
          sizes,
          context,
        );
      const shape = value.type.shape.map((dim) => seenOutside(dim, sizes) ?? context.freshDim("scan"));
      return { dtype: value.type.dtype, shape: shape.toSpliced(outputAxes[i - carried] as number, 0, turns) };
    });
  },
  reference: (inputs, attrs, outputs, context) => {
    const { body, carried, scanned, inputAxes } = scanParts(attrs);
    const tensors = inputs.map((_, i) => input(inputs, i));
    const lists = tensors.slice(carried, carried + scanned);
    const turns = lists[0]?.shape[inputAxes[0] as number] as number;
    const inputReversed = numbersAttr(
      "scan",
      attrs,
      "inputDirections",
      lists.map(() => 0),
    );
    const outputReversed = numbersAttr(
      "scan",
      attrs,
      "outputDirections",
      outputs.slice(carried).map(() => 0),
    );
    const outputAxes = numbersAttr(
      "scan",
      attrs,
      "outputAxes",
      outputs.slice(carried).map(() => 0),
    );
    let state = tensors.slice(0, carried);
    const results: RefTensor[][] = outputs.slice(carried).map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      const slices = lists.map((list, i) =>
        sliceAt(list, inputAxes[i] as number, inputReversed[i] === 1 ? turns - 1 - turn : turn),
      );
      const values_ = context.runGraph(body, [...state, ...slices, ...tensors.slice(carried + scanned)]);
      state = values_.slice(0, carried);
      values_
        .slice(carried)
        .forEach((value, i) => (outputReversed[i] === 1 ? results[i]?.unshift(value) : results[i]?.push(value)));
    }
    return [
      ...state,
      ...results.map((list, i) => stack(list, outputAxes[i] as number, outputs[carried + i] as TensorType)),
    ];
  },
  tolerance: BODY_TOLERANCE,
  cases: () => [
    opCase("sums", [of("f32", 3), of("f32", 5, 3)], { body: scanBody(), carried: 1, scanned: 1, inputAxes: [0] }),
    opCase("columns backwards", [of("f32", 3), of("f32", 3, 4)], {
      body: scanBody(),
      carried: 1,
      scanned: 1,
      inputAxes: [1],
      inputDirections: [1],
      outputAxes: [1],
      outputDirections: [1],
    }),
  ],
};

function scanParts(attrs: Attrs): { body: Graph; carried: number; scanned: number; inputAxes: readonly number[] } {
  const scanned = countAttr("scan", attrs, "scanned");
  return {
    body: graphAttr("scan", attrs, "body"),
    carried: countAttr("scan", attrs, "carried"),
    scanned,
    inputAxes: numbersAttr("scan", attrs, "inputAxes", new Array<number>(scanned).fill(0)),
  };
}

function sliceAt(x: RefTensor, axis: number, index: number): RefTensor {
  const { outer, inner } = slicesAlong(x.shape, [axis]);
  return gatherAt(
    x,
    x.shape.toSpliced(axis, 1),
    outer.map((base) => base + (inner[index] as number)),
  );
}

function scanBody(): Graph {
  const vector: TensorType = { dtype: "f32", shape: [3] };
  const body = new CaseGraph();
  const [total, slice] = [body.input("total", vector), body.input("slice", vector)];
  const [sum] = body.node("add", [total, slice], {}, [vector]) as [Value];
  return body.build("step", { total: sum, history: sum });
}
