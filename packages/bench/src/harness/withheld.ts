/** Rows of results whose outputs are wrong, or whose rate cannot be. */

import type { Result } from "../results/schema.ts";

/** The row without its times, and without what follows from them: it says what is wrong, and nobody can quote it. */
export function withoutTimes({ profile: _, ...row }: Result): Result {
  const none = { median: null, low: null, high: null, gflops: null, gbps: null, peakShare: null };
  return {
    ...row,
    ...none,
    samples: [],
    calls: 0,
    ...(row.processes === undefined ? {} : { processes: row.processes.map(() => 0) }),
    ...(row.tokensPerSecond === undefined ? {} : { tokensPerSecond: null }),
  };
}
