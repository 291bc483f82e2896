/** Public API of `@quern/core`. */
export * from "./dtype.ts";
export * from "./dim.ts";
export * from "./errors.ts";
export * from "./graph/graph.ts";
export * from "./graph/builder.ts";
export * from "./ops/op.ts";
export * from "./runtime/tensor.ts";
export * from "./runtime/device.ts";
export * from "./kernel/index.ts";
