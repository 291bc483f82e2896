/**
 * One pair of processes: a group of benches, measured once in both arms.
 *
 * Both processes start, prepare and warm up side by side, untimed. After that one of them runs and the other is stopped: in
 * every round each bench gets one slice in each arm, one right after the other. A bench that fails is left out and the
 * others go on; where it took its process with it, the caller starts again without it.
 */

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Random } from "../harness/random.ts";
import type { ArmName, LoadedFile } from "./arms/arm.ts";
import { ArmProcess, BenchFailure, type ArmProcessOptions } from "./arm-process.ts";
import type { BenchGroup } from "./groups.ts";
import { POOL_SETS } from "./input-pool.ts";
import { BATCH_BELOW, type LoopMode } from "./loops.ts";
import { pinMainThread } from "./pinning.ts";
import { pairOrders, roundOrders, type Order } from "./order.ts";
import type { BenchError, BenchRef, MeasurePlan, PairSample } from "./plan.ts";
import type { CheckOutcome, Collection, Opened, PairedRequest, Warmed } from "./protocol.ts";

/** Inputs are renewed for this share of the time of slices, but at least so often in a pair. */
const RENEWAL_SHARE = 0.25;
const LEAST_RENEWALS = 2;
/** Bodies below the time of one reading of the clock, or this, say more about the loop than about themselves. */
const TIMER_BOUND_NS = 25;
/** A body is empty if it takes no longer than this many empty calls. */
const EMPTY_CALLS = 1.5;
const CLOCK_NOISE_NS = 0.5;
/** Benches whose call fills several slices get fewer rounds. */
const LONG_SLICES = 2;
const LEAST_ROUNDS = 5;
const TIMEOUT_MS = 60_000;
/** Significant digits of a time that are kept: a millionth is far below what any slice can tell, and results stay small. */
const KEPT_DIGITS = 6;
/** Every round starts with young garbage collected, one in so many with all; so does the warm-up. */
const FULL_COLLECTION = 10;

/** What one pair gave for one bench. */
export type PairOutcome =
  | { readonly kind: "error"; readonly error: BenchError; readonly check: CheckOutcome | undefined }
  | { readonly kind: "bound"; readonly flag: "timer-bound" | "empty-body" }
  | {
      readonly kind: "sample";
      readonly sample: PairSample;
      readonly checks: Readonly<Record<ArmName, CheckOutcome>>;
      /** Processes, of the two, that did not come to a steady speed. */
      readonly unsteady: number;
    };

export interface PairSettings extends MeasurePlan {
  readonly index: number;
  /** Place in the balanced sequence of orders. */
  readonly orderIndex: number;
  readonly processOptions: ArmProcessOptions;
  /** How a bench was timed in the first pair: it must not change from pair to pair. */
  readonly modes: Map<string, LoopMode>;
  /** Ask which files were loaded. */
  readonly listFiles: boolean;
}

export interface GroupPair {
  readonly outcomes: ReadonlyMap<string, PairOutcome>;
  readonly loaded: Readonly<Record<ArmName, readonly LoadedFile[]>>;
  /** Benches that are still to be measured, in other processes: one of these has ended. */
  readonly rest: readonly BenchRef[];
}

interface Live {
  readonly ref: BenchRef;
  readonly mode: LoopMode;
  /** Sets renewed before a slice, in every how many rounds. */
  readonly renew: number;
  readonly renewEvery: number;
  /** Time of a reading of the clock, ns. */
  readonly readingNs: number;
  /** Time of an empty call; 0 where the bench is far slower. */
  readonly emptyNs: number;
  rounds: number;
  unsteady: number;
  readonly base: number[];
  readonly head: number[];
}

type WarmRequest = Extract<PairedRequest, { kind: "warm" }>;

const ARMS = ["base", "head"] as const;

function inOrder(order: Order): readonly ArmName[] {
  return order === "base-first" ? ARMS : ["head", "base"];
}

export class PairRun {
  readonly #group: BenchGroup;
  readonly #settings: PairSettings;
  readonly #timeoutMs: number;
  readonly #processes: Record<ArmName, ArmProcess>;
  readonly #orders: { readonly spawn: Order; readonly warmUp: Order };
  readonly #random: Random;
  readonly #outcomes = new Map<string, PairOutcome>();

  constructor(group: BenchGroup, settings: PairSettings) {
    this.#group = group;
    this.#settings = settings;
    this.#timeoutMs = settings.timeoutMs ?? TIMEOUT_MS;
    const { seed, index, orderIndex, arms, processOptions } = settings;
    this.#orders = pairOrders(seed, group.name, orderIndex);
    this.#random = Random.of(seed, "pair", group.name, index);
    const started = new Map<ArmName, ArmProcess>();
    for (const name of inOrder(this.#orders.spawn)) {
      started.set(name, new ArmProcess(arms[name === "base" ? 0 : 1], this.#describe(), processOptions));
    }
    this.#processes = { base: started.get("base") as ArmProcess, head: started.get("head") as ArmProcess };
  }

  #describe(): string {
    const ids = this.#group.benches.map(({ id }) => id);
    return ids.length === 1 ? `bench "${ids[0]}"` : `benches ${ids.map((id) => `"${id}"`).join(", ")}`;
  }

  /** Ends both processes: what is being measured fails at once. */
  kill(): void {
    for (const name of ARMS) this.#processes[name].kill();
  }

  async run(): Promise<GroupPair> {
    const none: Record<ArmName, readonly LoadedFile[]> = { base: [], head: [] };
    try {
      const live = await this.#prepare();
      const warm = await this.#warmUp(live);
      await this.#pin();
      await this.#measure(warm);
      await this.#finish(warm);
      const loaded = this.#settings.listFiles ? await this.#files() : none;
      return { outcomes: this.#outcomes, loaded, rest: [] };
    } catch (error) {
      if (!(error instanceof BenchFailure)) throw error;
      const rest = this.#group.benches.filter(({ id }) => !this.#outcomes.has(id));
      return { outcomes: this.#outcomes, loaded: none, rest };
    } finally {
      this.kill();
    }
  }

  /** Notes a failure. Throws it again if a process has ended, which the other benches need as well. */
  #fail(failure: unknown): void {
    if (!(failure instanceof BenchFailure)) throw failure;
    for (const id of failure.ids) {
      this.#outcomes.set(id, { kind: "error", error: failure.error, check: undefined });
    }
    if (!ARMS.every((name) => this.#processes[name].alive)) throw failure;
  }

  async #load(name: ArmName): Promise<void> {
    const process = this.#processes[name];
    const byFile = Map.groupBy(this.#group.benches, ({ file }) => file);
    for (const [file, members] of byFile) {
      const ids = members.map(({ id }) => id);
      const path = join(process.arm.project, file);
      const reserved = members.every(({ control }) => control === true);
      try {
        const request = { kind: "load", file: reserved ? file : path, reserved } as const;
        const found = await process.ask(ids, request, this.#timeoutMs);
        for (const id of ids.filter((wanted) => !found.ids.includes(wanted))) {
          const error: BenchError = { kind: "missing", arm: name, reason: `${name} has no bench "${id}" in ${file}` };
          this.#outcomes.set(id, { kind: "error", error, check: undefined });
        }
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  async #open(name: ArmName): Promise<Map<string, Opened>> {
    const process = this.#processes[name];
    const { seed, index } = this.#settings;
    const opened = new Map<string, Opened>();
    const { directory } = process.arm;
    const last = this.#group.benches.at(-1);
    for (const { id } of this.#group.benches) {
      if (this.#outcomes.has(id)) continue;
      try {
        const collect: Collection = id === last?.id ? "full" : "none";
        const request = { kind: "open", id, index, seed, directory, collect } as const;
        opened.set(id, (await process.ask([id], request, this.#timeoutMs)).opened);
      } catch (error) {
        this.#fail(error);
      }
    }
    return opened;
  }

  async #prepare(): Promise<Live[]> {
    const prepare = async (name: ArmName): Promise<Map<string, Opened>> => {
      await this.#load(name);
      return this.#open(name);
    };
    // Side by side; the first failure must not leave the other one unobserved.
    const [base, head] = await Promise.allSettled([prepare("base"), prepare("head")]);
    if (base.status === "rejected") throw base.reason;
    if (head.status === "rejected") throw head.reason;
    for (const name of ARMS) this.#processes[name].pause();
    const live: Live[] = [];
    for (const ref of this.#group.benches) {
      const inBase = base.value.get(ref.id);
      const inHead = head.value.get(ref.id);
      if (this.#outcomes.has(ref.id) || inBase === undefined || inHead === undefined) continue;
      const entry = this.#liveOf(ref, inBase, inHead);
      if (!this.#isBound(entry, Math.min(inBase.callNs, inHead.callNs))) live.push(entry);
    }
    return live;
  }

  #liveOf(ref: BenchRef, base: Opened, head: Opened): Live {
    const { modes, sliceMs, rounds } = this.#settings;
    const shortest = Math.min(base.callNs, head.callNs);
    const readingNs = Math.max(base.timerNs, head.timerNs);
    const mode = modes.get(ref.id) ?? (shortest < BATCH_BELOW * readingNs ? "batch" : "call");
    modes.set(ref.id, mode);
    const makeMs = Math.max(base.makeMs, head.makeMs, 1e-3);
    const budgetMs = RENEWAL_SHARE * sliceMs;
    const renew = Math.max(1, Math.min(POOL_SETS, Math.floor(budgetMs / makeMs)));
    const renewEvery = Math.max(1, Math.min(Math.ceil(makeMs / budgetMs), Math.floor(rounds / LEAST_RENEWALS)));
    const emptyNs = Math.max(base.emptyNs ?? 0, head.emptyNs ?? 0);
    return { ref, mode, renew, renewEvery, readingNs, emptyNs, rounds, unsteady: 0, base: [], head: [] };
  }

  /** Notes what keeps a bench from being evaluated, given its shortest call so far. */
  #isBound({ ref, readingNs, emptyNs }: Live, callNs: number): boolean {
    const empty = callNs <= EMPTY_CALLS * emptyNs + CLOCK_NOISE_NS;
    if (!empty && callNs >= Math.max(readingNs, TIMER_BOUND_NS)) return false;
    this.#outcomes.set(ref.id, { kind: "bound", flag: empty ? "empty-body" : "timer-bound" });
    return true;
  }

  async #warmUp(live: readonly Live[]): Promise<Live[]> {
    const { warmUpMs, sliceMs, rounds } = this.#settings;
    const warm: Live[] = [];
    for (const entry of this.#random.shuffle(live)) {
      const { id } = entry.ref;
      try {
        const request = { kind: "warm", id, mode: entry.mode, warmUpMs, sliceMs } as const;
        const warmed = await this.#warmBoth(entry.ref, request);
        entry.unsteady = warmed.filter(({ steady }) => !steady).length;
        const times = warmed.map(({ callNs }) => callNs);
        if (this.#isBound(entry, Math.min(...times))) continue;
        const slowestMs = Math.max(...times) / 1e6;
        const affordable = Math.floor((rounds * LONG_SLICES * sliceMs) / slowestMs);
        entry.rounds = Math.min(rounds, Math.max(LEAST_ROUNDS, affordable));
        warm.push(entry);
      } catch (error) {
        this.#fail(error);
      }
    }
    return warm;
  }

  /** Warms a bench up in both arms: side by side where it leaves a processor for the other one. */
  async #warmBoth({ id, native }: BenchRef, request: WarmRequest): Promise<Warmed[]> {
    const names = inOrder(this.#orders.warmUp);
    if (native !== true && availableParallelism() > 1) {
      const both = await Promise.allSettled(names.map((name) => this.#alone(name, id, request)));
      return both.map((ended) => {
        if (ended.status === "rejected") throw ended.reason;
        return ended.value.warmed;
      });
    }
    const warmed: Warmed[] = [];
    for (const name of names) warmed.push((await this.#alone(name, id, request)).warmed);
    return warmed;
  }

  /** Both main threads on one processor, another one in the next pair; native code has threads of its own to place. */
  async #pin(): Promise<void> {
    const { processors = [] } = this.#settings;
    if (processors.length === 0 || this.#group.benches.some(({ native }) => native === true)) return;
    const processor = processors[this.#random.below(processors.length)] as number;
    const pinned = ARMS.map((name) => pinMainThread(this.#processes[name].pid ?? 0, processor));
    await Promise.all(pinned);
  }

  /** One request to one arm, which is stopped before and after. */
  async #alone<R extends Parameters<ArmProcess["ask"]>[1]>(
    name: ArmName,
    id: string,
    request: R,
  ): ReturnType<typeof ArmProcess.prototype.ask<R>> {
    const process = this.#processes[name];
    process.resume();
    try {
      return await process.ask([id], request, this.#timeoutMs);
    } finally {
      process.pause();
    }
  }

  async #measure(live: readonly Live[]): Promise<void> {
    const { seed, index } = this.#settings;
    const orders = new Map(live.map(({ ref, rounds }) => [ref.id, roundOrders(seed, ref.id, index, rounds)]));
    const most = Math.max(0, ...live.map(({ rounds }) => rounds));
    for (let round = 0; round < most; round++) {
      let collect: Collection = round > 0 && round % FULL_COLLECTION === 0 ? "full" : "minor";
      for (const entry of this.#random.shuffle(live)) {
        const { id } = entry.ref;
        const first = this.#random.below(POOL_SETS);
        if (round >= entry.rounds || this.#outcomes.has(id)) continue;
        try {
          for (const name of inOrder(orders.get(id)?.[round] ?? "base-first")) {
            const renew = round % entry.renewEvery === 0 ? entry.renew : 0;
            const request = { kind: "slice", id, first, renew, collect } as const;
            const { callNs } = await this.#alone(name, id, request);
            entry[name].push(Number(callNs.toPrecision(KEPT_DIGITS)));
          }
          collect = "minor";
        } catch (error) {
          this.#fail(error);
        }
      }
    }
  }

  async #finish(live: readonly Live[]): Promise<void> {
    for (const name of ARMS) this.#processes[name].resume();
    for (const entry of live) {
      const { id } = entry.ref;
      if (this.#outcomes.has(id)) continue;
      try {
        const ask = async (name: ArmName): Promise<CheckOutcome> =>
          (await this.#processes[name].ask([id], { kind: "finish", id }, this.#timeoutMs)).check;
        const [base, head] = await Promise.allSettled([ask("base"), ask("head")]);
        if (base.status === "rejected") throw base.reason;
        if (head.status === "rejected") throw head.reason;
        const outcome = this.#conclude(entry, { base: base.value, head: head.value });
        // Code may have become fast enough to be bound only now; an error weighs more.
        if (outcome.kind === "error" || !this.#isBound(entry, Math.min(...entry.base, ...entry.head)))
          this.#outcomes.set(id, outcome);
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  #conclude(entry: Live, checks: Record<ArmName, CheckOutcome>): PairOutcome {
    for (const arm of ARMS) {
      const { fault } = checks[arm];
      if (fault !== null) return { kind: "error", error: { kind: "output", arm, reason: fault }, check: checks[arm] };
      const odd = entry[arm].find((ns) => !(ns > 0 && Number.isFinite(ns)));
      if (odd !== undefined) {
        const reason = `a slice of ${arm} gave ${odd} ns per call`;
        return { kind: "error", error: { kind: "failed", arm, reason }, check: checks[arm] };
      }
    }
    const { base, head, unsteady } = entry;
    const { index } = this.#settings;
    return { kind: "sample", sample: { index, order: this.#orders.spawn, base, head }, checks, unsteady };
  }

  async #files(): Promise<Record<ArmName, readonly LoadedFile[]>> {
    const ids = this.#group.benches.map(({ id }) => id);
    const ask = async (name: ArmName): Promise<readonly LoadedFile[]> =>
      (await this.#processes[name].ask(ids, { kind: "files" }, this.#timeoutMs)).files;
    return { base: await ask("base"), head: await ask("head") };
  }
}
