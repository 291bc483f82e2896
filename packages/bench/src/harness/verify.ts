/**
 * Compares the outputs of an engine with expected ones, element by element.
 *
 * The error of a float is its difference as a share of max(|expected|, rms of the expected tensor): relative where values
 * are large, and scaled by the tensor where cancellation makes them small. Integers and booleans must be equal.
 */

import { isFloat, weightEncodingNamed, type MatmulPrecision, type Tensor } from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";

/** What a comparison found; `message` says what is wrong when `ok` is false. */
export interface Verification {
  readonly ok: boolean;
  readonly maxError: number | null;
  readonly rmsError: number | null;
  readonly tolerance: number | null;
  readonly oracle: string;
  readonly message?: string;
}

/** Limits of the largest error for whole models and ops computed in f32. */
export const MODEL_TOLERANCE: Readonly<Record<MatmulPrecision, number>> = { highest: 1e-4, high: 1e-3, medium: 1e-1 };

/** Limits of the largest and of the rms error of an output. */
export interface Limits {
  readonly max: number;
  readonly rms: number;
}

/** Significant bits of floats; blocks have as many as they take. */
const FLOAT_BITS: Readonly<Record<string, number>> = { F16: 11, BF16: 8 };

/**
 * Limits for whole models whose weights were quantised to the encoding `quantize`, against outputs of the original weights.
 * The rounding error of a weight doubles with every bit less. In a stack of layers with random weights, the worst there is,
 * the largest error of an output was up to 16 times that of a weight, and the rms error 5 times; twice that is allowed, and
 * never an rms error that zeros would have.
 */
export function modelLimits(precision: MatmulPrecision, quantize?: string): Limits {
  const { [precision]: max } = MODEL_TOLERANCE;
  if (quantize === undefined) return { max, rms: max };
  const { name, blockBytes, blockWeights } = weightEncodingNamed(quantize);
  const quantised = Math.min(2, 2 ** (6 - (FLOAT_BITS[name] ?? (8 * blockBytes) / blockWeights)));
  return { max: Math.max(max, quantised), rms: Math.max(max, quantised / 3) };
}

export interface Differences {
  readonly maxError: number;
  readonly rmsError: number;
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
  for (let i = 0; i < count; i++) {
    const a = Number(actual[i]);
    const b = Number(expected[i]);
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
  const rmsError =
    maxError === Infinity ? Infinity : Math.sqrt(errorSquares / Math.max(1, count)) / Math.max(rms, 1.2e-38);
  return { maxError, rmsError, where };
}

/** Compares all expected tensors; names, dtypes, shapes and values must agree. */
export function verifyTensors(
  actual: TensorSet,
  expected: TensorSet,
  limits: number | Limits,
  oracle: string,
): Verification {
  const { max: tolerance, rms } = typeof limits === "number" ? { max: limits, rms: limits } : limits;
  let maxError = 0;
  let rmsError = 0;
  const problems: string[] = [];
  for (const [name, wanted] of Object.entries(expected)) {
    const given = actual[name];
    if (given === undefined) problems.push(`output "${name}" is missing`);
    else if (describe(given) !== describe(wanted))
      problems.push(`output "${name}" is ${describe(given)}, expected ${describe(wanted)}`);
    else {
      const found = differences(given.data, wanted.data);
      maxError = Math.max(maxError, found.maxError);
      rmsError = Math.max(rmsError, found.rmsError);
      const limit = isFloat(wanted.dtype) ? tolerance : 0;
      if (found.maxError > limit) {
        const at = `${name}[${found.where}]`;
        problems.push(
          `${at} = ${given.data[found.where]}, expected ${wanted.data[found.where]} (error ${found.maxError.toExponential(2)}, limit ${limit})`,
        );
      } else if (found.rmsError > rms)
        problems.push(`output "${name}" has an rms error of ${found.rmsError.toExponential(2)}, limit ${rms}`);
    }
  }
  const result = {
    ok: problems.length === 0,
    maxError: finite(maxError),
    rmsError: finite(rmsError),
    tolerance,
    oracle,
  };
  return problems.length === 0 ? result : { ...result, message: problems.join("; ") };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function describe(tensor: Tensor): string {
  return `${tensor.dtype} [${tensor.shape.join(", ")}]`;
}
