/** Model files to graphs and tensors; one folder per file format. */
export * from "./gguf/index.ts";
export * from "./onnx/index.ts";
