/** What one pair of processes gave for each of its benches. */

import type { ArmName, LoadedFile } from "./arms/arm.ts";
import { BenchFailure } from "./arm-process.ts";
import type { Order } from "./order.ts";
import { ARMS, type PairProcesses } from "./pair-processes.ts";
import type { BenchError, BenchRef, PairSample } from "./plan.ts";
import type { CheckOutcome } from "./protocol.ts";
import { boundBy, type Bound, type TimedBench } from "./timed-bench.ts";

export type PairOutcome =
  | { readonly kind: "error"; readonly error: BenchError; readonly check: CheckOutcome | undefined }
  | { readonly kind: "bound"; readonly flag: Bound }
  | {
      readonly kind: "sample";
      readonly sample: PairSample;
      readonly checks: Readonly<Record<ArmName, CheckOutcome>>;
      /** Processes, of the two, that did not come to a steady speed. */
      readonly unsteady: number;
    };

export interface GroupPair {
  readonly outcomes: ReadonlyMap<string, PairOutcome>;
  readonly loaded: Readonly<Record<ArmName, readonly LoadedFile[]>>;
  /** Benches that are still to be measured, in other processes: one of these has ended. */
  readonly rest: readonly BenchRef[];
}

/** Outcomes so far. A bench that has one is left out of all further steps. */
export class PairOutcomes {
  readonly #processes: PairProcesses;
  readonly #outcomes = new Map<string, PairOutcome>();

  constructor(processes: PairProcesses) {
    this.#processes = processes;
  }

  get all(): ReadonlyMap<string, PairOutcome> {
    return this.#outcomes;
  }

  has(id: string): boolean {
    return this.#outcomes.has(id);
  }

  set(id: string, outcome: PairOutcome): void {
    this.#outcomes.set(id, outcome);
  }

  /** Notes a failure. Throws it again if a process has ended, which the other benches need as well. */
  fail(failure: unknown): void {
    if (!(failure instanceof BenchFailure)) throw failure;
    for (const id of failure.ids) this.set(id, { kind: "error", error: failure.error, check: undefined });
    if (!this.#processes.bothAlive) throw failure;
  }

  /**
   * True, and noted, if a bench whose call took `callNs` so far cannot be evaluated. Asked of head: a base that was too short to be
   * measured well must not hide a head that is not.
   */
  isBound(bench: TimedBench, callNs: number): boolean {
    const flag = boundBy(bench, callNs);
    if (flag !== undefined) this.set(bench.ref.id, { kind: "bound", flag });
    return flag !== undefined;
  }
}

/** The outcome of a bench that was measured to its end. */
export function conclude(
  { base, head, unsteady }: Pick<TimedBench, "base" | "head" | "unsteady">,
  checks: Readonly<Record<ArmName, CheckOutcome>>,
  { index, order }: { readonly index: number; readonly order: Order },
): PairOutcome {
  for (const arm of ARMS) {
    const check = checks[arm];
    if (check.fault !== null) return { kind: "error", error: { kind: "output", arm, reason: check.fault }, check };
    const odd = { base, head }[arm].find((ns) => !(ns > 0 && Number.isFinite(ns)));
    if (odd !== undefined) {
      const reason = `a slice of ${arm} gave ${odd} ns per call`;
      return { kind: "error", error: { kind: "failed", arm, reason }, check };
    }
  }
  return { kind: "sample", sample: { index, order, base, head }, checks, unsteady };
}
