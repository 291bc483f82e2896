/** GGUF files: metadata, tensors, and block-quantised weights as numbers; reading and writing. */
export { type ByteSink, FileSink, MemorySink } from "./byte-sink.ts";
export { type ReadGgufOptions, readGgufFile } from "./file.ts";
export { GgufMetadata, type GgufNumbers } from "./metadata.ts";
export { type GgufFile, type GgufPart, type ParseGgufOptions, type ResolvePart, parseGguf } from "./parse.ts";
export { GgufStrings, LENGTH_BYTES, type StringList } from "./strings.ts";
export type { GgufTensor } from "./tensor-table.ts";
export { tensorData } from "./tensor-data.ts";
export {
  type GgufArray,
  type GgufNumberType,
  type GgufValue,
  type GgufValueType,
  type NumericArray,
  GGUF_VALUE_TYPES,
} from "./value.ts";
export { type GgufContent, type GgufTensorPlan, GgufWriter, tensorBytes } from "./write.ts";
