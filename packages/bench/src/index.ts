/**
 * Public API of `@quern/bench`: results, reports, and what gates any two builds. Nothing here needs more than
 * `@quern/core`; statistics are in `@quern/bench/statistics`, comparisons of inference engines in `@quern/bench/engines`.
 */
export { describeMachine } from "./harness/machine.ts";
export { Random } from "./harness/random.ts";
export { resultsSchema, type Comparison, type Result, type Results } from "./results/schema.ts";
export { claimOf, claimText, withClaims, type Claim } from "./claims/claim.ts";
export { compareResults } from "./report/compare.ts";
export { renderCsv, renderCsvRounds, renderJsonLines, renderJsonLinesRounds } from "./report/csv.ts";
export { commandLine } from "./report/gate-facts.ts";
export { renderHtml } from "./report/html.ts";
export { renderJunit } from "./report/junit.ts";
export { COMMENT_BYTES, SUMMARY_BYTES, renderMarkdown } from "./report/markdown.ts";
export { renderTerminal } from "./report/terminal.ts";
export { formatBytes, formatMs, formatRatio } from "./report/format.ts";
export { formatTable } from "./report/table.ts";
export { parseResults, readResults } from "./results/read.ts";
export * from "./define/index.ts";
export { measurePairs } from "./paired/measure.ts";
export type { BenchRef, BenchSamples, MeasurePlan, PairSamples } from "./paired/plan.ts";
export { runBisect, type BisectListener, type BisectRequest } from "./bisect/run-bisect.ts";
export type { BisectProgress, BisectResult } from "./bisect/bisect.ts";
export { EXIT } from "./gate/exit-codes.ts";
export type { GateProgress, GateRequest } from "./gate/gate-request.ts";
export { judged } from "./gate/gate-results.ts";
export { judge } from "./gate/judge.ts";
export { POLICIES, gatePolicy, storedPolicy, type GatePolicy } from "./gate/policy.ts";
export { runGate } from "./gate/run-gate.ts";
export { gateRecord, type GateRecord, type Verdicts } from "./gate/types.ts";
export { availableMemory, controlLimits, type ControlLimits } from "./doctor/control-group.ts";
