/**
 * Engines that compute on one thread are timed on one processor, another one in each repeat: processors of a shared machine
 * are not equally fast, and an engine that has the better one for a while would be called the faster.
 */

import { pinAllThreads, planPinning, type PinPlan } from "../paired/pinning.ts";
import type { Random } from "./random.ts";
import type { WorkerProcess } from "./worker-process.ts";

let plan: Promise<PinPlan> | undefined;

function affinityPlan(): Promise<PinPlan> {
  return (plan ??= planPinning("auto"));
}

/** What single threads are pinned to, for the record. */
export async function describeAffinity(): Promise<string> {
  const { processors, text } = await affinityPlan();
  return processors.length === 0 ? text : `engines of one thread together on one of ${processors.join(", ")}`;
}

/** Pins all threads of all processes to one processor, where there is a choice. */
export async function pinTogether(
  processes: readonly Pick<WorkerProcess<never, never>, "pid">[],
  random: Random,
): Promise<void> {
  const { processors } = await affinityPlan();
  if (processors.length < 2) return;
  const processor = processors[random.below(processors.length)] as number;
  const pids = processes.flatMap(({ pid }) => pid ?? []);
  await Promise.all(pids.map((pid) => pinAllThreads(pid, processor)));
}
