/**
 * What the harness adds to what it measures: at most 0.5 % to a body of a millisecond; and a body of 20 ns is called timer-bound.
 *
 * In each of some fresh processes, slices of the harness and plain loops of the same calls take turns in random order; a plain loop
 * is timed as a whole. A process gives one number, the median over its slices, and the interval is over processes, as everywhere.
 */

import { WorkerProcess, workerPath } from "../harness/worker-process.ts";
import { median } from "../statistics/basics.ts";
import { intervalReach, trimmed } from "../statistics/trimmed.ts";
import { seedOf, type MeasuredTest } from "./measured.ts";
import type { OverheadAnswer, OverheadRequest } from "./overhead-worker.ts";
import { decision, percent, scaled, type SelftestResult } from "./result.ts";

const BAR = 0.005;
const PROCESSES = 10;
const FEWEST = 3;
const SLICES = 100;
const TIMEOUT_MS = 120_000;

export const overhead: MeasuredTest = async (options) => {
  const count = options.runs ?? scaled(PROCESSES, options);
  const answers: OverheadAnswer[] = [];
  for (let run = 0; run < count; run++) {
    options.signal?.throwIfAborted();
    options.progress("overhead", `process ${run + 1} of ${count}`, run / count);
    const worker = new WorkerProcess<OverheadRequest, OverheadAnswer>({
      label: "the overhead test",
      path: workerPath("overhead-worker", import.meta.url),
    });
    try {
      answers.push(await worker.ask({ kind: "overhead", slices: SLICES, seed: seedOf(options.seed, run) }, TIMEOUT_MS));
    } finally {
      worker.kill();
    }
  }
  return judgeOverhead(answers);
};

export function judgeOverhead(answers: readonly Omit<OverheadAnswer, "kind">[]): SelftestResult {
  const found = trimmed(answers.map(({ overhead: { logs } }) => median(logs)));
  const reach = answers.length < FEWEST ? Infinity : intervalReach(found);
  const share = Math.expm1(found.centre);
  const [low, high] = [Math.expm1(found.centre - reach), Math.expm1(found.centre + reach)];
  const unbound = answers.filter(({ bound }) => bound !== "timer-bound").length;
  const missing =
    answers.length < FEWEST
      ? `too few processes to say: ${answers.length} of the ${FEWEST} that it takes`
      : high > BAR
        ? `too noisy to say: the interval ends at ${percent(high)}, above ${percent(BAR)}; more --runs narrow it`
        : undefined;
  const shortNs = median(answers.map((answer) => answer.shortNs));
  const bareMs = median(answers.map((answer) => answer.overhead.bareNs)) / 1e6;
  const reported = median(answers.map((answer) => answer.overhead.share));
  const interval = Number.isFinite(reach) ? `, 95 % interval ${percent(low)} to ${percent(high)}` : "";
  return {
    test: "overhead",
    title: "the harness adds at most 0.5 % to a body of a millisecond",
    ...decision(unbound > 0 || (Number.isFinite(low) && low > BAR), missing),
    detail: [
      `${percent(share)} are added to a body of ${bareMs.toFixed(2)} ms${interval}, in ${answers.length} processes`,
      `the time that is reported, without the slow calls of a slice, differs by ${percent(reported)}`,
      `a body of ${shortNs.toFixed(0)} ns is called timer-bound in ${answers.length - unbound} of ${answers.length} processes`,
    ].join("\n"),
    numbers: {
      processes: answers.length,
      share,
      ...(Number.isFinite(reach) ? { low, high } : {}),
      reported,
      bareMs,
      shortNs,
      unbound,
    },
  };
}
