/**
 * Whether engines compute the same model: rows of logits behind the same tokens, of one engine against another's.
 *
 * Engines round activations differently, each in its own way, so logits agree in the mean and not in every element: what
 * is judged is the normalised mean square error, Σ(a − b)² / Σb², and with it the cosine similarity, which is
 * 1 / √(1 + NMSE) of noise that knows nothing of the logits. Logits of another model, or behind other tokens, give about 2.
 *
 * Both engines round activations to 8 bits and keep keys and values in 16. With weights in 4.5 bits and 16 layers that alone gave
 * 0.0022 (a cosine of 0.9989), with experts and weights in 2.6 bits 0.0036, and it grows with the layers. The limit is five
 * times as much, a cosine of 0.99.
 *
 * The most likely token is another one where two logits are nearer to each other than the noise, which with random weights happens
 * in one row of ten; where it happens otherwise, something else was computed.
 */

import { largest } from "../engines/llm-engine.ts";
import { differences, lacksFinite } from "../harness/verify.ts";

/** Above this share of the power of the logits something else was computed. */
export const NMSE_LIMIT = 0.02;
export const COSINE_LIMIT = 0.99;
/** Two logits are a tie that noise may decide where they differ by less than so many times the rms difference of the row. */
const TIE = 8;

export interface Agreement {
  /** The worst row's. */
  readonly nmse: number;
  /** The worst row's. */
  readonly cosine: number;
  readonly maxError: number;
  readonly rows: number;
  /** How many rows have their largest logit in the same place. */
  readonly sameToken: number;
  /** How many have it elsewhere though the other engine's logits are no tie. */
  readonly otherToken: number;
}

/**
 * Rows in the same order; a row that one side lacks, that has another length, or of which nothing finite is expected is an
 * infinite error.
 */
export function compareRows(actual: readonly Float32Array[], expected: readonly Float32Array[]): Agreement {
  let [nmse, cosine, maxError, sameToken, otherToken] = [0, 1, 0, 0, 0];
  for (const [i, wanted] of expected.entries()) {
    const given = actual[i];
    if (given?.length !== wanted.length || lacksFinite(wanted)) {
      nmse = maxError = Infinity;
      cosine = 0;
      continue;
    }
    const found = differences(given, wanted);
    nmse = Math.max(nmse, found.rmsError ** 2);
    cosine = Math.min(cosine, found.cosine);
    maxError = Math.max(maxError, found.maxError);
    const [ours, theirs] = [largest(given), largest(wanted)];
    if (ours === theirs) sameToken++;
    else if ((wanted[theirs] as number) - (wanted[ours] as number) > TIE * noiseOf(given, wanted)) otherToken++;
  }
  return { nmse, cosine, maxError, rows: expected.length, sameToken, otherToken };
}

/** Root of the mean square difference. */
function noiseOf(given: Float32Array, wanted: Float32Array): number {
  let squares = 0;
  for (let i = 0; i < wanted.length; i++) squares += ((given[i] as number) - (wanted[i] as number)) ** 2;
  return Math.sqrt(squares / Math.max(1, wanted.length));
}

/** Why two engines did not compute the same; undefined where they did. */
export function disagreement({ nmse, cosine, rows, otherToken }: Agreement): string | undefined {
  if (!(nmse <= NMSE_LIMIT)) return `normalised mean square error ${nmse.toExponential(2)}, limit ${NMSE_LIMIT}`;
  if (!(cosine >= COSINE_LIMIT)) return `cosine similarity ${cosine.toFixed(4)}, limit ${COSINE_LIMIT}`;
  if (otherToken > 0)
    return `another most likely token in ${otherToken} of ${rows} rows, where no two are nearly equal`;
  return undefined;
}
