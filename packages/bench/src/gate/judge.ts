/**
 * From samples and a policy to verdicts. Pure: the same record and policy give the same verdicts, byte for byte, so that
 * whoever reads a result file can judge again.
 *
 * Every bench starts at "don't know" and is moved by evidence only. Two stages on independent data: the screening names
 * suspects, and only fresh pairs can convict them. Without any change the false discovery rate of the confirmation is the
 * chance that a run fails, whatever the number of benches.
 */

import { allows } from "../results/accepted.ts";
import type { RatioEstimate } from "../results/schema.ts";
import { confirmSuspects, type Confirmed } from "./confirm.ts";
import { judgeEnvironment } from "./disturbance.ts";
import { ratioEstimate } from "./estimate.ts";
import { suspected, unsuspected, type Finding } from "./findings.ts";
import { FEWEST_PAIRS } from "../define/settings.ts";
import type { GatePolicy } from "./policy.ts";
import type { DroppedRounds } from "./samples.ts";
import { faultOf, needsFreshPairs, screen, type Screened } from "./screen.ts";
import { summarise } from "./summary.ts";
import type { BenchVerdict, GateRecord, MeasuredBench, Verdicts } from "./types.ts";
import { change, share } from "./wording.ts";

/** Judges a whole run. `policy` as `gatePolicy` or `storedPolicy` makes it: it is not checked again. */
export function judge(record: GateRecord, policy: GatePolicy): Verdicts {
  const { controls, dropped, invalid } = judgeEnvironment(record, policy);
  const screened = screenAll(record, dropped, policy);
  const confirmed = confirmSuspects(screened, dropped, policy);
  const benches = screened.map((bench): BenchVerdict => {
    const fresh = confirmed.get(bench.bench.id);
    const finding = find(bench, fresh, record, policy, invalid);
    const { verdict, reason: found, fails } = accept(bench.bench, finding, fresh);
    const estimate = verdict === "ERROR" ? null : estimateOf(bench, fresh, record, policy);
    const blind = verdict === "INCONCLUSIVE" && estimate !== null;
    const reason = blind ? `${found}; it can find changes from ${share(estimate.mde)} on` : found;
    const flags = flagsOf(bench.bench, estimate, policy);
    return { id: bench.bench.id, verdict, reason, estimate, flags, suspect: bench.suspect, fails };
  });
  return { benches, controls, invalid, summary: summarise(benches, invalid, record, policy) };
}

/** Suspects of the screening and what it left open, which need fresh pairs. Benches that are known to fail are left out. */
export function suspectsOf(record: GateRecord, policy: GatePolicy): string[] {
  const { dropped } = judgeEnvironment(record, policy);
  return screenAll(record, dropped, policy)
    .filter(needsFreshPairs)
    .map(({ bench }) => bench.id);
}

/** Suspects that the confirmation left open, if the policy allows an extension. */
export function extendable(record: GateRecord, policy: GatePolicy): string[] {
  if (policy.extensionPairs === 0) return [];
  const { dropped } = judgeEnvironment(record, policy);
  const confirmed = confirmSuspects(screenAll(record, dropped, policy), dropped, policy);
  return [...confirmed].filter(([, { outcome }]) => outcome === "open").map(([id]) => id);
}

function screenAll(record: GateRecord, dropped: DroppedRounds, policy: GatePolicy): Screened[] {
  return record.benches.map((bench) => screen(bench, dropped, policy));
}

/** Errors do not depend on the machine; all else counts only if that was undisturbed. */
function find(
  screened: Screened,
  fresh: Confirmed | undefined,
  record: GateRecord,
  policy: GatePolicy,
  invalid: readonly string[],
): Finding {
  const { bench } = screened;
  const fault = faultOf(bench) ?? record.foreignFiles?.[0];
  if (fault !== undefined) return { verdict: "ERROR", reason: fault };
  const finding = needsFreshPairs(screened)
    ? suspected(screened, fresh, record, policy)
    : unsuspected(screened, record, policy);
  const [why] = invalid;
  return why === undefined || finding.verdict === "ERROR" ? finding : { verdict: "INVALID", reason: why };
}

/** A reviewed trailer takes the blame for a regression up to its limit. */
function accept(
  { accepted }: MeasuredBench,
  { verdict, reason }: Finding,
  fresh: Confirmed | undefined,
): Finding & { readonly fails: boolean } {
  if (verdict !== "REGRESSED" || accepted === undefined || fresh === undefined) {
    return { verdict, reason, fails: verdict === "REGRESSED" || verdict === "ERROR" };
  }
  const ratio = Math.exp(fresh.analysis.found.centre);
  const fails = !allows(accepted, ratio);
  const limit = change(1 + accepted.limit);
  const note = fails
    ? `more than the ${limit} accepted (${accepted.reason})`
    : `accepted up to ${limit}: ${accepted.reason}`;
  return { verdict, reason: `${reason}; ${note}`, fails };
}

/** Of fresh pairs where there are any, otherwise of the screening; none for errors. */
function estimateOf(
  { bench, analysis, suspect }: Screened,
  fresh: Confirmed | undefined,
  record: GateRecord,
  policy: GatePolicy,
): RatioEstimate | null {
  const shown = fresh?.analysis ?? analysis;
  if (shown === null) return null;
  const total = policy.confirmPairs + policy.extensionPairs;
  return ratioEstimate(shown, {
    id: bench.id,
    stage: fresh?.stage ?? "screen",
    delta: bench.delta,
    direction: suspect ?? (shown.found.centre < 0 ? "faster" : "slower"),
    seed: record.seed,
    policy,
    screenPairs: Math.max(FEWEST_PAIRS, analysis?.found.count ?? 0),
    confirmPairs: Math.max(FEWEST_PAIRS, fresh?.analysis.found.count ?? total),
  });
}

/** Adds "unstable": this run and those before it could only see changes above twice the threshold. */
function flagsOf(
  { flags, delta, recentMdes = [] }: MeasuredBench,
  estimate: RatioEstimate | null,
  { unstableRuns }: GatePolicy,
): string[] {
  if (estimate === null) return [...flags];
  const mdes = [...recentMdes, estimate.mde].slice(-unstableRuns);
  const blind = mdes.length === unstableRuns && mdes.every((mde) => mde > 2 * delta);
  return blind
    ? [...flags.filter((flag) => flag !== "unstable"), "unstable"]
    : flags.filter((flag) => flag !== "unstable");
}
