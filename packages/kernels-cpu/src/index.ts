/**
 * The CPU backend: native host, processor features, and the runner of compiled programs.
 */
export * from "./host/index.ts";
export * from "./device/index.ts";
export { readsBlocks } from "./kernels/blocks/reads.ts";
