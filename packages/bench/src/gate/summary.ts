/** The run as a whole: one verdict, one exit code. */

import type { Summary } from "../results/schema.ts";
import { geometricMean } from "../statistics/basics.ts";
import { EXIT } from "./exit-codes.ts";
import type { GatePolicy } from "./policy.ts";
import type { BenchVerdict, GateRecord } from "./types.ts";

/**
 * An error comes before an invalid run, that before a regression: wrong outputs are wrong on every machine, and what a
 * disturbed machine says about speed does not count. An advisory run fails by no regression and no doubt, but still by an
 * error, an invalid machine or a spent budget: then there is nothing to show. The geometric mean is shown, never judged.
 * Builds that are the same file by file have a verdict of their own, and so has a base without benches: it fails nothing, and it
 * is none of those that a measured run can have.
 */
export function summarise(
  benches: readonly BenchVerdict[],
  invalid: readonly string[],
  record: GateRecord,
  policy: GatePolicy,
): Summary {
  const ratios = benches.flatMap(({ estimate }) => (estimate === null ? [] : [estimate.ratio]));
  return { ...decide(benches, invalid, record, policy), geomean: ratios.length === 0 ? null : geometricMean(ratios) };
}

function decide(
  benches: readonly BenchVerdict[],
  invalid: readonly string[],
  record: GateRecord,
  { strict }: GatePolicy,
): Omit<Summary, "geomean"> {
  const has = (wanted: BenchVerdict["verdict"]): boolean => benches.some(({ verdict }) => verdict === wanted);
  const open = has("INCONCLUSIVE");
  const timing = (code: number): number => (record.advisory === true ? EXIT.pass : code);
  if (record.aborted === true) {
    return { verdict: has("ERROR") ? "ERROR" : "INCONCLUSIVE", exitCode: EXIT.interrupted };
  }
  if (benches.length === 0 && record.identical === true) return { verdict: "IDENTICAL", exitCode: EXIT.pass };
  if (benches.length === 0 && record.allNew === true) return { verdict: "NEW", exitCode: EXIT.pass };
  if (benches.length === 0 || has("ERROR")) return { verdict: "ERROR", exitCode: EXIT.wrong };
  if (invalid.length > 0) return { verdict: "INVALID", exitCode: EXIT.invalid };
  if (has("REGRESSED")) {
    const failing = benches.some(({ fails }) => fails);
    if (failing) return { verdict: "REGRESSED", exitCode: timing(EXIT.regressed) };
  }
  if (open && record.outOfTime === true) return { verdict: "INCONCLUSIVE", exitCode: EXIT.budget };
  if (open && strict) return { verdict: "INCONCLUSIVE", exitCode: timing(EXIT.inconclusive) };
  for (const verdict of ["REGRESSED", "INCONCLUSIVE", "IMPROVED"] as const) {
    if (has(verdict)) return { verdict, exitCode: EXIT.pass };
  }
  return { verdict: "EQUIVALENT", exitCode: EXIT.pass };
}
