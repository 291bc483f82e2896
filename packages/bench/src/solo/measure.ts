/**
 * Benches of one build, timed one after the other: what a developer wants to know of code in the making. Families share a process
 * as in the gate, slices are timed by tinybench, outputs of timed calls are checked. There is nothing to compare with, so
 * there is no verdict: the machine's own changes of speed are part of every number.
 */

import { join } from "node:path";
import { Random } from "../harness/random.ts";
import { ArmProcess, BenchFailure, type ArmProcessOptions } from "../paired/arm-process.ts";
import { groupBenches, type BenchGroup } from "../paired/groups.ts";
import { POOL_SETS } from "../paired/input-pool.ts";
import type { BenchRef, MeasuredArm } from "../paired/plan.ts";
import type { CheckOutcome, PairedRequest, PairedResponse } from "../paired/protocol.ts";
import { boundBy, timedBench, type Bound } from "../paired/timed-bench.ts";

export interface SoloPlan {
  readonly arm: MeasuredArm;
  readonly benches: readonly BenchRef[];
  /** Timed seconds of each bench. */
  readonly seconds: number;
  readonly sliceMs: number;
  readonly warmUpMs: number;
  readonly seed: number;
  /** For one request to a process. */
  readonly timeoutMs: number;
  readonly processOptions: ArmProcessOptions;
  readonly signal?: AbortSignal | undefined;
}

export interface SoloBench {
  readonly ref: BenchRef;
  /** ns per call, one for each slice. */
  readonly samples: readonly number[];
  /** Timed calls. */
  readonly calls: number;
  /** Why the times say nothing, or not all. */
  readonly flags: readonly (Bound | "no-steady-state")[];
  readonly check: CheckOutcome | undefined;
  readonly failure?: string;
}

/** A run of minutes has more samples than a call may have arguments. */
export function leastOf(samples: readonly number[]): number {
  return samples.reduce((least, ns) => Math.min(least, ns), Infinity);
}

/** Fewer slices have no interval worth the name. */
const LEAST_SLICES = 6;

/** Measures every bench; those after an interruption are left out. */
export async function measureSolo(
  plan: SoloPlan,
  progress: (text: string, share: number) => void,
): Promise<SoloBench[]> {
  const found: SoloBench[] = [];
  for (const group of groupBenches(plan.benches)) {
    let rest: readonly BenchRef[] = group.benches;
    while (rest.length > 0 && plan.signal?.aborted !== true) {
      const measured = await measureGroup({ ...group, benches: rest }, plan, ({ id }, done) =>
        progress(id, (found.length + done) / plan.benches.length),
      );
      found.push(...measured);
      // A bench that took its process with it is done; the others get another one.
      rest = rest.slice(measured.length);
    }
  }
  return found;
}

/** Benches of one process up to the end of the group, or to the one that ended the process. */
async function measureGroup(
  { name, benches }: BenchGroup,
  plan: SoloPlan,
  begin: (ref: BenchRef, done: number) => void,
): Promise<SoloBench[]> {
  const { arm, signal } = plan;
  const worker = new ArmProcess(arm, `benches of ${name}`, plan.processOptions);
  const kill = (): void => worker.kill();
  const stopped = (): boolean => signal?.aborted === true;
  signal?.addEventListener("abort", kill, { once: true });
  const measured: SoloBench[] = [];
  try {
    const loaded = new Set<string>();
    for (const ref of benches) {
      if (stopped() || !worker.alive) break;
      begin(ref, measured.length);
      const bench = await measureBench(ref, plan, worker, loaded);
      if (stopped()) break;
      measured.push(bench);
    }
    return measured;
  } finally {
    await worker.close(plan.timeoutMs);
    signal?.removeEventListener("abort", kill);
    kill();
  }
}

async function measureBench(
  ref: BenchRef,
  plan: SoloPlan,
  worker: ArmProcess,
  loaded: Set<string>,
): Promise<SoloBench> {
  const { id, file } = ref;
  const { arm, seed, sliceMs, warmUpMs, timeoutMs } = plan;
  const ask = <R extends PairedRequest>(request: R): Promise<Extract<PairedResponse, { kind: R["kind"] }>> =>
    worker.ask([id], request, timeoutMs);
  const samples: number[] = [];
  const flags: SoloBench["flags"][number][] = [];
  let calls = 0;
  let check: CheckOutcome | undefined;
  try {
    if (!loaded.has(file)) await ask({ kind: "load", file: join(arm.project, file), reserved: false });
    loaded.add(file);
    const { directory } = arm;
    const { opened } = await ask({ kind: "open", id, index: 0, seed, directory, collect: "full" });
    const slices = Math.max(LEAST_SLICES, Math.ceil((1000 * plan.seconds) / sliceMs));
    const timed = timedBench(ref, opened, opened, { modes: new Map(), sliceMs, rounds: slices });
    const { warmed } = await ask({ kind: "warm", id, mode: timed.mode, warmUpMs, sliceMs });
    if (!warmed.steady) flags.push("no-steady-state");
    const random = Random.of(seed, "solo", id);
    let spentMs = 0;
    for (let slice = 0; slice < slices; slice++) {
      if (slice >= LEAST_SLICES && spentMs >= 1000 * plan.seconds) break;
      const renew = slice % timed.renewEvery === 0 ? timed.renew : 0;
      const first = random.below(POOL_SETS);
      const answer = await ask({ kind: "slice", id, first, renew, collect: "minor" });
      samples.push(answer.callNs);
      calls += answer.calls;
      spentMs += answer.spentNs / 1e6;
    }
    ({ check } = await ask({ kind: "finish", id }));
    const bound = boundBy(timed, leastOf(samples));
    if (bound !== undefined) flags.push(bound);
    return { ref, samples, calls, flags, check, ...(check.fault === null ? {} : { failure: check.fault }) };
  } catch (error) {
    if (!(error instanceof BenchFailure)) throw error;
    return { ref, samples, calls, flags, check, failure: error.error.reason };
  }
}
