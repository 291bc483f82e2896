/** The first steps of a pair, untimed: benches are loaded, opened and warmed up in both arms. */

import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { ArmName } from "./arms/arm.ts";
import type { PairContext } from "./pair-context.ts";
import { ARMS, forBoth, inOrder } from "./pair-processes.ts";
import type { BenchError, BenchRef } from "./plan.ts";
import type { Collection, Opened, PairedRequest, Warmed } from "./protocol.ts";
import { affordableRounds, timedBench, type TimedBench } from "./timed-bench.ts";

/** Loads and opens all benches in both arms, side by side; both are stopped then. Gives those that can be timed. */
export async function openBenches(context: PairContext): Promise<TimedBench[]> {
  const { group, settings, processes, outcomes } = context;
  const { base, head } = await forBoth(async (name) => {
    await loadFiles(context, name);
    return openIn(context, name);
  });
  processes.pauseBoth();
  const timed: TimedBench[] = [];
  for (const ref of group.benches) {
    const inBase = base.get(ref.id);
    const inHead = head.get(ref.id);
    if (outcomes.has(ref.id) || inBase === undefined || inHead === undefined) continue;
    const bench = timedBench(ref, inBase, inHead, settings);
    if (!outcomes.isBound(bench, inHead.callNs)) timed.push(bench);
  }
  return timed;
}

async function loadFiles({ group, processes, outcomes }: PairContext, name: ArmName): Promise<void> {
  const { project } = processes.armOf(name);
  const byFile = Map.groupBy(group.benches, ({ file, baseFile = file }) => (name === "base" ? baseFile : file));
  for (const [file, members] of byFile) {
    const ids = members.map(({ id }) => id);
    const reserved = members.every(({ control }) => control === true);
    try {
      const path = reserved ? file : join(project, file);
      const found = await processes.ask(name, ids, { kind: "load", file: path, reserved });
      for (const id of ids.filter((wanted) => !found.ids.includes(wanted))) {
        const error: BenchError = { kind: "missing", arm: name, reason: `${name} has no bench "${id}" in ${file}` };
        outcomes.set(id, { kind: "error", error, check: undefined });
      }
    } catch (error) {
      outcomes.fail(error);
    }
  }
}

async function openIn(
  { group, settings, processes, outcomes }: PairContext,
  name: ArmName,
): Promise<Map<string, Opened>> {
  const { seed, index } = settings;
  const { directory } = processes.armOf(name);
  const opened = new Map<string, Opened>();
  const last = group.benches.at(-1);
  for (const { id } of group.benches) {
    if (outcomes.has(id)) continue;
    try {
      const collect: Collection = id === last?.id ? "full" : "none";
      const answer = await processes.ask(name, [id], { kind: "open", id, index, seed, directory, collect });
      opened.set(id, answer.opened);
    } catch (error) {
      outcomes.fail(error);
    }
  }
  return opened;
}

/** Warms benches up, in random order. Gives those that can be timed still. */
export async function warmUp(context: PairContext, benches: readonly TimedBench[]): Promise<TimedBench[]> {
  const { settings, random, outcomes } = context;
  const { warmUpMs, sliceMs, rounds } = settings;
  const warm: TimedBench[] = [];
  for (const bench of random.shuffle(benches)) {
    const { ref, mode } = bench;
    try {
      const warmed = await warmBoth(context, ref, { kind: "warm", id: ref.id, mode, warmUpMs, sliceMs });
      bench.unsteady = ARMS.filter((name) => !warmed[name].steady).length;
      if (outcomes.isBound(bench, warmed.head.callNs)) continue;
      const slowest = Math.max(...ARMS.map((name) => warmed[name].callNs));
      bench.rounds = affordableRounds(rounds, sliceMs, slowest / 1e6);
      warm.push(bench);
    } catch (error) {
      outcomes.fail(error);
    }
  }
  return warm;
}

type WarmRequest = Extract<PairedRequest, { kind: "warm" }>;

/** Warms a bench up in both arms: side by side where it leaves a processor for the other one. */
async function warmBoth(
  { processes, orders }: PairContext,
  { id, native }: BenchRef,
  request: WarmRequest,
): Promise<Readonly<Record<ArmName, Warmed>>> {
  const ask = async (name: ArmName): Promise<Warmed> => (await processes.askAlone(name, id, request)).warmed;
  if (native !== true && availableParallelism() > 1) {
    return forBoth(ask, orders.warmUp);
  }
  const warmed = new Map<ArmName, Warmed>();
  for (const name of inOrder(orders.warmUp)) warmed.set(name, await ask(name));
  return { base: warmed.get("base") as Warmed, head: warmed.get("head") as Warmed };
}
