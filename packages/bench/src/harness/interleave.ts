/**
 * Measures the engines of one case against each other: a process each, short slices in random order.
 *
 * A group is one workload at one thread count; its arms are engines at a precision. The group is repeated in fresh
 * processes. Within a repeat every round times one slice of every arm; the order is drawn from the seed, and each
 * order is followed by its reverse, so that no arm is always first.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { InternalError } from "@quern/core";
import type { MatmulPrecision } from "@quern/core";
import type { Workload } from "../cases/workload.ts";
import { engineNamed } from "../engines/index.ts";
import { makeTemporaryFolder } from "../paired/temporary-folder.ts";
import { EngineFailure, EngineProcess, IDLE, cleanUpAtEnd, isUnsupported, withProcess } from "./engine-process.ts";
import { reasonOf } from "./failures.ts";
import type { Finished, Job, Prepared } from "./protocol.ts";
import { Random } from "./random.ts";
import { pinTogether } from "./affinity.ts";

export interface Arm {
  readonly engine: string;
  readonly precision: MatmulPrecision;
  readonly threads: number;
  readonly features?: string | undefined;
  /** Encoding that the engine quantises weights to. */
  readonly quantize?: string | undefined;
}

/** What one process of an arm gave. */
export interface ArmRun {
  readonly prepared: Prepared;
  /** Time to compile in another process, with kept kernels, for engines that keep them. */
  readonly recompileMs: number | undefined;
  /** Median call time of each slice, in order of the rounds. */
  readonly slicesMs: readonly number[];
  readonly calls: number;
  /** Null: it failed before its timed outputs were compared, and the outputs of its first call were wrong already. */
  readonly finished: Finished | null;
}

export interface ArmOutcome {
  readonly arm: Arm;
  readonly runs: readonly ArmRun[];
  /** Set when the arm could not be measured, or not to the end. */
  readonly failure?: { readonly reason: string; readonly unsupported: boolean };
}

export interface GroupSettings {
  readonly seed: number;
  /** Timed seconds of each engine, case and thread count, over all processes. */
  readonly secondsPerEngine: number;
  /** Fresh processes of each engine. */
  readonly processes: number;
  readonly sliceMs: number;
  readonly timeoutMs: number;
  /** Ends the measurement; what whole repeats have given until then is kept. */
  readonly signal?: AbortSignal | undefined;
}

/** Called often; must be cheap. */
export type Progress = (text: string, share: number) => void;

const MIN_ROUNDS = 5;
const MIN_ROUNDS_SLOW = 2;
const SLOW_ROUND_MS = 1500;

interface LiveArm {
  readonly arm: Arm;
  readonly process: EngineProcess;
  readonly prepared: Prepared;
  readonly recompileMs: number | undefined;
  readonly slicesMs: number[];
  calls: number;
}

export function armName(arm: Arm): string {
  const labels = [arm.precision === "highest" ? [] : arm.precision, arm.quantize ?? []].flat();
  return labels.length === 0 ? arm.engine : `${arm.engine} (${labels.join(", ")})`;
}

/**
 * Measures one group. Failures, of single arms or of a whole repeat, are outcomes and not exceptions. Interrupted before a
 * repeat is whole it throws the reason of the signal.
 */
export async function measureGroup(
  workload: Workload,
  arms: readonly Arm[],
  settings: GroupSettings,
  progress: Progress,
): Promise<ArmOutcome[]> {
  const runs = new Map<Arm, ArmRun[]>(arms.map((arm) => [arm, []]));
  const failures = new Map<Arm, { reason: string; unsupported: boolean }>();
  for (let repeat = 0; repeat < settings.processes; repeat++) {
    const able = arms.filter((arm) => !failures.has(arm));
    const report: Progress = (text, share) => progress(text, (repeat + share) / settings.processes);
    try {
      await measureRepeat(workload, able, settings, repeat, report, runs, failures);
    } catch (error) {
      if (settings.signal?.aborted === true) {
        if (repeat === 0) throw error;
        break;
      }
      // There is no room for files, for instance. What whole repeats have given stays, and so do the groups before.
      const failure = { reason: reasonOf(error), unsupported: false };
      for (const arm of able) if (!failures.has(arm)) failures.set(arm, failure);
      break;
    }
  }
  return arms.map((arm) => {
    const failure = failures.get(arm);
    return { arm, runs: runs.get(arm) ?? [], ...(failure === undefined ? {} : { failure }) };
  });
}

async function measureRepeat(
  workload: Workload,
  arms: readonly Arm[],
  settings: GroupSettings,
  repeat: number,
  progress: Progress,
  runs: Map<Arm, ArmRun[]>,
  failures: Map<Arm, { reason: string; unsupported: boolean }>,
): Promise<void> {
  const random = Random.of(settings.seed, workload.id, arms[0]?.threads ?? 0, repeat);
  const live: LiveArm[] = [];
  const kernels = makeTemporaryFolder("quern-kernels-");
  const removeKernels = cleanUpAtEnd(() => rmSync(kernels, { recursive: true, force: true }));
  const fail = (arm: Arm, error: unknown): void => {
    // Ctrl-C kills what is measured: that is no failure of the arm.
    settings.signal?.throwIfAborted();
    if (error instanceof InternalError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    failures.set(arm, { reason, unsupported: isUnsupported(error) });
  };
  try {
    for (const arm of random.shuffle(arms)) {
      settings.signal?.throwIfAborted();
      progress(`${armName(arm)}: preparing`, 0.2 * (live.length / arms.length));
      const process = new EngineProcess(armName(arm));
      try {
        const job = jobOf(workload, arm, settings, join(kernels, String(live.length)), repeat);
        const { prepared } = await process.ask({ kind: "prepare", job }, settings.timeoutMs);
        process.pause();
        const recompileMs = engineNamed(arm.engine).keepsKernels ? await recompile(job, settings) : undefined;
        live.push({ arm, process, prepared, recompileMs, slicesMs: [], calls: 0 });
      } catch (error) {
        process.kill();
        fail(arm, error);
      }
    }
    const timed = live.filter(({ prepared }) => prepared.verification?.ok !== false);
    const single = timed.filter(({ arm }) => isSingle(arm)).map(({ process }) => process);
    await pinTogether(single, random);
    await measureRounds(timed, settings, random, progress, fail);
    const whole: [Arm, ArmRun][] = [];
    for (const entry of live) {
      const finished = await finish(entry, settings, fail, failures);
      const { arm, prepared, recompileMs, slicesMs, calls } = entry;
      whole.push([arm, { prepared, recompileMs, slicesMs, calls, finished }]);
    }
    for (const [arm, run] of whole) if (isJudged(run)) runs.get(arm)?.push(run);
  } finally {
    for (const { process } of live) process.kill();
    removeKernels();
  }
}

/** Of a process that failed while it was timed nobody knows what its timed calls computed, unless its first one was wrong. */
function isJudged({ prepared, finished }: ArmRun): boolean {
  return finished !== null || prepared.verification?.ok === false;
}

/** True if the engine computes on no more than one thread. */
function isSingle({ engine, threads }: Arm): boolean {
  const { variantOf, ownThreads = false } = engineNamed(engine);
  return threads === 1 && variantOf === undefined && !ownThreads;
}

/** Compiles the model of `job` in a process of its own, which finds the kernels that the job's process has kept. */
function recompile(job: Job, settings: GroupSettings): Promise<number> {
  return withProcess(job.engine, async (process) => {
    return (await process.ask({ kind: "compile", job }, settings.timeoutMs)).ms;
  });
}

function jobOf(workload: Workload, arm: Arm, settings: GroupSettings, kernels: string, process: number): Job {
  const { threads, precision, features, quantize } = arm;
  return {
    engine: arm.engine,
    options: {
      threads,
      precision,
      idle: IDLE,
      kernels,
      ...(features === undefined ? {} : { features }),
      ...(quantize === undefined ? {} : { quantize }),
    },
    workload,
    seed: settings.seed,
    sliceMs: settings.sliceMs,
    process,
  };
}

/** Rounds that fill the time budget: every arm gets as many slices as every other. `callsMs`: of a call of each arm. */
export function roundCount(
  callsMs: readonly number[],
  settings: Pick<GroupSettings, "secondsPerEngine" | "processes" | "sliceMs">,
): number {
  const roundMs = callsMs.reduce((sum, callMs) => sum + Math.max(settings.sliceMs, callMs), 0);
  const budgetMs = (1000 * settings.secondsPerEngine * callsMs.length) / settings.processes;
  const least = roundMs > SLOW_ROUND_MS ? MIN_ROUNDS_SLOW : MIN_ROUNDS;
  return Math.max(least, Math.round(budgetMs / roundMs));
}

async function measureRounds(
  arms: readonly LiveArm[],
  settings: GroupSettings,
  random: Random,
  progress: Progress,
  fail: (arm: Arm, error: unknown) => void,
): Promise<void> {
  if (arms.length === 0) return;
  const rounds = roundCount(
    arms.map(({ prepared }) => prepared.callMs),
    settings,
  );
  // About one slice in twenty keeps an output for checking, and never fewer than two.
  const keeping = new Set(
    random.shuffle(Array.from({ length: rounds }, (_, i) => i)).slice(0, Math.max(2, Math.ceil(rounds / 20))),
  );
  const failed = new Set<LiveArm>();
  let order = random.shuffle(arms);
  for (let round = 0; round < rounds; round++) {
    settings.signal?.throwIfAborted();
    order = round % 2 === 1 ? order.toReversed() : random.shuffle(arms);
    progress(`round ${round + 1} of ${rounds}`, 0.2 + (0.8 * round) / rounds);
    for (const entry of order.filter((candidate) => !failed.has(candidate))) {
      try {
        entry.process.resume();
        const { times } = await entry.process.ask({ kind: "slice", keep: keeping.has(round) }, settings.timeoutMs);
        entry.process.pause();
        entry.slicesMs.push(times.medianMs);
        entry.calls += times.calls;
      } catch (error) {
        failed.add(entry);
        fail(entry.arm, error);
      }
    }
  }
}

async function finish(
  entry: LiveArm,
  settings: GroupSettings,
  fail: (arm: Arm, error: unknown) => void,
  failures: ReadonlyMap<Arm, unknown>,
): Promise<Finished | null> {
  if (failures.has(entry.arm)) return null;
  try {
    entry.process.resume();
    const { finished } = await entry.process.ask({ kind: "finish" }, settings.timeoutMs);
    if (finished.failure !== undefined) fail(entry.arm, new EngineFailure(finished.failure, false));
    return finished;
  } catch (error) {
    fail(entry.arm, error instanceof Error ? error : new EngineFailure(String(error), false));
    return null;
  }
}
