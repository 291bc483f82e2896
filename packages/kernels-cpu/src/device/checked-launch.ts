/**
 * `QUERN_CHECK=1`, the memory: runs one launch on the calling thread in guarded memory and says which kernel, node,
 * instruction and storage were involved where it faults or writes beside its storages.
 *
 * Faults are caught on Linux. On Windows guarded memory still stops a wrong access, but the process ends with it.
 */

import { InternalError } from "@quern/core";
import {
  type CpuTarget,
  type NativeHost,
  type Runner,
  type Step as NativeRecord,
  type Trap,
  callChecked,
} from "../host/index.ts";
import { describeNode } from "./check.ts";
import type { GuardedMemory } from "./guarded.ts";
import type { NativeStep } from "./program.ts";

export interface CheckedCalls {
  readonly host: NativeHost;
  readonly runner: Runner;
  readonly target: CpuTarget;
}

/** Throws an `InternalError` where the launch faults or has written outside of the storages it was given. */
export function runChecked(
  step: NativeStep,
  { kernel, slots, taskCount }: NativeRecord,
  memory: GuardedMemory,
  { host, runner, target }: CheckedCalls,
): void {
  const code = { address: kernel, byteLength: step.code.bytes.length };
  const trap = callChecked(host, target, runner, code, slots, taskCount);
  const what = `${step.kernel.name}, computing ${describeNode(step.node)},`;
  if (trap !== undefined) throw new InternalError(`check: ${what} ${describeTrap(trap, step, memory)}`);
  const damage = memory.damage(step.storages);
  if (damage !== undefined) throw new InternalError(`check: ${what} wrote ${damage}`);
}

function describeTrap({ signal, codeOffset, access }: Trap, step: NativeStep, memory: GuardedMemory): string {
  const where = `at +0x${codeOffset.toString(16)}: ${instructionAt(step.code.source?.code?.listing() ?? "", codeOffset)}`;
  if (access === undefined) return `stopped with ${signal} ${where}`;
  const verb = access.write ? "writing" : "reading";
  const address = `0x${access.address.toString(16)}`;
  return `stopped with ${signal} ${verb} ${address}, ${memory.locate(access.address, step.storages)}, ${where}`;
}

/** The line of a listing that holds this offset, without offset and bytes. */
function instructionAt(listing: string, offset: number): string {
  let text = "(no instruction)";
  for (const line of listing.split("\n")) {
    const match = /^ *([0-9a-f]+): {2}(?:[0-9a-f]{2} )*[0-9a-f]{2} +(.*)$/.exec(line);
    if (match === null) continue;
    if (Number.parseInt(match[1] as string, 16) > offset) break;
    text = match[2] as string;
  }
  return text;
}
