/**
 * Compares the outputs of an engine with expected ones, element by element.
 *
 * The error of a float is its difference as a share of max(|expected|, rms of the expected tensor): relative where values
 * are large, and scaled by the tensor where cancellation makes them small. Integers and booleans must be equal. Outputs of
 * quantised weights, whose single elements may differ a lot, must also point the same way and be as long as those expected.
 */

import { elementCount, isFloat, weightEncodingNamed, type MatmulPrecision, type Tensor } from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";

/** What a comparison found; `message` says what is wrong when `ok` is false. */
export interface Verification {
  readonly ok: boolean;
  readonly maxError: number | null;
  readonly rmsError: number | null;
  readonly tolerance: number | null;
  /** Lowest cosine similarity of a float output with the expected one; absent where it was not computed. */
  readonly cosine?: number;
  readonly oracle: string;
  readonly message?: string;
}

/** Limits of the largest error for whole models and ops computed in f32. */
export const MODEL_TOLERANCE: Readonly<Record<MatmulPrecision, number>> = { highest: 1e-4, high: 1e-3, medium: 1e-1 };

/** Limits of the largest and of the rms error of an output, and of its direction and length where single elements say little. */
export interface Limits {
  readonly max: number;
  readonly rms: number;
  /** Least cosine similarity. */
  readonly cosine?: number;
  /** Most that the length (the square root of the sum of squares) of many numbers may differ, as a share. */
  readonly length?: number;
}

/** Significant bits of floats; blocks have as many as they take. */
const FLOAT_BITS: Readonly<Record<string, number>> = { F16: 11, BF16: 8 };

/**
 * Limits for whole models whose weights were quantised to the encoding `quantize`, against outputs of the original weights.
 * The rounding error of a weight doubles with every bit less. In a stack of layers with random weights, the worst there is,
 * the largest error of an output was up to 16 times that of a weight, and the rms error 5 times; twice that is allowed, and
 * never an rms error that zeros would have.
 *
 * Noise of the rms error r that knows nothing of the output makes its cosine 1 / √(1 + r²) and its length √(1 + r²): 0.998 and
 * 1.002 at the limit of Q8_0, 0.83 and 1.2 at that of 4.5 bits. The cosine must be as high; the length may differ by a third of r,
 * since rounding also shortens or lengthens. Outputs that are all half as large pass the limits of single elements and not this one.
 */
export function modelLimits(precision: MatmulPrecision, quantize?: string): Limits {
  const { [precision]: max } = MODEL_TOLERANCE;
  if (quantize === undefined) return { max, rms: max };
  const { name, blockBytes, blockWeights } = weightEncodingNamed(quantize);
  const quantised = Math.min(2, 2 ** (6 - (FLOAT_BITS[name] ?? (8 * blockBytes) / blockWeights)));
  const rms = Math.max(max, quantised / 3);
  return { max: Math.max(max, quantised), rms, cosine: 1 / Math.sqrt(1 + rms * rms), length: rms / 3 };
}

/** Of few numbers the length is as uncertain as each of them: the limit for `count` numbers. */
function lengthLimit(limit: number, count: number): number {
  return limit * Math.max(1, 6 / Math.sqrt(count));
}

export interface Differences {
  readonly maxError: number;
  readonly rmsError: number;
  /** Cosine similarity; 1 where both are zeros, 0 where one is, or where numbers are missing. */
  readonly cosine: number;
  /** Length by the length expected; 1 where both are zeros. */
  readonly length: number;
  /** The first element of the largest error. */
  readonly where: number;
}

/** Errors of one tensor against expected values of equal count. A NaN that is not expected is an infinite error. */
export function differences(actual: ArrayLike<number | bigint>, expected: ArrayLike<number | bigint>): Differences {
  const count = expected.length;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const value = Number(expected[i]);
    if (Number.isFinite(value)) squares += value * value;
  }
  const rms = Math.sqrt(squares / Math.max(1, count));
  let maxError = 0;
  let where = -1;
  let errorSquares = 0;
  let actualSquares = 0;
  let products = 0;
  for (let i = 0; i < count; i++) {
    const a = Number(actual[i]);
    const b = Number(expected[i]);
    if (Number.isFinite(a) && Number.isFinite(b)) {
      actualSquares += a * a;
      products += a * b;
    }
    if (Object.is(a, b) || a === b) continue;
    const difference = Math.abs(a - b);
    // Below the smallest normal f32 an engine may flush to zero.
    const error = Number.isNaN(difference) ? Infinity : difference / Math.max(Math.abs(b), rms, 1.2e-38);
    errorSquares += difference * difference;
    if (error > maxError) {
      maxError = error;
      where = i;
    }
  }
  if (maxError === Infinity) return { maxError, rmsError: Infinity, cosine: 0, length: Infinity, where };
  const rmsError = Math.sqrt(errorSquares / Math.max(1, count)) / Math.max(rms, 1.2e-38);
  const alike = maxError === 0 || squares === actualSquares;
  const bothSquares = Math.sqrt(squares) * Math.sqrt(actualSquares);
  return {
    maxError,
    rmsError,
    cosine: bothSquares > 0 ? Math.min(1, products / bothSquares) : alike ? 1 : 0,
    length: squares > 0 ? Math.sqrt(actualSquares / squares) : alike ? 1 : Infinity,
    where,
  };
}

/** What is wrong with one output; undefined where nothing is. */
function faultOf(name: string, given: Tensor, wanted: Tensor, found: Differences, limits: Limits): string | undefined {
  const float = isFloat(wanted.dtype);
  const limit = float ? limits.max : 0;
  if (found.maxError > limit) {
    const { where, maxError } = found;
    return `${name}[${where}] = ${given.data[where]}, expected ${wanted.data[where]} (error ${maxError.toExponential(2)}, limit ${limit})`;
  }
  if (found.rmsError > limits.rms)
    return `output "${name}" has an rms error of ${found.rmsError.toExponential(2)}, limit ${limits.rms}`;
  if (!float) return undefined;
  if (limits.cosine !== undefined && found.cosine < limits.cosine)
    return `output "${name}" has a cosine similarity of ${found.cosine.toFixed(4)}, limit ${limits.cosine.toFixed(4)}`;
  const most = limits.length === undefined ? Infinity : lengthLimit(limits.length, elementCount(wanted.shape));
  if (Math.abs(found.length - 1) > most)
    return `output "${name}" is ${found.length.toFixed(3)} times as large as expected, limit 1 ± ${most.toFixed(3)}`;
  return undefined;
}

/** Compares all expected tensors; names, dtypes, shapes and values must agree. */
export function verifyTensors(
  actual: TensorSet,
  expected: TensorSet,
  limits: number | Limits,
  oracle: string,
): Verification {
  const all: Limits = typeof limits === "number" ? { max: limits, rms: limits } : limits;
  let maxError = 0;
  let rmsError = 0;
  let cosine: number | undefined;
  const problems: string[] = [];
  for (const [name, wanted] of Object.entries(expected)) {
    const given = actual[name];
    if (given === undefined) problems.push(`output "${name}" is missing`);
    else if (describe(given) !== describe(wanted))
      problems.push(`output "${name}" is ${describe(given)}, expected ${describe(wanted)}`);
    else if (isFloat(wanted.dtype) && lacksFinite(wanted.data))
      problems.push(`the expected output "${name}" has no finite number, which nothing can be compared with`);
    else {
      const found = differences(given.data, wanted.data);
      maxError = Math.max(maxError, found.maxError);
      rmsError = Math.max(rmsError, found.rmsError);
      if (isFloat(wanted.dtype)) cosine = Math.min(cosine ?? 1, found.cosine);
      const fault = faultOf(name, given, wanted, found, all);
      if (fault !== undefined) problems.push(fault);
    }
  }
  const result = {
    ok: problems.length === 0,
    maxError: finite(maxError),
    rmsError: finite(rmsError),
    tolerance: all.max,
    ...(cosine === undefined ? {} : { cosine }),
    oracle,
  };
  return problems.length === 0 ? result : { ...result, message: problems.join("; ") };
}

/** True for numbers of which none is finite: engines that all overflow agree, and are not right for it. */
export function lacksFinite(values: ArrayLike<number | bigint>): boolean {
  for (let i = 0; i < values.length; i++) if (Number.isFinite(Number(values[i]))) return false;
  return values.length > 0;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function describe(tensor: Tensor): string {
  return `${tensor.dtype} [${tensor.shape.join(", ")}]`;
}
