/** What a reviewed trailer (`Bench-Accept: …`) covers, for the judge and for every report. */

import type { BenchRecord } from "./schema.ts";

/** Whether a trailer with this limit allows a ratio of head over base. */
export function allows({ limit }: { readonly limit: number }, ratio: number): boolean {
  return ratio <= 1 + limit;
}

/** Whether a trailer takes the blame for the bench: for a regression within its limit, and for nothing else. */
export function isAccepted({ verdict, accepted, estimate }: BenchRecord): boolean {
  return verdict === "REGRESSED" && accepted !== undefined && estimate !== null && allows(accepted, estimate.ratio);
}
