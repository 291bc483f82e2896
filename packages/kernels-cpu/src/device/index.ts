/** The CPU device. */
export { CpuDevice, cpu } from "./cpu.ts";
export type { CpuOptions } from "./cpu.ts";
export { CacheFolder, type CacheSize, defaultCacheFolder } from "./disk/cache-folder.ts";
export { kernelDisk, type KernelDisk } from "./site-store.ts";
