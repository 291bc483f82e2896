/**
 * Calls of one kernel that come back when its code faults, for checked runs.
 *
 * Only where the host can redirect fault signals (Linux). Elsewhere, on Windows, kernels are called as usual and a fault
 * ends the process.
 */
import type { CpuTarget } from "./cpu-target.ts";
import { CodeArena } from "./code-arena.ts";
import type { FaultSignals, NativeEntry, NativeHost, NativeMemory } from "./native-host.ts";
import { TRAP, assembleTrapCode } from "./trap-code.ts";
import type { Runner } from "./runner.ts";

/** A fault of generated code. */
export interface Trap {
  readonly signal: "SIGILL" | "SIGBUS" | "SIGFPE" | "SIGSEGV";
  /** Bytes from the start of the kernel's code to the faulting instruction. */
  readonly codeOffset: number;
  /** The memory that was accessed, for `SIGSEGV` and `SIGBUS`, where the processor tells. */
  readonly access: { readonly address: bigint; readonly write: boolean } | undefined;
}

export interface KernelCode {
  readonly address: bigint;
  readonly byteLength: number;
}

const SIGNALS: Readonly<Record<number, Trap["signal"]>> = { 4: "SIGILL", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV" };
/** The context of a signal holds all vector and tile registers. */
const SIGNAL_STACK_BYTES = 128 << 10;
/** `si_code` of faults whose address is not known, as of addresses that no pointer can have. */
const SI_KERNEL = 0x80;
const PAGE_FAULT_WRITE = 2;

interface TrapCalls {
  readonly faults: FaultSignals;
  readonly record: NativeMemory;
  readonly stack: NativeMemory;
  readonly handler: bigint;
  readonly call: NativeEntry;
}

const prepared = new WeakMap<NativeHost, Map<string, TrapCalls>>();

/**
 * Runs tasks 0 to `taskCount` of a kernel on this thread, as thread 0. Gives the fault that ended it, if one did: the
 * kernel's memory is then in whatever state it was, everything else is as before.
 */
export function callChecked(
  host: NativeHost,
  target: CpuTarget,
  runner: Runner,
  kernel: KernelCode,
  slots: bigint,
  taskCount: number,
): Trap | undefined {
  if (taskCount === 0) return undefined;
  const calls = trapCalls(host, target);
  if (calls === undefined) {
    runner.callKernel(kernel.address, slots, 0, taskCount);
    return undefined;
  }
  const { faults, record, stack, handler, call } = calls;
  const words = new BigUint64Array(record.buffer);
  words[TRAP.kernel / 8] = kernel.address;
  words[TRAP.kernelEnd / 8] = kernel.address + BigInt(kernel.byteLength);
  words[TRAP.slots / 8] = slots;
  words[TRAP.taskCount / 8] = BigInt(taskCount);
  words[TRAP.signal / 8] = 0n;
  const restore = faults.redirect(handler, stack, words.subarray(TRAP.previous / 8));
  try {
    call.call(record.address);
  } finally {
    restore();
  }
  const signal = SIGNALS[Number(words[TRAP.signal / 8])];
  if (signal === undefined) return undefined;
  const isAccess = signal === "SIGSEGV" || signal === "SIGBUS";
  const known = isAccess && Number(words[TRAP.code / 8]) !== SI_KERNEL;
  return {
    signal,
    codeOffset: Number((words[TRAP.instruction / 8] as bigint) - kernel.address),
    access: known
      ? {
          address: words[TRAP.address / 8] as bigint,
          write: (Number(words[TRAP.pageFault / 8]) & PAGE_FAULT_WRITE) !== 0,
        }
      : undefined,
  };
}

/** Made once per host and target; record and code stay for the life of the process, as the handler may be installed again. */
function trapCalls(host: NativeHost, target: CpuTarget): TrapCalls | undefined {
  const { faults } = host;
  if (faults === undefined) return undefined;
  const byKey = prepared.get(host) ?? new Map<string, TrapCalls>();
  prepared.set(host, byKey);
  const cleanUp = { avx: target.features.has("avx"), tiles: target.tileRegisters > 0 };
  const key = `${cleanUp.avx} ${cleanUp.tiles}`;
  let calls = byKey.get(key);
  if (calls === undefined) {
    const record = host.allocate(TRAP.bytes);
    const { bytes, handlerAt, callAt } = assembleTrapCode(record.address, cleanUp);
    const [code] = new CodeArena(host).publish([bytes]) as [bigint];
    calls = {
      faults,
      record,
      stack: host.allocate(SIGNAL_STACK_BYTES),
      handler: code + BigInt(handlerAt),
      call: host.entry(code + BigInt(callAt)),
    };
    byKey.set(key, calls);
  }
  return calls;
}
