/** The CPU device. */
export { CpuDevice, cpu } from "./cpu.ts";
export type { CpuOptions } from "./cpu.ts";
