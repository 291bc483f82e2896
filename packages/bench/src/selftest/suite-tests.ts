/** Acceptance tests over the suite of 20 benches: identical code, changes of a known size, a machine that drifts. */

import { CHANGED_TESTS } from "./changed-runs.ts";
import { drifting } from "./drifting-runs.ts";
import { IDENTICAL_TESTS } from "./identical-runs.ts";
import type { MeasuredTest } from "./measured.ts";
import { overhead } from "./overhead.ts";

export const SUITE_TESTS: Readonly<Record<string, MeasuredTest>> = {
  ...IDENTICAL_TESTS,
  ...CHANGED_TESTS,
  AT14: drifting,
  overhead,
};
