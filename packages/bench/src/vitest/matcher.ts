/**
 * `expect(results).toPassGate()`: a gate as a thin test. The run itself, in process pairs, is `quern gate` or `runGate`; here
 * its verdicts become one of a test. In a setup file of vitest:
 *
 *     import { expect } from "vitest";
 *     import { gateMatchers } from "@quern/bench/vitest-matcher";
 *     expect.extend(gateMatchers);
 */

import type {} from "vitest";
import { UserError } from "@quern/core/errors";
import { isAccepted } from "../results/accepted.ts";
import { readResults } from "../results/read.ts";
import type { BenchRecord, Results, Verdict } from "../results/schema.ts";
import { plainText } from "../report/escape.ts";

export interface PassGateOptions {
  /** INCONCLUSIVE fails too. */
  readonly strict?: boolean;
}

export interface Judgement {
  readonly pass: boolean;
  readonly message: () => string;
}

const FAILING: readonly Verdict[] = ["ERROR", "INVALID", "REGRESSED"];

/** Judges the results of a gate, or the result file at a path. A run without benches has passed nothing. */
export function judgeGate(received: Results | string, { strict = false }: PassGateOptions = {}): Judgement {
  const results = typeof received === "string" ? readResults(received) : received;
  const { benches, summary, run } = results;
  if (benches === undefined || summary === undefined)
    throw new UserError("these are no results of a gate", {
      hint: "Give what runGate returns, or a file of quern gate -o json=FILE.",
    });
  const failing = strict ? [...FAILING, "INCONCLUSIVE"] : FAILING;
  const bad = benches.filter((bench) => failing.includes(bench.verdict) && !isAccepted(bench));
  const reasons = [
    ...(run?.aborted === true ? ["the run was interrupted"] : []),
    ...(benches.length === 0 ? ["no bench was measured"] : []),
    ...(summary.exitCode !== 0 && bad.length === 0
      ? [`its exit code is ${summary.exitCode} (${plainText(summary.verdict)})`]
      : []),
    ...bad.toSorted((a, b) => failing.indexOf(a.verdict) - failing.indexOf(b.verdict)).map(benchLine),
  ];
  const pass = reasons.length === 0;
  return {
    pass,
    message: () =>
      pass
        ? `the gate passed: ${benches.length} benches, ${plainText(summary.verdict)}`
        : `the gate did not pass:\n${reasons.map((reason) => `  ${reason}`).join("\n")}`,
  };
}

function benchLine({ id, verdict, estimate, reason }: BenchRecord): string {
  const percent = (ratio: number): string => `${ratio < 1 ? "−" : "+"}${Math.abs(100 * (ratio - 1)).toFixed(1)} %`;
  const change =
    estimate === null ? "" : ` ${percent(estimate.ratio)} [${percent(estimate.low)}, ${percent(estimate.high)}]`;
  return `${verdict} ${plainText(id)}${change}${reason === "" ? "" : `: ${plainText(reason)}`}`;
}

declare module "vitest" {
  // All declarations of an interface have the same parameters.
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> {
    /**
     * Passes where a gate passed: the value is its results, or the path of its result file. A regression of an advisory run fails
     * here too, and so does a run that has measured nothing.
     */
    toPassGate(options?: PassGateOptions): R;
  }
}

/** For `expect.extend`. */
export const gateMatchers: { readonly toPassGate: typeof judgeGate } = { toPassGate: judgeGate };
