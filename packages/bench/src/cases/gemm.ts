/**
 * Matrix products y[m, n] = x[m, k] · b[k, n] of given sizes, and matrix-vector products (m = 1).
 *
 * `b` is constant by default, as the weights of a layer are: every engine may pack it when it compiles. The check
 * needs no full float64 product: sampled elements are computed exactly, and random projections (Freivalds) see all others.
 */

import { UserError, type MatmulPrecision, type Tensor } from "@quern/core";
import { openSync, readSync, closeSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../harness/random.ts";
import type { Verification } from "../harness/verify.ts";
import type { TensorSet } from "./inputs.ts";
import { encodeOnnx } from "./onnx-model.ts";
import { setsFor, type CacheState } from "./caches.ts";
import { parseSweep } from "./sweep.ts";
import type { Check, InputRecipe, Workload } from "./workload.ts";

export interface GemmCase {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** "constant": `b` is part of the model; "input": given with every call. */
  readonly weights: "constant" | "input";
  /** What the caches hold when a call begins; "rotating" unless told. */
  readonly cache?: CacheState;
}

/** Reads "1024x1024x1024,1x4096x4096" (M x K x N; each may be a range, see `sweep.ts`); one number is a square. */
export function parseShapes(
  text: string,
  weights: GemmCase["weights"] = "constant",
  cache: CacheState = "rotating",
): GemmCase[] {
  requireRotating(weights, cache);
  return parseSweep(text, "a GEMM shape", "MxKxN", 3).map((sizes) => {
    const [m, k, n] = sizes as [number, number, number];
    if (k * n > 2 ** 28 || m * k > 2 ** 28 || m * n > 2 ** 28) {
      throw new UserError(`GEMM shape ${sizes.join("x")} needs a matrix of more than 1 GiB`, {
        where: "--shapes",
        hint: "Choose smaller sizes.",
      });
    }
    return { m, k, n, weights, cache };
  });
}

/** A matrix that is part of the model is one, and stays in the caches that hold it. */
function requireRotating(weights: GemmCase["weights"], cache: CacheState): void {
  if (weights === "input" || cache !== "soft-cold") return;
  throw new UserError("constant weights do not rotate, so their caches cannot be made cold", {
    where: "--cache soft-cold",
    hint: "Choose --weights input.",
  });
}

/** What a case is called, and how many sets its inputs have. Throws a `UserError` for a case that cannot be. */
export function gemmPool({ m, k, n, weights, cache = "rotating" }: GemmCase): Pick<Workload, "id" | "sets"> {
  requireRotating(weights, cache);
  const constant = weights === "constant";
  const id = `gemm/${m}x${k}x${n}${constant ? "" : "/b-input"}${cache === "rotating" ? "" : `/${cache}`}`;
  return { id, sets: setsFor(cache, 4 * (m * k + (constant ? 0 : k * n)), id) };
}

/** Writes the model file of the case into `directory`. */
export function gemmWorkload(gemm: GemmCase, seed: number, directory: string): Workload {
  const { m, k, n, weights, cache = "rotating" } = gemm;
  const constant = weights === "constant";
  const { id, sets } = gemmPool(gemm);
  const b = { name: "b", dtype: "f32", shape: [k, n] } as const;
  const values = new Float32Array(constant ? k * n : 0);
  Random.of(seed, id, "weights").fillNormal(values);
  const model = encodeOnnx({
    name: "gemm",
    opset: 17,
    inputs: [{ name: "x", dtype: "f32", shape: [m, k] }, ...(constant ? [] : [b])],
    outputs: [{ name: "y", dtype: "f32", shape: [m, n] }],
    initialisers: constant ? [{ ...b, bytes: new Uint8Array(values.buffer) }] : [],
    nodes: [{ op: "MatMul", inputs: ["x", "b"], outputs: ["y"] }],
  });
  const modelPath = join(directory, `${id.replaceAll("/", "-")}.onnx`);
  writeFileSync(modelPath, model.bytes);
  const recipe = (name: string, sizes: readonly number[]): InputRecipe => ({
    name,
    dtype: "f32",
    shape: sizes,
    fill: { kind: "normal", scale: 1 },
  });
  return {
    id,
    kind: "gemm",
    dtype: "f32",
    shape: `${m}x${k}x${n}`,
    modelPath,
    inputs: [recipe("x", [m, k]), ...(constant ? [] : [recipe("b", [k, n])])],
    sets,
    cache,
    check: { kind: "matmul", m, k, n, weightsOffset: constant ? (model.offsets["b"] ?? null) : null },
    flops: 2 * m * k * n,
    bytes: 4 * (m * k + k * n + m * n),
  };
}

/** Limits of the error as a share of the output's rms: [largest, rms]. f32 sums of k terms round k times. */
function limits(precision: MatmulPrecision, k: number): readonly [number, number] {
  const f32 = 4 * 2 ** -24 * Math.sqrt(k);
  if (precision === "highest") return [f32 + 1e-6, f32 / 2 + 1e-6];
  return precision === "high" ? [1e-4 + f32, 2e-5 + f32 / 4] : [5e-2, 5e-3];
}

const SAMPLED_COLUMNS = 32;
const SAMPLES_PER_COLUMN = 64;
const SAMPLES = SAMPLED_COLUMNS * SAMPLES_PER_COLUMN;

/** The first and the last, where kernels that count wrong go wrong, and random ones, `count` in all. */
function sampledPlaces(size: number, count: number, random: Random): number[] {
  return [0, size - 1, ...Array.from({ length: count - 2 }, () => random.below(size))];
}

type MatmulCheck = Extract<Check, { kind: "matmul" }>;

/** Judges one output of a matrix product. */
export function checkMatmul(
  check: MatmulCheck,
  modelPath: string,
  inputs: TensorSet,
  outputs: TensorSet,
  precision: MatmulPrecision,
  /** Draws the places. */
  random: Random,
): Verification {
  const { m, k, n } = check;
  const oracle = "float64 at sampled places and projections";
  const y = outputs["y"] as Tensor | undefined;
  if (y === undefined || y.dtype !== "f32" || y.shape.length !== 2 || y.shape[0] !== m || y.shape[1] !== n) {
    const given = y === undefined ? "nothing" : `${y.dtype} [${y.shape.join(", ")}]`;
    return {
      ok: false,
      maxError: null,
      rmsError: null,
      tolerance: null,
      oracle,
      message: `output y is ${given}, expected f32 [${m}, ${n}]`,
    };
  }
  const actual = y.data as Float32Array;
  const x = (inputs["x"] as Tensor).data as Float32Array; // [m, k]
  const b =
    check.weightsOffset === null
      ? ((inputs["b"] as Tensor).data as Float32Array)
      : constantWeights(modelPath, check.weightsOffset, k * n); // [k, n]

  let worst = 0;
  let squares = 0;
  let reference = 0;
  for (const j of sampledPlaces(n, SAMPLED_COLUMNS, random)) {
    const column = Float64Array.from({ length: k }, (_, i) => b[i * n + j] as number);
    for (const row of sampledPlaces(m, SAMPLES_PER_COLUMN, random)) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (x[row * k + i] as number) * (column[i] as number);
      const error = Math.abs((actual[row * n + j] as number) - sum);
      worst = Number.isFinite(error) ? Math.max(worst, error) : Infinity;
      squares += error * error;
      reference += sum * sum;
    }
  }
  const rms = Math.sqrt(reference / SAMPLES) || 1;
  const projected = projectionError(x, b, actual, m, k, n, random) / rms;
  const [maxLimit, rmsLimit] = limits(precision, k);
  const maxError = worst / rms;
  const rmsError = Math.sqrt(squares / SAMPLES) / rms;
  // A projection sums n independent errors with signs: its rms is √n times theirs.
  const ok = maxError <= maxLimit && rmsError <= rmsLimit && projected <= 8 * Math.sqrt(n) * rmsLimit;
  const message = ok
    ? undefined
    : `error ${maxError.toExponential(2)} (limit ${maxLimit.toExponential(1)}), rms ${rmsError.toExponential(2)} (limit ${rmsLimit.toExponential(1)}), projection ${projected.toExponential(2)}`;
  return { ok, maxError, rmsError, tolerance: maxLimit, oracle, ...(message === undefined ? {} : { message }) };
}

/** Largest |y·r − x·(b·r)| over the rows for one random sign vector r: touches every element of y once. */
function projectionError(
  x: Float32Array,
  b: Float32Array,
  y: Float32Array,
  m: number,
  k: number,
  n: number,
  random: Random,
): number {
  const signs = Float64Array.from({ length: n }, () => (random.next() & 1) * 2 - 1);
  const folded = new Float64Array(k); // b · r
  for (let i = 0; i < k; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += (b[i * n + j] as number) * (signs[j] as number);
    folded[i] = sum;
  }
  let worst = 0;
  for (let row = 0; row < m; row++) {
    let difference = 0;
    for (let j = 0; j < n; j++) difference += (y[row * n + j] as number) * (signs[j] as number);
    for (let i = 0; i < k; i++) difference -= (x[row * k + i] as number) * (folded[i] as number);
    worst = Number.isFinite(difference) ? Math.max(worst, Math.abs(difference)) : Infinity;
  }
  return worst;
}

const weightsRead = new Map<string, Float32Array>();

/** The constant matrix of a case, read once per process. */
function constantWeights(modelPath: string, offset: number, count: number): Float32Array {
  let weights = weightsRead.get(modelPath);
  if (weights === undefined) weightsRead.set(modelPath, (weights = readFloats(modelPath, offset, count)));
  return weights;
}

function readFloats(path: string, offset: number, count: number): Float32Array {
  const bytes = new Uint8Array(4 * count);
  const file = openSync(path, "r");
  try {
    let done = 0;
    while (done < bytes.length) done += readSync(file, bytes, done, bytes.length - done, offset + done);
  } finally {
    closeSync(file);
  }
  return new Float32Array(bytes.buffer);
}
