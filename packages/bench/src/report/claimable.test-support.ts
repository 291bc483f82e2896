/** The sample results of engines with all facts that make their ratios claims. */

import { sampleResults } from "../results/sample-results.ts";
import type { Result, Results } from "../results/schema.ts";

export const FULL_FACTS: Partial<Result> = {
  modelSha256: "ab".repeat(32),
  inputsSha256: "cd".repeat(32),
  cacheState: "warm",
  isa: "avx2",
  busyThreads: 1,
};

export function claimable(): Results {
  const sample = sampleResults();
  const samples = [1, 2, 3, 4, 5];
  return {
    ...sample,
    results: sample.results.map((row) => ({ ...row, ...FULL_FACTS, ...(row.phase === "steady" ? { samples } : {}) })),
    comparisons: sample.comparisons.filter(({ phase }) => phase === "steady"),
  };
}
