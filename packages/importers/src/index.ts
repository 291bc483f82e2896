/** Model files to graphs; one folder per file format. */
export * from "./onnx/index.ts";
