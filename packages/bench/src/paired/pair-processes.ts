/**
 * The two processes of a pair. They prepare side by side; while one of them is timed the other one is stopped.
 *
 * Every failure of a request is a `BenchFailure` of the benches that it was about.
 */

import type { ArmName } from "./arms/arm.ts";
import { ArmProcess, type ArmProcessOptions } from "./arm-process.ts";
import type { Order } from "./order.ts";
import { pinMainThread } from "./pinning.ts";
import type { MeasuredArm, MeasurePlan } from "./plan.ts";
import type { PairedRequest, PairedResponse } from "./protocol.ts";

export const ARMS = ["base", "head"] as const;

const TIMEOUT_MS = 60_000;

export function inOrder(order: Order): readonly ArmName[] {
  return order === "base-first" ? ARMS : ["head", "base"];
}

export type AnswerTo<R extends PairedRequest> = Extract<PairedResponse, { kind: R["kind"] }>;

export class PairProcesses {
  readonly #processes: Readonly<Record<ArmName, ArmProcess>>;
  readonly #timeoutMs: number;

  /** Starts both. `what` they measure is said in errors. */
  constructor(
    what: string,
    { arms, timeoutMs }: Pick<MeasurePlan, "arms" | "timeoutMs">,
    options: ArmProcessOptions,
    order: Order,
  ) {
    this.#timeoutMs = timeoutMs ?? TIMEOUT_MS;
    const started = new Map<ArmName, ArmProcess>();
    for (const name of inOrder(order)) {
      started.set(name, new ArmProcess(arms[name === "base" ? 0 : 1], what, options));
    }
    this.#processes = { base: started.get("base") as ArmProcess, head: started.get("head") as ArmProcess };
  }

  get bothAlive(): boolean {
    return ARMS.every((name) => this.#processes[name].alive);
  }

  armOf(name: ArmName): MeasuredArm {
    return this.#processes[name].arm;
  }

  /** One request to one arm, as it is: running or stopped. */
  ask<R extends PairedRequest>(name: ArmName, ids: readonly string[], request: R): Promise<AnswerTo<R>> {
    return this.#processes[name].ask(ids, request, this.#timeoutMs);
  }

  /** One request to one arm, which is stopped before and after. */
  async askAlone<R extends PairedRequest>(name: ArmName, id: string, request: R): Promise<AnswerTo<R>> {
    this.#processes[name].resume();
    try {
      return await this.ask(name, [id], request);
    } finally {
      this.#processes[name].pause();
    }
  }

  pauseBoth(): void {
    for (const name of ARMS) this.#processes[name].pause();
  }

  resumeBoth(): void {
    for (const name of ARMS) this.#processes[name].resume();
  }

  /** Puts both main threads on one processor. */
  async pinBoth(processor: number): Promise<void> {
    const pids = ARMS.flatMap((name) => this.#processes[name].pid ?? []);
    await Promise.all(pids.map((pid) => pinMainThread(pid, processor)));
  }

  /** Lets the benches that are still open in a living process put away what they have set up. */
  async close(): Promise<void> {
    await Promise.all(ARMS.map((name) => this.#processes[name].close(this.#timeoutMs)));
  }

  /** Ends both: what is being asked fails at once. */
  kill(): void {
    for (const name of ARMS) this.#processes[name].kill();
  }
}

/** Does something for both arms side by side, begun in `order`; the first failure does not leave the other one unobserved. */
export async function forBoth<T>(
  act: (name: ArmName) => Promise<T>,
  order: Order = "base-first",
): Promise<Readonly<Record<ArmName, T>>> {
  const begun = new Map(inOrder(order).map((name) => [name, act(name)]));
  const [base, head] = await Promise.allSettled([begun.get("base"), begun.get("head")]);
  if (base.status === "rejected") throw base.reason;
  if (head.status === "rejected") throw head.reason;
  return { base: base.value as T, head: head.value as T };
}
