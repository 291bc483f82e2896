/**
 * Exact bounds of a rate from counts (Clopper and Pearson 1934, Biometrika 26). Without an event the upper one is the rule of
 * three: about 3 / n at 95 %.
 */

import { compiled, incbi } from "cephes";
import { UserError } from "@quern/core/errors";

await compiled;

/** The largest rate at which so few events in `trials` are not yet rarer than 1 - `confidence`; 1 without any trial. */
export function rateUpperBound(events: number, trials: number, confidence = 0.95): number {
  if (!(events >= 0 && events <= trials)) throw new UserError(`statistics: ${events} events in ${trials} trials`);
  return events === trials ? 1 : incbi(events + 1, trials - events, confidence);
}

/** The smallest rate at which so many events in `trials` are not yet rarer than 1 - `confidence`; 0 without any trial. */
export function rateLowerBound(events: number, trials: number, confidence = 0.95): number {
  return 1 - rateUpperBound(trials - events, trials, confidence);
}
