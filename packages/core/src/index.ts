/** Public API of `@quern/core`. */
export * from "./dtype.ts";
export * from "./dim.ts";
export * from "./errors.ts";
export type { BlockType, Dequantise, Weights } from "./encoding/block.ts";
export { constantBytes, decodeBlocks, decodeConstant, rowsOf } from "./encoding/encoded.ts";
export { blockTypeNamed, blockTypeOf, blockTypes } from "./encoding/registry.ts";
export { encodeWeights, encodingForRows, weightEncodingNamed, weightEncodings } from "./encoding/weight-encodings.ts";
export * from "./graph/graph.ts";
export * from "./graph/builder.ts";
export * from "./ops/op.ts";
export * from "./runtime/tensor.ts";
export * from "./runtime/device.ts";
export * from "./kernel/index.ts";
export * from "./debug/env.ts";
export * from "./graph/print.ts";
export * from "./graph/parse.ts";
export * from "./graph/rewrite.ts";
export * from "./graph/state.ts";
export * from "./graph/verify.ts";
export * from "./lower/body.ts";
export * from "./lower/generic.ts";
export * from "./lower/launch.ts";
export * from "./lower/recipe.ts";
export * from "./lower/register-tile.ts";
export * from "./lower/site.ts";
export * from "./lower/storage.ts";
export * from "./lower/task-count.ts";
export { constantOf, foldConstants } from "./passes/fold-constants.ts";
export * from "./passes/pass.ts";
export * from "./passes/pipeline.ts";
export * from "./passes/quantise-weights.ts";
export * from "./runtime/reference.ts";
export { allOps, findOp } from "./ops/registry.ts";
export { type CaseRun, caseConstant, caseGraph, freshCase, stateNames } from "./ops/case-graph.ts";
export { caseInput, caseInputs, randomNumbers } from "./ops/case-inputs.ts";
export { toleranceOf } from "./ops/tolerance.ts";
export { type BoundInputs, bindInputs } from "./runtime/inputs.ts";
export { type ShapeCheck, shapeChecks } from "./runtime/shape-checks.ts";
export { type GraphScope, type Var, graph } from "./graph/methods.ts";
export type {
  AttentionCache,
  AttentionOptions,
  ConvOptions,
  NormOptions,
  OpMethods,
  PoolOptions,
  ReduceOptions,
  Size,
  WindowOptions,
} from "./graph/op-methods.ts";
export * from "./ops/attention-problem.ts";
export { type ResizeAxis, type Taps, resizeAxis, resizeTaps } from "./ops/resize-axis.ts";
