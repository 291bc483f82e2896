/**
 * The native side of the CPU backend: memory, code pages, processor features, threads and the program runner.
 */
export { callChecked } from "./checked-call.ts";
export type { Trap } from "./checked-call.ts";
export { CODE_ALIGNMENT, CodeArena } from "./code-arena.ts";
export { CPU_FEATURES, cpuInfo } from "./cpu-features.ts";
export type { CacheSizes, CpuFeature, CpuInfo } from "./cpu-features.ts";
export { resolveTarget, TARGET_LEVELS } from "./cpu-target.ts";
export type { CpuTarget, TargetLevel, TargetOptions } from "./cpu-target.ts";
export { KERNEL_STACK_BYTES, MAX_THREADS, slotF32 } from "./kernel-call.ts";
export { MemoryArena } from "./memory-arena.ts";
export type { ArenaBlock } from "./memory-arena.ts";
export type {
  AllocateOptions,
  CodeRegion,
  NativeEntry,
  NativeHost,
  NativeMemory,
  NativeThread,
} from "./native-host.ts";
export { nativeHost } from "./select-host.ts";
export { ProgramTable } from "./program-table.ts";
export type { Step, StepTiming } from "./program-table.ts";
export { Runner } from "./runner.ts";
export type { RunnerOptions, RunOptions } from "./runner.ts";
export { ticksPerNs } from "./time-stamp.ts";
