/**
 * Machine code for kernels: instruction selection, register allocation, calling convention.
 */
export { SYSV, WIN64 } from "./abi.ts";
export type { Abi } from "./abi.ts";
export { compileKernel } from "./compile.ts";
export type { CompiledKernel } from "./compile.ts";
export { taskCount } from "./tasks.ts";
export type { Bindings } from "./tasks.ts";
export { AMX, AVX2, AVX512, AVX512_VNNI, CPU_TARGETS } from "./target.ts";
export type { CpuTarget } from "./target.ts";
export { scratchBytes } from "./scratch.ts";
