/** Public API of `@quern/kernels-gpu`. */
export { gpu } from "./device/gpu.ts";
export type { GpuOptions } from "./device/options.ts";
export { type WgslParameter, type WgslProgram, type WgslTarget, renderWgsl } from "./wgsl/render.ts";
