/** Public surface of the kernel level: `@quern/core/kernel`. */
export * from "./ir.ts";
export {
  type Scalar,
  caster,
  fitter,
  isFloatType,
  isIntegerType,
  isSignedType,
  readElement,
  roundBf16,
  roundTiesEven,
  toElement,
  writeElement,
} from "./element.ts";
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
export { KERNEL_PASSES, type KernelPass, type KernelPipelineOptions, legaliseKernel } from "./pipeline.ts";
export { type RandomKernel, randomKernel } from "./random-kernel.ts";
export * from "./register-tile.ts";
export { Expr, type Literal, type ExprArg } from "./expr.ts";
export {
  BufferRef,
  type BufferSpec,
  type Extent,
  type IndexLike,
  KernelScope,
  type KernelTemplate,
  type ScalarSpec,
  Variable,
  buffer,
  inout,
  kernel,
  out,
  scalar,
} from "./language.ts";
