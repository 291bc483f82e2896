/** The next token from a row of logits. */

import { type Candidates, noToken } from "./candidates.ts";
import { indexOfLargest } from "./largest.ts";
import { choiceSamplers, logitSamplers, type SamplingSettings } from "./samplers.ts";

/**
 * Applies the samplers of `settings` to `row`, which is not changed, and chooses. `random`, in [0, 1), decides when the
 * temperature is above 0. Throws a `UserError` when no token is possible.
 */
export function chooseToken(
  row: Float32Array,
  settings: SamplingSettings,
  history: readonly number[],
  candidates: Candidates,
  random: () => number,
): number {
  const changes = logitSamplers.filter((sampler) => sampler.active(settings));
  const greedy = settings.temperature === 0;
  if (greedy && changes.length === 0) return possible(indexOfLargest(row));
  candidates.load(row);
  for (const sampler of changes) sampler.apply(candidates, settings, history);
  if (greedy) return possible(indexOfLargest(candidates.logits, candidates.size));
  for (const sampler of choiceSamplers) if (sampler.active(settings)) sampler.apply(candidates, settings, history);
  return candidates.draw(random());
}

function possible(token: number): number {
  if (token < 0) throw noToken();
  return token;
}
