/** Collects what pairs gave into one record per bench, and decides which benches are measured further. */

import { median } from "../statistics/basics.ts";
import type { ArmName, LoadedFile } from "./arms/arm.ts";
import type { GroupPair, PairOutcome } from "./pair-outcomes.ts";
import type { Bound } from "./timed-bench.ts";
import type {
  BenchError,
  BenchFlag,
  BenchRef,
  BenchSamples,
  MeasureMemory,
  PairCounts,
  PairSample,
  PairSamples,
  Peaks,
} from "./plan.ts";

/** Measured rates may exceed measured peaks by so much: both have an error. */
const FLOPS_MARGIN = 1.02;
const BYTES_MARGIN = 1.05;

interface Collected {
  readonly ref: BenchRef;
  readonly pairs: PairSample[];
  checked: number;
  maxError: number | null;
  processes: number;
  unsteady: number;
  /** Of this stage and those before. */
  readonly counts: PairCounts;
  flag: Bound | undefined;
  error: BenchError | undefined;
}

export class SampleStore {
  readonly #benches: ReadonlyMap<string, Collected>;
  readonly #peaks: Peaks;
  readonly #loaded: Record<ArmName, Map<string, string>> = { base: new Map(), head: new Map() };
  readonly #changed = new Set<string>();

  /** `counts`: of earlier stages; those of this one are added. */
  constructor(benches: readonly BenchRef[], peaks: Peaks = {}, counts: MeasureMemory["counts"] = new Map()) {
    this.#peaks = peaks;
    for (const { id } of benches) if (!counts.has(id)) counts.set(id, { measured: 0, bound: 0 });
    this.#benches = new Map(
      benches.map((ref) => [
        ref.id,
        {
          ref,
          pairs: [],
          checked: 0,
          maxError: null,
          processes: 0,
          unsteady: 0,
          counts: counts.get(ref.id) as PairCounts,
          flag: undefined,
          error: undefined,
        },
      ]),
    );
  }

  /** False once a bench has failed or cannot be evaluated. */
  measurable(id: string): boolean {
    const bench = this.#benches.get(id);
    return bench !== undefined && bench.error === undefined && bench.flag === undefined;
  }

  add({ outcomes, loaded }: GroupPair): void {
    for (const [id, outcome] of outcomes) {
      const bench = this.#benches.get(id);
      if (bench !== undefined) this.#addOutcome(bench, outcome);
    }
    for (const arm of ["base", "head"] as const) this.#addFiles(arm, loaded[arm]);
  }

  #addOutcome(bench: Collected, outcome: PairOutcome): void {
    if (outcome.kind === "bound") {
      // Most pairs decide, those of earlier stages too: a body at the limit is now on one side of it, now on the other.
      bench.counts.bound++;
      if (bench.counts.bound <= bench.counts.measured) return;
      bench.flag = outcome.flag;
      bench.pairs.length = 0;
      return;
    }
    if (outcome.kind === "error") {
      bench.error = outcome.error;
      bench.checked += outcome.check?.checked ?? 0;
      if (outcome.check?.maxError != null) bench.maxError = Math.max(bench.maxError ?? 0, outcome.check.maxError);
      return;
    }
    bench.pairs.push(outcome.sample);
    bench.counts.measured++;
    bench.processes += 2;
    bench.unsteady += outcome.unsteady;
    for (const { checked, maxError } of Object.values(outcome.checks)) {
      bench.checked += checked;
      if (maxError !== null) bench.maxError = Math.max(bench.maxError ?? 0, maxError);
    }
    bench.error = this.#impossible(bench.ref, outcome.sample);
  }

  /** A rate above what the machine can do: the work was not done. */
  #impossible({ work }: BenchRef, sample: PairSample): BenchError | undefined {
    const { gflops, gbps } = this.#peaks;
    for (const arm of ["base", "head"] as const) {
      const ns = median(sample[arm]);
      // One per ns is 10^9 per second.
      const claims = [
        { rate: (work?.flops ?? 0) / ns, limit: gflops, margin: FLOPS_MARGIN, unit: "GFLOP/s" },
        { rate: (work?.bytes ?? 0) / ns, limit: gbps, margin: BYTES_MARGIN, unit: "GB/s" },
      ];
      for (const { rate, limit, margin, unit } of claims) {
        if (limit === undefined || rate <= limit * margin) continue;
        const reason = `impossible: ${rate.toPrecision(4)} ${unit} where no code reaches more than ${limit.toPrecision(4)}`;
        return { kind: "impossible", arm, reason };
      }
    }
    return undefined;
  }

  #addFiles(arm: ArmName, files: readonly LoadedFile[]): void {
    for (const { path, sha256 } of files) {
      const known = this.#loaded[arm].get(path);
      if (known !== undefined && known !== sha256) this.#changed.add(path);
      this.#loaded[arm].set(path, sha256);
    }
  }

  benches(): BenchSamples[] {
    return [...this.#benches.values()].map((bench) => {
      const { ref, error, flag, pairs, processes, unsteady, checked, maxError } = bench;
      const flags: BenchFlag[] = flag === undefined ? [] : [flag];
      // One process in two: a single one may have been disturbed.
      if (flag === undefined && unsteady * 2 > processes) flags.push("no-steady-state");
      const failed = error?.kind === "output";
      if (flag === undefined && processes > 0 && checked === 0) flags.push("unchecked");
      const check = checked === 0 && !failed ? null : { checked, maxError, passed: !failed };
      return { id: ref.id, ref, pairs, flags, check, ...(error === undefined ? {} : { error }) };
    });
  }

  files(): Pick<PairSamples, "loaded" | "changedFiles"> {
    const list = (arm: ArmName): LoadedFile[] =>
      [...this.#loaded[arm]].map(([path, sha256]) => ({ path, sha256 })).sort((a, b) => (a.path < b.path ? -1 : 1));
    return { loaded: { base: list("base"), head: list("head") }, changedFiles: [...this.#changed].sort() };
  }
}
