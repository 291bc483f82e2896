/** ONNX models to graphs. */
export { type ImportOptions, type ImportResult, importOnnx } from "./import.ts";
export { LATEST_OPSET } from "./session.ts";
export { type ReadFile, type ReadOnnxOptions, externalFiles, readOnnxFile } from "./file.ts";
export type { ResolveExternal } from "./tensor.ts";
