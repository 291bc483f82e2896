/** The slices of a test: what is timed at once, of every engine the same. */

import type { LlmTest } from "./tests.ts";

/** Slices hold as many tokens of generation as the slowest engine makes in about this time. */
const GENERATE_SLICE_MS = 250;

export interface SliceRange {
  readonly from: number;
  readonly count: number;
}

/** The ranges of tokens that slices go through, one after another. `callMs`: of the slowest engine. */
export function slicesOf(test: LlmTest, callMs: number): SliceRange[] {
  if (test.kind === "prompt") return [{ from: 0, count: test.tokens }];
  const wanted = Math.max(1, Math.min(test.tokens, Math.round(GENERATE_SLICE_MS / Math.max(callMs, 1e-3))));
  const slices = Math.ceil(test.tokens / wanted);
  const bounds = Array.from({ length: slices + 1 }, (_, i) => Math.round((i * test.tokens) / slices));
  return bounds.slice(1).map((end, i) => ({ from: bounds[i] as number, count: end - (bounds[i] as number) }));
}

/** Time of all slices of the test, one after another. */
export function passMs(test: LlmTest, callMs: number): number {
  return test.kind === "prompt" ? callMs : callMs * test.tokens;
}
