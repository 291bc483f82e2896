/**
 * One pair of processes: a group of benches, measured once in both arms.
 *
 * Both processes start, prepare and warm up side by side, untimed. After that one of them runs and the other is stopped: in
 * every round each bench gets one slice in each arm, one right after the other. A bench that fails is left out and the
 * others go on; where it took its process with it, the caller starts again without it.
 */

import { Random } from "../harness/random.ts";
import { median } from "../statistics/basics.ts";
import type { ArmName, LoadedFile } from "./arms/arm.ts";
import { BenchFailure } from "./arm-process.ts";
import type { BenchGroup } from "./groups.ts";
import { pairOrders } from "./order.ts";
import type { PairContext, PairSettings } from "./pair-context.ts";
import { conclude, PairOutcomes, type GroupPair } from "./pair-outcomes.ts";
import { forBoth, PairProcesses } from "./pair-processes.ts";
import { measureRounds } from "./pair-rounds.ts";
import { openBenches, warmUp } from "./pair-preparation.ts";
import type { TimedBench } from "./timed-bench.ts";

const NONE: GroupPair["loaded"] = { base: [], head: [] };

export class PairRun {
  readonly #context: PairContext;

  constructor(group: BenchGroup, settings: PairSettings) {
    const { seed, index, orderIndex, processOptions } = settings;
    const orders = pairOrders(seed, group.name, orderIndex);
    const processes = new PairProcesses(describe(group), settings, processOptions, orders.spawn);
    this.#context = {
      group,
      settings,
      orders,
      random: Random.of(seed, "pair", group.name, index),
      processes,
      outcomes: new PairOutcomes(processes),
    };
  }

  /** Ends both processes: what is being measured fails at once. */
  kill(): void {
    this.#context.processes.kill();
  }

  async run(): Promise<GroupPair> {
    const { group, settings, outcomes } = this.#context;
    try {
      const warm = await warmUp(this.#context, await openBenches(this.#context));
      await pin(this.#context);
      await measureRounds(this.#context, warm);
      await finish(this.#context, warm);
      const loaded = settings.listFiles ? await loadedFiles(this.#context) : NONE;
      return { outcomes: outcomes.all, loaded, rest: [] };
    } catch (error) {
      if (!(error instanceof BenchFailure)) throw error;
      return { outcomes: outcomes.all, loaded: NONE, rest: group.benches.filter(({ id }) => !outcomes.has(id)) };
    } finally {
      await this.#context.processes.close();
      this.kill();
    }
  }
}

function describe({ benches }: BenchGroup): string {
  const ids = benches.map(({ id }) => id);
  return ids.length === 1 ? `bench "${ids[0]}"` : `benches ${ids.map((id) => `"${id}"`).join(", ")}`;
}

/** Both main threads on one processor, another one in the next pair; native code has threads of its own to place. */
async function pin({ group, settings, random, processes }: PairContext): Promise<void> {
  const { processors = [] } = settings;
  if (processors.length === 0 || group.benches.some(({ native }) => native === true)) return;
  await processes.pinBoth(processors[random.below(processors.length)] as number);
}

/** Compares the kept outputs of every bench and concludes. */
async function finish(
  { settings, orders, processes, outcomes }: PairContext,
  benches: readonly TimedBench[],
): Promise<void> {
  processes.resumeBoth();
  for (const bench of benches) {
    const { id } = bench.ref;
    if (outcomes.has(id)) continue;
    try {
      const checks = await forBoth(async (name) => (await processes.ask(name, [id], { kind: "finish", id })).check);
      const outcome = conclude(bench, checks, { index: settings.index, order: orders.spawn });
      // Code may have become fast enough to be bound only now; an error weighs more.
      if (outcome.kind === "error" || !outcomes.isBound(bench, median(bench.head))) outcomes.set(id, outcome);
    } catch (error) {
      outcomes.fail(error);
    }
  }
}

async function loadedFiles({ group, processes }: PairContext): Promise<GroupPair["loaded"]> {
  const ids = group.benches.map(({ id }) => id);
  const ask = async (name: ArmName): Promise<readonly LoadedFile[]> =>
    (await processes.ask(name, ids, { kind: "files" })).files;
  return { base: await ask("base"), head: await ask("head") };
}
