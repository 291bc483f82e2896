/**
 * Whether engines compute the same model: rows of logits behind the same tokens, of one engine against another's.
 *
 * Engines round activations differently, each in its own way, so logits agree in the mean and not in every element: what
 * is judged is the normalised mean square error, Σ(a − b)² / Σb². Logits of another model, or behind other tokens, give
 * about 2.
 */

import { largest } from "../engines/llm-engine.ts";
import { differences } from "../harness/verify.ts";

/** Above this share of the power of the logits something else was computed. */
export const NMSE_LIMIT = 0.05;

export interface Agreement {
  /** The worst row's. */
  readonly nmse: number;
  readonly maxError: number;
  readonly rows: number;
  /** How many rows have their largest logit in the same place. */
  readonly sameToken: number;
}

/** Rows in the same order; a row that one side lacks or that has another length is an infinite error. */
export function compareRows(actual: readonly Float32Array[], expected: readonly Float32Array[]): Agreement {
  let [nmse, maxError, sameToken] = [0, 0, 0];
  for (const [i, wanted] of expected.entries()) {
    const given = actual[i];
    if (given?.length !== wanted.length) {
      nmse = maxError = Infinity;
      continue;
    }
    const found = differences(given, wanted);
    nmse = Math.max(nmse, found.rmsError ** 2);
    maxError = Math.max(maxError, found.maxError);
    if (largest(given) === largest(wanted)) sameToken++;
  }
  return { nmse, maxError, rows: expected.length, sameToken };
}
