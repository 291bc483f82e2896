/** Every acceptance test of the gate, AT1 to AT17. */

import type { MeasuredTest } from "./measured.ts";
import { SCENARIO_TESTS } from "./scenarios.ts";
import { SIMULATED_TESTS } from "./simulated.ts";
import { SUITE_TESTS } from "./suite-tests.ts";

export { packRuns } from "./kept-runs.ts";

/** By name, in the order of their numbers. */
export const SELFTESTS: ReadonlyMap<string, MeasuredTest> = new Map(
  Object.entries<MeasuredTest>({ ...SIMULATED_TESTS, ...SCENARIO_TESTS, ...SUITE_TESTS }).sort(
    ([a], [b]) => numberOf(a) - numberOf(b) || a.length - b.length,
  ),
);

function numberOf(name: string): number {
  return Number(/\d+/.exec(name)?.[0] ?? Infinity);
}

/** Those that take seconds; the rest measure for minutes to hours. */
export const QUICK_TESTS: readonly string[] = [...Object.keys(SIMULATED_TESTS), ...Object.keys(SCENARIO_TESTS)];
