/** Public surface of the kernel level: `@quern/core/kernel`. */
export * from "./ir.ts";
export * from "./evaluate.ts";
export * from "./builder.ts";
export * from "./finish.ts";
export { constantOf } from "./simplify.ts";
export * from "./print.ts";
export * from "./interpret.ts";
export * as kernelMath from "./math.ts";
export { parseKernel } from "./parse.ts";
export { verifyKernel } from "./verify.ts";
export { type VectoriseOptions, vectorise } from "./vectorise.ts";
export { Rebuilder } from "./rebuild.ts";
export { KERNEL_PASSES, type KernelPass, type KernelPipelineOptions, compileKernel } from "./pipeline.ts";
export { type RandomKernel, randomKernel } from "./random-kernel.ts";
