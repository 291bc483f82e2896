/**
 * Single ops on tensors of 8 MB, or of a given size: one record each, with the ONNX nodes that every engine is given, the work that
 * cannot be avoided, and the formula in float64 that judges the outputs.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError, type Tensor } from "@quern/core";
import { Random } from "../harness/random.ts";
import { differences, type Verification } from "../harness/verify.ts";
import type { TensorSet } from "./inputs.ts";
import { encodeOnnx, type OnnxInitialiser, type OnnxNode } from "./onnx-model.ts";
import { setsFor, type CacheState } from "./caches.ts";
import { parseSweep } from "./sweep.ts";
import type { Check, Workload } from "./workload.ts";

/** Rows and columns of an op's inputs. */
export interface OpSizes {
  readonly rows: number;
  readonly columns: number;
}

/** 2 Mi elements, 8 MB. */
export const OP_SIZES: OpSizes = { rows: 2048, columns: 1024 };

export interface OpCase {
  readonly name: string;
  readonly opset: number;
  /** Inputs [rows, columns] by name. */
  readonly inputs: readonly string[];
  /** Constant vectors [columns] by name. */
  readonly vectors?: readonly string[];
  readonly nodes: readonly OnnxNode[];
  /** Shape of y; [rows, columns] unless told. */
  readonly outputShape?: (sizes: OpSizes) => readonly number[];
  readonly flopsPerElement: number;
  /** Limit of the error as defined in `verify.ts`. */
  readonly tolerance: number;
  /** Expected values of y. Rows of inputs are passed as given; vectors come by name. */
  readonly reference: (inputs: Readonly<Record<string, Float32Array>>, sizes: OpSizes) => Float64Array;
}

export const opCases: readonly OpCase[] = [
  {
    name: "softmax",
    opset: 17,
    inputs: ["x"],
    nodes: [{ op: "Softmax", inputs: ["x"], outputs: ["y"], attributes: { axis: -1 } }],
    flopsPerElement: 5,
    tolerance: 1e-5,
    reference: ({ x }, sizes) =>
      byRow(x, sizes, (row, into) => {
        const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
        const exponentials = Float64Array.from(row, (value) => Math.exp(value - top));
        const sum = exponentials.reduce((a, b) => a + b, 0);
        into.set(exponentials.map((value) => value / sum));
      }),
  },
  {
    name: "gelu",
    opset: 20,
    inputs: ["x"],
    nodes: [{ op: "Gelu", inputs: ["x"], outputs: ["y"] }],
    flopsPerElement: 15,
    tolerance: 1e-5,
    reference: ({ x }) => pointwise(x, (value) => 0.5 * value * (1 + erf(value * Math.SQRT1_2))),
  },
  {
    name: "layerNorm",
    opset: 17,
    inputs: ["x"],
    vectors: ["scale", "bias"],
    nodes: [
      {
        op: "LayerNormalization",
        inputs: ["x", "scale", "bias"],
        outputs: ["y"],
        attributes: { axis: -1, epsilon: { float: 1e-5 } },
      },
    ],
    flopsPerElement: 8,
    tolerance: 1e-5,
    reference: ({ x, scale, bias }, sizes) =>
      byRow(x, sizes, (row, into) => {
        const centre = row.reduce((a, b) => a + b, 0) / row.length;
        const variance = row.reduce((sum, value) => sum + (value - centre) ** 2, 0) / row.length;
        const factor = 1 / Math.sqrt(variance + 1e-5);
        for (let i = 0; i < row.length; i++) into[i] = (at(row, i) - centre) * factor * at(scale, i) + at(bias, i);
      }),
  },
  {
    name: "chain4", // relu(x * scale + bias) * x
    opset: 17,
    inputs: ["x"],
    vectors: ["scale", "bias"],
    nodes: [
      { op: "Mul", inputs: ["x", "scale"], outputs: ["scaled"] },
      { op: "Add", inputs: ["scaled", "bias"], outputs: ["shifted"] },
      { op: "Relu", inputs: ["shifted"], outputs: ["rectified"] },
      { op: "Mul", inputs: ["rectified", "x"], outputs: ["y"] },
    ],
    flopsPerElement: 4,
    tolerance: 1e-5,
    reference: ({ x, scale, bias }, sizes) =>
      byRow(x, sizes, (row, into) => {
        for (let i = 0; i < row.length; i++)
          into[i] = Math.max(0, at(row, i) * at(scale, i) + at(bias, i)) * at(row, i);
      }),
  },
  {
    name: "gatedChain", // sigmoid(x) * tanh(z) + x
    opset: 17,
    inputs: ["x", "z"],
    nodes: [
      { op: "Sigmoid", inputs: ["x"], outputs: ["gate"] },
      { op: "Tanh", inputs: ["z"], outputs: ["candidate"] },
      { op: "Mul", inputs: ["gate", "candidate"], outputs: ["gated"] },
      { op: "Add", inputs: ["gated", "x"], outputs: ["y"] },
    ],
    flopsPerElement: 20,
    tolerance: 1e-5,
    reference: ({ x, z }) => pointwise(x, (value, i) => Math.tanh(at(z, i)) / (1 + Math.exp(-value)) + value),
  },
  {
    name: "add",
    opset: 17,
    inputs: ["x", "z"],
    nodes: [{ op: "Add", inputs: ["x", "z"], outputs: ["y"] }],
    flopsPerElement: 1,
    tolerance: 1e-6,
    reference: ({ x, z }) => pointwise(x, (value, i) => value + at(z, i)),
  },
  {
    name: "exp",
    opset: 17,
    inputs: ["x"],
    nodes: [{ op: "Exp", inputs: ["x"], outputs: ["y"] }],
    flopsPerElement: 10,
    tolerance: 1e-5,
    reference: ({ x }) => pointwise(x, Math.exp),
  },
  {
    name: "reduceMax",
    opset: 17,
    inputs: ["x"],
    nodes: [{ op: "ReduceMax", inputs: ["x"], outputs: ["y"], attributes: { keepdims: 1 } }],
    outputShape: () => [1, 1],
    flopsPerElement: 1,
    tolerance: 0,
    reference: ({ x }) => Float64Array.of((x as Float32Array).reduce((top, value) => Math.max(top, value), -Infinity)),
  },
  {
    name: "transpose",
    opset: 17,
    inputs: ["x"],
    nodes: [{ op: "Transpose", inputs: ["x"], outputs: ["y"] }],
    outputShape: ({ rows, columns }) => [columns, rows],
    flopsPerElement: 0,
    tolerance: 0,
    reference: ({ x }, { rows, columns }) => {
      const y = new Float64Array(rows * columns);
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) y[column * rows + row] = at(x, row * columns + column);
      return y;
    },
  },
];

function at(values: Float32Array | undefined, index: number): number {
  return (values as Float32Array)[index] as number;
}

function pointwise(x: Float32Array | undefined, formula: (value: number, index: number) => number): Float64Array {
  const y = new Float64Array((x as Float32Array).length);
  for (let i = 0; i < y.length; i++) y[i] = formula(at(x, i), i);
  return y;
}

function byRow(
  x: Float32Array | undefined,
  { rows, columns }: OpSizes,
  formula: (row: Float32Array, into: Float64Array) => void,
): Float64Array {
  const y = new Float64Array(rows * columns);
  for (let start = 0; start < y.length; start += columns) {
    formula((x as Float32Array).subarray(start, start + columns), y.subarray(start, start + columns));
  }
  return y;
}

const ERF_STEP = 1 / 64;
const ERF_END = 6; // erf(6) is 1 in float64
const erfTable: Float64Array = Float64Array.from({ length: ERF_END / ERF_STEP + 2 }, (_, i) => erfSeries(i * ERF_STEP));

/** 2/√π · e^(−x²) · Σ 2^n x^(2n+1) / (2n+1)!!, all terms positive. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return Math.min(1, (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum);
}

/** Error function within 1e-12: five Taylor terms about the nearest point of a table. */
export function erf(value: number): number {
  const x = Math.abs(value);
  if (!(x < ERF_END)) return Number.isNaN(value) ? Number.NaN : Math.sign(value);
  const index = Math.round(x / ERF_STEP);
  const c = index * ERF_STEP;
  const d = x - c;
  const slope = (2 / Math.sqrt(Math.PI)) * Math.exp(-c * c);
  const taylor =
    1 +
    d * (-c + d * ((2 * c * c - 1) / 3 + d * ((3 * c - 2 * c ** 3) / 6 + (d * (4 * c ** 4 - 12 * c * c + 3)) / 30)));
  return Math.sign(value) * ((erfTable[index] as number) + slope * d * taylor);
}

/** The op case of that name; throws a `UserError` with the names there are. */
export function opCase(name: string): OpCase {
  const found = opCases.find((record) => record.name === name);
  if (found !== undefined) return found;
  const names = opCases.map((record) => record.name).join(", ");
  throw new UserError(`there is no op case "${name}"`, { where: "bench ops", hint: `Choose from: ${names}.` });
}

/** Constant vector of an op case, equal in every process. */
function vectorValues(name: string, vector: string, seed: number, columns: number): Float32Array {
  const values = new Float32Array(columns);
  Random.of(seed, name, vector).fillNormal(values);
  return values;
}

/** Reads "2048x1024,1x4096" (rows x columns; each may be a range, see `sweep.ts`); one number is a square. */
export function parseOpSizes(text: string): OpSizes[] {
  return parseSweep(text, "the size of an op", "ROWSxCOLUMNS", 2).map(([rows, columns]) => {
    if ((rows as number) * (columns as number) > 2 ** 28) {
      throw new UserError(`op size ${rows}x${columns} needs a tensor of more than 1 GiB`, {
        where: "--shapes",
        hint: "Choose smaller sizes.",
      });
    }
    return { rows: rows as number, columns: columns as number };
  });
}

/** What an op case is called, and how many sets its inputs have. Throws a `UserError` for a case that cannot be. */
export function opPool(
  name: string,
  { rows, columns }: OpSizes = OP_SIZES,
  cache: CacheState = "rotating",
): Pick<Workload, "id" | "sets"> {
  const { inputs } = opCase(name);
  const usual = rows === OP_SIZES.rows && columns === OP_SIZES.columns;
  const id = `op/${name}${usual ? "" : `/${rows}x${columns}`}${cache === "rotating" ? "" : `/${cache}`}`;
  return { id, sets: setsFor(cache, 4 * rows * columns * inputs.length, id) };
}

/** Writes the model file of an op case into `directory`. */
export function opWorkload(
  name: string,
  seed: number,
  directory: string,
  sizes: OpSizes = OP_SIZES,
  cache: CacheState = "rotating",
): Workload {
  const record = opCase(name);
  const { rows, columns } = sizes;
  const { id, sets } = opPool(name, sizes, cache);
  const vectors: OnnxInitialiser[] = (record.vectors ?? []).map((vector) => ({
    name: vector,
    dtype: "f32",
    shape: [columns],
    bytes: new Uint8Array(vectorValues(name, vector, seed, columns).buffer),
  }));
  const outputShape = record.outputShape?.(sizes) ?? [rows, columns];
  const model = encodeOnnx({
    name,
    opset: record.opset,
    inputs: record.inputs.map((input) => ({ name: input, dtype: "f32", shape: [rows, columns] })),
    outputs: [{ name: "y", dtype: "f32", shape: outputShape }],
    initialisers: vectors,
    nodes: record.nodes,
  });
  const modelPath = join(directory, `${id.replaceAll("/", "-")}.onnx`);
  writeFileSync(modelPath, model.bytes);
  const elements = rows * columns;
  const outputElements = outputShape.reduce((a, b) => a * b, 1);
  return {
    id,
    kind: "op",
    dtype: "f32",
    shape: `${rows}x${columns}`,
    modelPath,
    inputs: record.inputs.map((input) => ({
      name: input,
      dtype: "f32",
      shape: [rows, columns],
      fill: { kind: "normal", scale: 1 },
    })),
    sets,
    cache,
    check: { kind: "op", op: name, ...sizes },
    flops: record.flopsPerElement * elements || null,
    bytes: 4 * (elements * record.inputs.length + outputElements),
  };
}

type OpCheck = Extract<Check, { kind: "op" }>;

/** Judges one output of an op case. Only matrix products depend on the precision, so it is the same for all. */
export function checkOp(check: OpCheck, inputs: TensorSet, outputs: TensorSet, seed: number): Verification {
  const record = opCase(check.op);
  const oracle = "float64 formula";
  const values = Object.fromEntries([
    ...Object.entries(inputs).map(([input, tensor]) => [input, tensor.data]),
    ...(record.vectors ?? []).map((vector) => [vector, vectorValues(check.op, vector, seed, check.columns)]),
  ]) as Record<string, Float32Array>;
  const expected = record.reference(values, check);
  const shape = record.outputShape?.(check) ?? [check.rows, check.columns];
  const y = outputs["y"] as Tensor | undefined;
  if (y === undefined || y.dtype !== "f32" || y.shape.join() !== shape.join()) {
    const given = y === undefined ? "nothing" : `${y.dtype} [${y.shape.join(", ")}]`;
    return {
      ok: false,
      maxError: null,
      rmsError: null,
      tolerance: record.tolerance,
      oracle,
      message: `output y is ${given}, expected f32 [${shape.join(", ")}]`,
    };
  }
  const found = differences(y.data as Float32Array, expected);
  const ok = found.maxError <= record.tolerance;
  const result = {
    ok,
    maxError: Number.isFinite(found.maxError) ? found.maxError : null,
    rmsError: Number.isFinite(found.rmsError) ? found.rmsError : null,
    tolerance: record.tolerance,
    oracle,
  };
  if (ok) return result;
  return {
    ...result,
    message: `y[${found.where}] = ${y.data[found.where]}, expected ${expected[found.where]} (error ${found.maxError.toExponential(2)}, limit ${record.tolerance})`,
  };
}
