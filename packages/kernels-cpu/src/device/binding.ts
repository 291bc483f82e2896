/**
 * A program bound to sizes: the memory plan and the step table for one set of symbol values.
 *
 * Evaluating a binding takes microseconds and compiles nothing. An `Instance` is the native memory in which one run of
 * a binding happens; concurrent runs use instances of their own.
 */

import {
  type DimBindings,
  InternalError,
  debug,
  evaluateDim,
  stateOf,
  symbolValue,
  type Storage,
  storageBytes,
} from "@quern/core";
import { type NativeHost, type NativeMemory, ProgramTable, type Step as NativeRecord, slotF32 } from "../host/index.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import type { NativeStep, Program } from "./program.ts";
import type { RunMemory } from "./run-memory.ts";

export interface Binding {
  readonly symbols: DimBindings;
  readonly plan: MemoryPlan;
  /** Byte offset in the arena, for planned storages. */
  readonly offsetOf: ReadonlyMap<Storage, number>;
  readonly elementsOf: ReadonlyMap<Storage, number>;
  readonly taskCounts: readonly number[];
  /** False for programs that are over before a second thread has woken up. */
  readonly worthSharing: boolean;
}

/** Rough speeds of one thread, for estimates: multiply-adds and additions per nanosecond, and bytes per nanosecond. */
const FLOPS_PER_NS = 60;
const BYTES_PER_NS = 12;
/** Waking a sleeping worker takes tens of microseconds; shorter programs run on the calling thread alone. */
const SHARING_NS = 100_000;
/** Meeting at a barrier, and waiting there for the one who has more to do: what a second thread must win back each time. */
const BARRIER_NS = 1000;

function estimateNs(program: Program, symbols: DimBindings, elementsOf: ReadonlyMap<Storage, number>): number {
  // Of state, a run touches a part that nobody knows beforehand: a cache is as large as it may ever get.
  const state = new Set([...stateOf(program.graph)].map((value) => program.storages.of(value)));
  let ns = 0;
  for (const step of program.steps) {
    if (step.kind === "host") continue;
    const { flops } = step.launch;
    let bytes = 0;
    for (const storage of step.storages)
      if (!state.has(storage)) bytes += storageBytes(storage, elementsOf.get(storage) ?? 0);
    ns += Math.max(flops === undefined ? 0 : evaluateDim(flops, symbols) / FLOPS_PER_NS, bytes / BYTES_PER_NS);
  }
  return ns;
}

export function bindProgram(program: Program, symbols: DimBindings): Binding {
  const elementsOf = new Map<Storage, number>();
  for (const storage of program.storages.storages) elementsOf.set(storage, evaluateDim(storage.size, symbols));
  const planned = program.storages.storages.filter((storage) => storage.kind === "planned" && storage.last >= 0);
  const plan = planMemory(
    planned.map((storage) => ({
      sizeBytes: storageBytes(storage, elementsOf.get(storage) as number),
      first: storage.first,
      last: storage.last,
    })),
  );
  const offsetOf = new Map(planned.map((storage, i) => [storage, plan.offsets[i] as number]));
  const taskCounts = program.steps.map((step) => (step.kind === "host" ? 0 : evaluateDim(step.kernel.tasks, symbols)));
  debug(3, () => `memory plan: ${planned.length} buffers in ${plan.peakBytes} bytes`);
  const barriers = program.steps.filter((step) => step.kind === "native" && step.barrier).length;
  // A second thread saves half the time at most.
  const worthSharing = estimateNs(program, symbols, elementsOf) > SHARING_NS + 2 * BARRIER_NS * barriers;
  return { symbols, plan, offsetOf, elementsOf, taskCounts, worthSharing };
}

/** A place in the slot table that holds the address of an input or output, written before each run. */
interface Patch {
  readonly storage: Storage;
  readonly slot: number;
}

/** A stretch of steps that is one native call, or one host step. */
export interface Segment {
  readonly first: number;
  readonly end: number;
  /** Absent for a host step. */
  readonly table: ProgramTable | undefined;
  /** What the table was made of. */
  readonly records: readonly NativeRecord[];
}

/** Native memory for one run at a time: storages, scratch, step records and slots. */
export class Instance {
  readonly binding: Binding;
  readonly memory: RunMemory;
  readonly segments: readonly Segment[];
  readonly #slots: NativeMemory;
  readonly #words: BigUint64Array;
  readonly #patches: Patch[] = [];

  constructor(program: Program, binding: Binding, memory: RunMemory, host: NativeHost, threads: number) {
    this.binding = binding;
    this.memory = memory;
    const natives = program.steps.filter((step) => step.kind === "native");
    const slotWords = natives.reduce((sum, step) => sum + slotCount(step), 0);
    this.#slots = host.allocate((slotWords + threads) * 8);
    this.#words = new BigUint64Array(this.#slots.buffer, 0, slotWords + threads);
    for (let thread = 0; thread < threads; thread++) this.#words[slotWords + thread] = memory.scratchOf(thread);
    const scratchTable = this.#slots.address + BigInt(slotWords * 8);
    this.segments = this.#fill(program, host, scratchTable);
  }

  /** Points every slot of inputs and outputs at this run's tensors. */
  patch(addressOf: (storage: Storage) => bigint): void {
    for (const { storage, slot } of this.#patches) this.#words[slot] = addressOf(storage);
  }

  free(): void {
    for (const { table } of this.segments) table?.free();
    this.memory.free();
    this.#slots.free();
  }

  #fill(program: Program, host: NativeHost, scratchTable: bigint): Segment[] {
    const segments: Segment[] = [];
    let slot = 0;
    let records: NativeRecord[] = [];
    let first = 0;
    const close = (end: number): void => {
      if (records.length > 0) segments.push({ first, end, table: new ProgramTable(host, records), records });
      records = [];
    };
    program.steps.forEach((step, i) => {
      if (step.kind === "host") {
        close(i);
        segments.push({ first: i, end: i + 1, table: undefined, records: [] });
        return;
      }
      if (records.length === 0) first = i;
      const slots = this.#slots.address + BigInt(slot * 8);
      records.push({
        kernel: step.code.address,
        slots,
        taskCount: this.binding.taskCounts[i] as number,
        barrier: step.barrier,
      });
      slot = this.#writeSlots(slot, step, scratchTable);
    });
    close(program.steps.length);
    return segments;
  }

  #writeSlots(first: number, step: NativeStep, scratchTable: bigint): number {
    let slot = first;
    for (const storage of step.storages) {
      if (storage.kind === "planned" || storage.kind === "constant") this.#words[slot] = this.memory.addressOf(storage);
      else this.#patches.push({ storage, slot });
      slot += 1;
    }
    for (const scalar of step.kernel.scalars) {
      const value = step.launch.scalars?.[scalar.name];
      if (value === undefined) throw new InternalError(`${step.kernel.name}: no value for scalar ${scalar.name}`);
      this.#words[slot++] = scalar.dtype === "f32" ? slotF32(value) : BigInt.asUintN(64, BigInt(value));
    }
    for (const symbol of step.kernel.symbols) this.#words[slot++] = BigInt(symbolValue(symbol, this.binding.symbols));
    if (step.kernel.scratch.length > 0) this.#words[slot++] = scratchTable;
    return slot;
  }
}

function slotCount(step: NativeStep): number {
  const { kernel } = step;
  return kernel.buffers.length + kernel.scalars.length + kernel.symbols.length + (kernel.scratch.length > 0 ? 1 : 0);
}
