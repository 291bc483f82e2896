/**
 * Turns what a group measured into the rows of the result file: one per engine and phase, one comparison per phase.
 */

import { DTYPE_INFO, elementCount, type MatmulPrecision } from "@quern/core";
import type { Workload } from "../cases/workload.ts";
import { engineNamed } from "../engines/index.ts";
import type { Comparison, Phase, Result, RooflinePoint } from "../results/schema.ts";
import type { Arm, ArmOutcome, ArmRun } from "./interleave.ts";
import { budgetFacts } from "./busy-threads.ts";
import { coreFact } from "./core-load.ts";
import { highestBandwidth, highestGflops, impossibleRate, type Peaks } from "./impossible.ts";
import { arithmeticPeak, attainableGflops, bandwidthFor, fastestProducts, productPeak } from "./roofline.ts";
import { median, medianInterval, ratioInterval, type Estimate } from "../statistics/index.ts";
import type { Verification } from "./verify.ts";
import { withoutTimes } from "./withheld.ts";

type ColdPhase = Exclude<Phase, "steady" | "memory">;

const COLD: Readonly<Record<ColdPhase, (run: ArmRun) => number | undefined>> = {
  load: (run) => run.prepared.loadMs,
  compile: (run) => run.prepared.compileMs,
  "compile-cached": (run) => run.recompileMs,
  "first-run": (run) => run.prepared.firstRunMs,
};

const COLD_PHASES = Object.keys(COLD) as ColdPhase[];

/** A model has as much arithmetic as the engines that count it say, and of the kind that they say, whichever engine runs it. */
export function withKnownFlops(workload: Workload, outcomes: readonly ArmOutcome[]): Workload {
  if (workload.flops !== null) return workload;
  const facts = outcomes.flatMap(({ runs }) => runs[0]?.prepared.facts ?? []);
  const counts = facts.flatMap(({ flops }) => flops ?? []);
  if (counts.length === 0) return workload;
  const dequantised = facts.some((one) => one.dequantised === true);
  // The fewest: what another engine does more, the model can do without.
  return { ...workload, flops: Math.min(...counts), ...(dequantised ? { dequantised } : {}) };
}

/** All rows of one arm. An arm whose outputs are wrong has one row, which says so, without times. */
export function rowsOfArm(workload: Workload, outcome: ArmOutcome, peaks: Peaks | undefined): Result[] {
  const { arm, runs } = outcome;
  if (runs.length === 0) return [];
  const verified = verifiedFacts(runs);
  // An engine that takes more threads than it may takes them when it compiles, too; the note is for the row of warm calls.
  const { note, ...budget } = budgetFacts(
    runs.map(({ prepared }) => prepared.busyThreads),
    arm.threads,
  );
  const base: Base = {
    case: workload.id,
    engine: arm.engine,
    threads: arm.threads,
    precision: arm.precision,
    ...(arm.quantize === undefined ? {} : { weights: arm.quantize }),
    dtype: workload.dtype,
    shape: workload.shape,
    ...budget,
    ...verified,
  };
  // A note on wrong outputs comes first.
  const steady = steadyRow(workload, outcome, note === undefined ? base : { note, ...base }, peaks);
  if (verified.verified === false) return [steady];
  const cold = COLD_PHASES.flatMap((phase): Result[] => {
    const samples = runs.map(COLD[phase]).filter((ms) => ms !== undefined);
    const facts = phase === "compile-cached" ? { keptKernels: true } : coreFact(phase, engineNamed(arm.engine));
    return samples.length === 0 ? [] : [{ ...base, ...facts, phase, unit: "ms", samples, ...summary(samples) }];
  });
  const peakBytes = runs.map((run) => run.prepared.peakBytes).filter((bytes) => bytes !== null);
  const memory: Result[] =
    peakBytes.length === 0
      ? []
      : [{ ...base, phase: "memory", unit: "bytes", samples: peakBytes, ...summary(peakBytes) }];
  return [steady, ...cold, ...memory];
}

function summary(samples: readonly number[]): Pick<Result, "median" | "low" | "high"> {
  if (samples.length === 0) return { median: null, low: null, high: null };
  const { centre, low, high } = medianInterval(samples);
  return { median: centre, low, high };
}

/** Worst error over the checks before and during timing. */
function verifiedFacts(runs: readonly ArmRun[]): Pick<Result, "verified" | "maxError"> & Partial<Result> {
  const checks: Verification[] = runs.flatMap((run) => [
    ...(run.prepared.verification === null ? [] : [run.prepared.verification]),
    ...(run.finished?.checks ?? []),
  ]);
  const first = checks[0];
  if (first === undefined) return { verified: null, maxError: null, oracle: null, checkedOutputs: 0 };
  const worst = (pick: (check: Verification) => number | null): number | null => {
    const known = checks.map(pick).filter((value) => value !== null);
    return known.length < checks.length ? null : Math.max(...known);
  };
  const wrong = checks.find((check) => !check.ok);
  const cosines = checks.flatMap(({ cosine }) => cosine ?? []);
  return {
    verified: wrong === undefined,
    maxError: worst((check) => check.maxError),
    rmsError: worst((check) => check.rmsError),
    ...(cosines.length === 0 ? {} : { cosine: Math.min(...cosines) }),
    tolerance: first.tolerance,
    oracle: first.oracle,
    checkedOutputs: checks.length,
    ...(wrong?.message === undefined ? {} : { note: wrong.message }),
  };
}

type Base = Omit<Result, "phase" | "unit" | "samples" | "median" | "low" | "high">;

function steadyRow(workload: Workload, outcome: ArmOutcome, base: Base, peaks: Peaks | undefined): Result {
  const { arm, runs } = outcome;
  const facts = runs[0]?.prepared.facts;
  const profile = runs[0]?.finished?.profile;
  const samples = runs.flatMap((run) => run.slicesMs);
  const times = summary(samples);
  const flops = workload.flops ?? facts?.flops ?? null;
  // What a program moves between its own buffers, the case could do without.
  const { bytes } = workload;
  const perSecond = (work: number | null): number | null =>
    work === null || times.median === null ? null : work / times.median / 1e6; // ms to 1e9 per s
  const gflops = perSecond(flops);
  const roof = isBounded(arm, base.busyThreads) ? peaks : undefined;
  const peak = roof === undefined ? null : peakFor(roof.point, workload, arm);
  const bandwidth =
    roof === undefined || bytes === null ? null : bandwidthFor(roof.point, roof.caches, workingSet(workload, bytes));
  const attainable = flops === null ? null : attainableGflops(peak, bandwidth, flops, bytes);
  const impossible = roof === undefined ? undefined : impossibleOf(workload, arm, gflops, times.median, roof);
  const row: Result = {
    ...base,
    phase: "steady",
    unit: "ms",
    samples,
    processes: runs.map((run) => run.slicesMs.length),
    calls: runs.reduce((sum, run) => sum + run.calls, 0),
    ...times,
    flops,
    bytes,
    gflops,
    gbps: perSecond(bytes),
    peakShare: shareOfRoofline(gflops, attainable) ?? shareOfRoofline(perSecond(bytes), bandwidth),
    device: facts?.device ?? null,
    plannedPeakBytes: facts?.plannedPeakBytes ?? null,
    ...(facts?.precisions === undefined ? {} : { precisions: facts.precisions }),
    ...(profile === undefined || profile.length === 0 ? {} : { profile }),
  };
  if (base.verified === false) return withoutTimes(row);
  return impossible === undefined ? row : withoutTimes({ ...row, verified: false, note: impossible });
}

/**
 * Whether the peaks of so many threads of the processor bound an arm: not what runs on a device, or took more threads, or has
 * threads of its own choice that were not counted.
 */
function isBounded({ engine, threads }: Arm, busyThreads?: number): boolean {
  const { ownThreads, variantOf } = engineNamed(engine);
  if (ownThreads === true || (variantOf !== undefined && busyThreads === undefined)) return false;
  return (busyThreads ?? 0) <= threads;
}

/**
 * Weights in blocks are multiplied as bytes or at a lower precision, whatever was asked for; where the model itself
 * dequantises what it multiplies, an engine may leave that out and multiply the integers.
 */
function multipliesBytes({ dequantised = false }: Workload, { quantize }: Arm): boolean {
  return dequantised || quantize !== undefined;
}

function peakFor(point: RooflinePoint, workload: Workload, arm: Arm): number | null {
  return multipliesBytes(workload, arm) ? productPeak(point) : arithmeticPeak(point, arm.precision);
}

function impossibleOf(
  workload: Workload,
  arm: Arm,
  gflops: number | null,
  medianMs: number | null,
  peaks: Peaks,
): string | undefined {
  // At the lowest precision constant matrices may be kept in 16 bits.
  const share = arm.precision === "medium" ? 0.5 : 1;
  const { bytes } = workload;
  return impossibleRate({
    gflops,
    highestGflops: highestGflops(peaks, (point) =>
      multipliesBytes(workload, arm) ? fastestProducts(point) : arithmeticPeak(point, arm.precision),
    ),
    gbps: bytes === null || medianMs === null ? null : (share * bytes) / medianMs / 1e6,
    highestGbps: bytes === null ? null : highestBandwidth(peaks, share * workingSet(workload, bytes)),
  });
}

/** Bytes that come round again and again: what one call touches, and the other sets of inputs, unless a slice has one set. */
function workingSet(workload: Workload, bytes: number): number {
  if (workload.cache === "warm") return bytes;
  const inputBytes = workload.inputs.reduce(
    (sum, { dtype, shape }) => sum + elementCount(shape) * DTYPE_INFO[dtype].bytes,
    0,
  );
  return bytes + (workload.sets - 1) * inputBytes;
}

/** For data movement alone (no arithmetic known) the roof is the bandwidth. */
function shareOfRoofline(rate: number | null, roof: number | null): number | null {
  return rate === null || roof === null ? null : rate / roof;
}

/** Every other arm against the baseline: the engine of that name, or else the first arm. */
export function compareArms(workload: Workload, outcomes: readonly ArmOutcome[], baselineName: string): Comparison[] {
  const baseline = outcomes.find(({ arm }) => arm.engine === baselineName) ?? outcomes[0];
  if (baseline === undefined) return [];
  return outcomes
    .filter((outcome) => outcome !== baseline && isSound(outcome) && isSound(baseline))
    .flatMap((outcome) => comparisonsOf(workload, outcome, baseline));
}

/** Only right outputs are compared. */
function isSound(outcome: ArmOutcome): boolean {
  return outcome.runs.length > 0 && verifiedFacts(outcome.runs).verified !== false;
}

function comparisonsOf(workload: Workload, outcome: ArmOutcome, baseline: ArmOutcome): Comparison[] {
  const repeats = Math.min(outcome.runs.length, baseline.runs.length);
  const engineRuns = outcome.runs.slice(0, repeats);
  const baselineRuns = baseline.runs.slice(0, repeats);
  const rows: Comparison[] = [];
  const add = (phase: Phase, estimate: Estimate): void => {
    rows.push(comparison(workload, outcome.arm, baseline.arm, phase, estimate));
  };
  const pairs = engineRuns
    .map((run, i) => ({ engine: run.slicesMs, baseline: baselineRuns[i]?.slicesMs ?? [] }))
    .filter((pair) => pair.engine.length > 0 && pair.baseline.length > 0);
  if (pairs.length > 0) add("steady", ratioInterval(pairs));
  for (const phase of COLD_PHASES) {
    // A baseline that keeps no kernels compiles every time: worth seeing beside the other, and no claim.
    const ofBaseline = (run: ArmRun): number | undefined =>
      COLD[phase](run) ?? (phase === "compile-cached" ? COLD.compile(run) : undefined);
    const cold = engineRuns.flatMap((run, i) => {
      const [ours, theirs] = [COLD[phase](run), ofBaseline(baselineRuns[i] as ArmRun)];
      return ours === undefined || theirs === undefined ? [] : [{ engine: [ours], baseline: [theirs] }];
    });
    if (cold.length > 0) add(phase, ratioInterval(cold));
  }
  const peak = (runs: readonly ArmRun[]): number | null => {
    const known = runs.map((run) => run.prepared.peakBytes).filter((bytes) => bytes !== null && bytes > 0) as number[];
    return known.length === 0 ? null : median(known);
  };
  const engineBytes = peak(engineRuns);
  const baselineBytes = peak(baselineRuns);
  if (engineBytes !== null && baselineBytes !== null) {
    add("memory", { centre: baselineBytes / engineBytes, low: null, high: null, method: "none" });
  }
  return rows;
}

function comparison(workload: Workload, arm: Arm, baseline: Arm, phase: Phase, estimate: Estimate): Comparison {
  const precision: MatmulPrecision = arm.precision;
  return {
    case: workload.id,
    phase,
    threads: arm.threads,
    precision,
    ...(arm.quantize === undefined ? {} : { weights: arm.quantize }),
    engine: arm.engine,
    baseline: baseline.engine,
    ratio: estimate.centre,
    low: estimate.low,
    high: estimate.high,
    baselinePrecision: baseline.precision,
    method: estimate.method,
  };
}
