/**
 * Turns what was measured of language models into rows of the result file: per test one steady row of each engine, whose
 * call is a prompt or one step of generation; and the case "first-token" for what happens once: loading, opening, the
 * first prompt, memory. Its steady time is from opening the model to the first token. Where an engine keeps compiled kernels it is
 * that of a later start, which finds them, and the row says so; the first start is the sum of "compile" and "first-run".
 */

import type { LlmOptions } from "../engines/llm-engine.ts";
import { budgetFacts } from "../harness/busy-threads.ts";
import { coreFact } from "../harness/core-load.ts";
import { highestBandwidth, highestGflops, impossibleRate, type Peaks } from "../harness/impossible.ts";
import { bandwidthFor, fastestProducts, productPeak } from "../harness/roofline.ts";
import { withoutTimes } from "../harness/withheld.ts";
import { median, medianInterval, ratioInterval, type Estimate, type PairedTimes } from "../statistics/index.ts";
import type { Comparison, Phase, Result } from "../results/schema.ts";
import { llmEngineNamed } from "../engines/llm-engines.ts";
import type { LlmAgreement, LlmOutcome, LlmRun } from "./measure.ts";
import { workOf, type ModelFacts } from "./model-facts.ts";
import { FIRST_PROMPT, testName, testShape, type LlmTest } from "./tests.ts";

export interface LlmMeasured {
  readonly facts: ModelFacts;
  readonly options: LlmOptions;
  readonly tests: readonly LlmTest[];
  readonly outcomes: readonly LlmOutcome[];
}

type Base = Omit<Result, "phase" | "unit" | "samples" | "median" | "low" | "high">;

/** From the opening of the model: of the process that finds kept kernels, for engines that keep them. */
function firstTokenMs({ opened, reopened }: LlmRun): number {
  const { openMs, firstTokenMs: promptMs } = reopened ?? opened;
  return openMs + promptMs;
}

const KEPT_KERNELS = "a later start, with the kernels that the first one has kept";

/** Samples of the phases of the case "first-token". */
const PHASES: Readonly<Partial<Record<Phase, (run: LlmRun) => number | undefined>>> = {
  steady: firstTokenMs,
  load: (run) => run.opened.loadMs,
  compile: (run) => run.opened.openMs,
  "compile-cached": (run) => run.reopened?.openMs,
  "first-run": (run) => run.opened.firstTokenMs,
};

export function llmRows(measured: LlmMeasured, peaks: Peaks | undefined): Result[] {
  const outcomes = measured.outcomes.filter(({ runs }) => runs.length > 0);
  return [
    ...outcomes.flatMap((outcome) => firstTokenRows(measured, outcome)),
    ...measured.tests.flatMap((test) => outcomes.map((outcome) => testRow(measured, outcome, test, peaks))),
  ];
}

function caseName({ facts }: LlmMeasured, what: string): string {
  return `llm/${facts.name}/${what}`;
}

/** What was asked for, or what the engine chooses for these weights. */
function precisionOf({ facts, options }: LlmMeasured, engine: string): Result["precision"] {
  if (!llmEngineNamed(engine).choosesPrecision) return options.precision;
  return facts.floats ? "highest" : "medium";
}

/** `test`: what the row is of; absent: the first prompt. */
function baseOf(measured: LlmMeasured, outcome: LlmOutcome, what: string, shape: string, test?: LlmTest): Base {
  const { facts, options } = measured;
  const { engine, runs } = outcome;
  const precisions = runs[0]?.opened.precisions;
  return {
    case: caseName(measured, what),
    engine,
    threads: options.threads,
    precision: precisionOf(measured, engine),
    ...(llmEngineNamed(engine).choosesPrecision ? { chosenPrecision: true } : {}),
    ...(precisions === undefined ? {} : { precisions: [...precisions] }),
    dtype: facts.quant,
    shape,
    ...agreementOf(outcome, test),
  };
}

/**
 * A row is verified where every process that was timed agreed with another engine on what the row is of. The errors are those of all
 * that was compared.
 */
function agreementOf(
  { runs, wrong }: LlmOutcome,
  test: LlmTest | undefined,
): Pick<Result, "verified" | "maxError"> & Partial<Result> {
  const timed = runs.filter(({ tests }) => test === undefined || (tests.get(test)?.slicesMs.length ?? 0) > 0);
  const verified =
    timed.length > 0 && timed.every(({ agreements }) => agreements.some((agreement) => agreement.test === test));
  if (!verified && wrong === undefined) return { verified: null, maxError: null, oracle: null, checkedOutputs: 0 };
  const all = runs.flatMap(({ agreements }) => agreements);
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  const nmse = finite(Math.max(...all.map((agreement) => agreement.nmse)));
  return {
    verified: wrong === undefined,
    maxError: finite(Math.max(...all.map(({ maxError }) => maxError))),
    rmsError: nmse === null ? null : Math.sqrt(nmse),
    nmse,
    cosine: finite(Math.min(...all.map(({ cosine }) => cosine))),
    sameTokens: all.reduce((sum, { sameToken }) => sum + sameToken, 0),
    oracle: oracleOf(all),
    checkedOutputs: all.reduce((sum, { rows }) => sum + rows, 0),
    ...(wrong === undefined ? {} : { note: wrong }),
  };
}

function oracleOf(agreements: readonly LlmAgreement[]): string | null {
  const names = [...new Set(agreements.map(({ against }) => against))];
  if (names.length === 0) return null;
  return names.every((name) => llmEngineNamed(name).baseline)
    ? "logits of the baseline"
    : `logits of ${names.join(", ")}`;
}

function summary(samples: readonly number[]): Pick<Result, "median" | "low" | "high"> {
  if (samples.length === 0) return { median: null, low: null, high: null };
  const { centre, low, high } = medianInterval(samples);
  return { median: centre, low, high };
}

function firstTokenRows(measured: LlmMeasured, outcome: LlmOutcome): Result[] {
  const { runs } = outcome;
  // As of other cases: the note is for one row, the number for all.
  const { note, ...budget } = budgetFacts(
    runs.flatMap(({ tests }) => [...tests.values()].map(({ busyThreads }) => busyThreads)),
    measured.options.threads,
  );
  const base = { ...baseOf(measured, outcome, "first-token", `${FIRST_PROMPT} tokens`), ...budget };
  const kept = runs.some(({ reopened }) => reopened !== undefined);
  const rows = Object.entries(PHASES).flatMap(([phase, pick]): Result[] => {
    const samples = runs.map(pick).filter((ms) => ms !== undefined);
    if (samples.length === 0) return [];
    const more = phase === "steady" ? firstTokenFacts(outcome, samples.length, note) : {};
    return [
      {
        ...more,
        ...coreFact(phase, llmEngineNamed(outcome.engine)),
        ...base, // a note on wrong logits comes first
        ...(kept && (phase === "steady" || phase === "compile-cached") ? { keptKernels: true } : {}),
        phase: phase as Phase,
        unit: "ms",
        samples,
        ...summary(samples),
      },
    ];
  });
  if (base.verified === false) return rows.filter(({ phase }) => phase === "steady").map(withoutTimes);
  const peakBytes = runs.map((run) => run.peakBytes).filter((bytes) => bytes !== null);
  if (peakBytes.length === 0) return rows;
  return [...rows, { ...base, phase: "memory", unit: "bytes", samples: peakBytes, ...summary(peakBytes) }];
}

/** What the row of the time to the first token has beside other phases. */
function firstTokenFacts({ runs }: LlmOutcome, count: number, budgetNote: string | undefined): Partial<Result> {
  const later = runs.some(({ reopened }) => reopened !== undefined);
  const note = budgetNote ?? (later ? KEPT_KERNELS : undefined);
  return {
    ...(note === undefined ? {} : { note }),
    device: runs[0]?.opened.about ?? null,
    processes: Array.from({ length: count }, () => 1),
    calls: count,
  };
}

function testRow(measured: LlmMeasured, outcome: LlmOutcome, test: LlmTest, peaks: Peaks | undefined): Result {
  const { facts, options } = measured;
  const runs = outcome.runs.map(({ tests }) => tests.get(test)).filter((run) => run !== undefined);
  const samples = runs.flatMap(({ slicesMs }) => slicesMs);
  const times = summary(samples);
  const tokens = test.kind === "prompt" ? test.tokens : test.sequences;
  const { flops, bytes, leastBytes } = workOf(facts, test, options.cache);
  const perSecond = (work: number): number | null => (times.median === null ? null : work / times.median / 1e6);
  const [gflops, gbps] = [perSecond(flops), perSecond(bytes)];
  const share = (rate: number | null, peak: number | null): number | null =>
    rate === null || peak === null ? null : rate / peak;
  const peakShare =
    peaks === undefined
      ? null
      : test.kind === "prompt"
        ? share(gflops, productPeak(peaks.point))
        : share(gbps, bandwidthFor(peaks.point, peaks.caches, bytes));
  const budget = budgetFacts(
    runs.map(({ busyThreads }) => busyThreads),
    options.threads,
  );
  const bounded = peaks !== undefined && isBounded(outcome.engine, options.threads, budget.busyThreads);
  const impossible = bounded
    ? impossibleRate({
        gflops,
        highestGflops: highestGflops(peaks, fastestProducts),
        gbps: perSecond(leastBytes),
        highestGbps: highestBandwidth(peaks, leastBytes),
      })
    : undefined;
  const row: Result = {
    ...budget,
    ...baseOf(measured, outcome, testName(test), testShape(test), test),
    phase: "steady",
    unit: "ms",
    samples,
    processes: runs.map(({ slicesMs }) => slicesMs.length),
    calls: runs.reduce((sum, { calls }) => sum + calls, 0),
    ...times,
    tokens,
    tokensPerSecond: times.median === null ? null : (1000 * tokens) / times.median,
    flops,
    bytes,
    gflops,
    gbps,
    peakShare,
    device: outcome.runs[0]?.opened.about ?? null,
  };
  if (row.verified === false) return withoutTimes(row);
  return impossible === undefined ? row : withoutTimes({ ...row, verified: false, note: impossible });
}

/** Not what took more threads than the peaks are of, or has threads of its own choice that were not counted. */
function isBounded(engine: string, threads: number, busyThreads?: number): boolean {
  if (busyThreads === undefined) return llmEngineNamed(engine).variantOf === undefined;
  return busyThreads <= threads;
}

/** Every other engine against the fastest variant of the baseline, or where there is none against the first engine. */
export function llmComparisons(measured: LlmMeasured): Comparison[] {
  const sound = measured.outcomes.filter(({ runs, wrong }) => runs.length > 0 && wrong === undefined);
  const comparisons = measured.tests.flatMap((test) =>
    compare(measured, sound, testName(test), "steady", (run) => run.tests.get(test)?.slicesMs ?? []),
  );
  const once = Object.entries(PHASES).flatMap(([phase, pick]) => {
    const samples = (run: LlmRun): number[] => [pick(run) ?? []].flat();
    // A baseline that keeps no kernels opens the model every time: worth seeing beside the other, and no claim.
    const ofBaseline = phase === "compile-cached" ? openTimes : samples;
    return compare(measured, sound, "first-token", phase as Phase, samples, ofBaseline);
  });
  const memory = compare(measured, sound, "first-token", "memory", (run) =>
    run.peakBytes === null || run.peakBytes === 0 ? [] : [run.peakBytes],
  ).map((row): Comparison => ({ ...row, low: null, high: null, method: "none" }));
  return [...once, ...memory, ...comparisons];
}

/** Opening the model, with kept kernels where there are any. */
function openTimes({ opened, reopened }: LlmRun): number[] {
  return [(reopened ?? opened).openMs];
}

/** `ofBaseline`: what takes the place of `pick` for the engine that the others are compared with. */
function compare(
  measured: LlmMeasured,
  outcomes: readonly LlmOutcome[],
  what: string,
  phase: Phase,
  pick: (run: LlmRun) => readonly number[],
  ofBaseline: (run: LlmRun) => readonly number[] = pick,
): Comparison[] {
  const able = outcomes.filter(({ runs }) => runs.some((run) => pick(run).length > 0));
  const middle = ({ runs }: LlmOutcome): number => median(runs.flatMap((run) => ofBaseline(run)));
  const baselines = outcomes.filter(
    ({ engine, runs }) => llmEngineNamed(engine).baseline && runs.some((run) => ofBaseline(run).length > 0),
  );
  const baseline = baselines.toSorted((a, b) => middle(a) - middle(b))[0] ?? able[0];
  if (baseline === undefined) return [];
  return able
    .filter((outcome) => outcome !== baseline)
    .map((outcome) => {
      const pairs = outcome.runs
        .map((run, i): PairedTimes => ({ engine: pick(run), baseline: ofBaseline(baseline.runs[i] ?? run) }))
        .filter((pair, i) => baseline.runs[i] !== undefined && pair.engine.length > 0 && pair.baseline.length > 0);
      return comparison(measured, what, phase, outcome.engine, baseline.engine, ratioInterval(pairs));
    });
}

function comparison(
  measured: LlmMeasured,
  what: string,
  phase: Phase,
  engine: string,
  baseline: string,
  estimate: Estimate,
): Comparison {
  return {
    case: caseName(measured, what),
    phase,
    threads: measured.options.threads,
    precision: precisionOf(measured, engine),
    engine,
    baseline,
    ratio: estimate.centre,
    low: estimate.low,
    high: estimate.high,
    baselinePrecision: precisionOf(measured, baseline),
    method: estimate.method,
  };
}
