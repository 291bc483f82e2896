/**
 * What a run has so far: samples of every stage, by bench. It becomes a result file at any time, so that an interrupted run
 * leaves what it has measured.
 */

import type { BenchParams } from "../define/bench.ts";
import type { BenchRef, BenchSamples, PairSamples } from "../paired/plan.ts";
import type { BenchRecord, PairRecord, StageRecord } from "../results/schema.ts";
import type { StageName } from "./samples.ts";
import type { GateRecord, MeasuredBench, MeasuredControl } from "./types.ts";

interface Check {
  readonly checked: number;
  readonly maxError: number | null;
  readonly passed: boolean;
}

interface Entry {
  readonly id: string;
  readonly params: BenchParams | undefined;
  readonly work: BenchRef["work"];
  readonly delta: number;
  readonly stages: StageRecord[];
  readonly flags: Set<string>;
  readonly recentMdes: readonly number[];
  check: Check | null;
  failure: string | undefined;
}

export interface EntryFacts {
  readonly id: string;
  readonly params?: BenchParams | undefined;
  readonly work?: BenchRef["work"];
  readonly delta: number;
  readonly recentMdes?: readonly number[];
  /** What is to be said of it before it is measured. */
  readonly flags?: readonly string[];
  readonly failure?: string;
}

function merged(first: Check | null, second: BenchSamples["check"]): Check | null {
  if (first === null || second === null) return first ?? second;
  const errors = [first.maxError, second.maxError].filter((error) => error !== null);
  return {
    checked: first.checked + second.checked,
    maxError: errors.length === 0 ? null : Math.max(...errors),
    passed: first.passed && second.passed,
  };
}

/** Digits that the clock does not have are left out: a microsecond in six places. */
function rounded(times: readonly number[]): number[] {
  return times.map((time) => Number(time.toPrecision(7)));
}

function pairRecord({ index, order, base, head }: BenchSamples["pairs"][number]): PairRecord {
  return { index, order, base: rounded(base), head: rounded(head) };
}

/** A stage may be measured in several goes. */
function append(stages: StageRecord[], record: StageRecord): void {
  const last = stages.at(-1);
  if (last?.stage === record.stage) stages[stages.length - 1] = { ...last, pairs: [...last.pairs, ...record.pairs] };
  else if (record.pairs.length > 0) stages.push(record);
}

export class RunState {
  readonly #benches = new Map<string, Entry>();
  readonly #controls = new Map<string, StageRecord[]>();
  aborted: boolean = false;
  outOfTime: boolean = false;
  /** The profile had no more time for suspects. */
  cutShort: boolean = false;
  /** Files that changed while they were measured. */
  readonly changedFiles: Set<string> = new Set();
  /** Files that an arm loaded and that are not its own, in plain words. */
  readonly foreignFiles: Set<string> = new Set();
  /** What the controls failed of, by their names, in plain words. */
  readonly failedControls: Map<string, string> = new Map();

  constructor(benches: readonly EntryFacts[]) {
    for (const { id, params, work, delta, recentMdes = [], flags: known = [], failure } of benches) {
      const flags = new Set(known);
      this.#benches.set(id, { id, params, work, delta, stages: [], flags, recentMdes, check: null, failure });
    }
  }

  /** Takes over what a stage has measured. */
  add(stage: StageName, samples: PairSamples): void {
    this.aborted ||= samples.aborted;
    for (const file of samples.changedFiles) this.changedFiles.add(file);
    for (const { id, ref, pairs, flags, check, error } of samples.benches) {
      const record: StageRecord = { stage, pairs: pairs.map(pairRecord) };
      if (ref.control === true) {
        const stages = this.#controls.get(id) ?? [];
        append(stages, record);
        this.#controls.set(id, stages);
        // A fault of the harness or the machine. Without the control nobody would know whether the machine was disturbed.
        const why = error?.reason.split("\n", 1)[0];
        if (why !== undefined) this.failedControls.set(id, `the control ${id} could not be measured: ${why}`);
        continue;
      }
      const entry = this.#benches.get(id);
      if (entry === undefined) continue;
      append(entry.stages, record);
      for (const flag of flags) entry.flags.add(flag);
      entry.check = merged(entry.check, check);
      if (error !== undefined) entry.failure ??= `${error.arm}: ${error.reason}`;
    }
  }

  benches(): MeasuredBench[] {
    return [...this.#benches.values()].map(({ id, delta, stages, flags, check, failure, recentMdes }) => ({
      id,
      delta,
      stages,
      flags: [...flags].sort(),
      check,
      ...(failure === undefined ? {} : { failure }),
      ...(recentMdes.length === 0 ? {} : { recentMdes: [...recentMdes] }),
    }));
  }

  /** The facts of a bench that no verdict depends on. */
  factsOf(id: string): Pick<BenchRecord, "id" | "unit" | "params" | "work"> {
    const entry = this.#benches.get(id);
    return {
      id,
      ...(entry?.params === undefined ? {} : { params: entry.params }),
      unit: "ns",
      ...(entry?.work === undefined ? {} : { work: entry.work }),
    };
  }

  controls(): MeasuredControl[] {
    return [...this.#controls].map(([id, stages]) => ({ id, stages }));
  }

  /** What can be judged before the run has ended: what is suspected, what stays open. */
  record(seed: number): GateRecord {
    return { seed, benches: this.benches(), controls: this.controls(), changed: [] };
  }
}
