/**
 * The files of external data that an ONNX model names: with the model file they are the model.
 *
 * In: the path of a model. Out: paths of files in its folder or below, each once, in the order of the file. Only places are
 * read, no tensors, so that no importer is needed. Reference: onnx.proto3 (ModelProto, GraphProto, NodeProto,
 * AttributeProto, TensorProto, SparseTensorProto, FunctionProto).
 */

import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { UserError } from "@quern/core";
import { fieldsOf } from "./onnx-reader.ts";

type Message = "model" | "graph" | "node" | "attribute" | "function" | "sparse" | "tensor";

/** Fields of a message that hold others, and which. */
const WITHIN: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  model: { 7: "graph", 25: "function" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  function: { 7: "node" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: {},
};

/** Field of a tensor: pairs of a key and a value. */
const EXTERNAL_DATA = 13;

function collect(bytes: Uint8Array, kind: Message, found: Set<string>): void {
  const decoder = new TextDecoder();
  for (const { field, bytes: inner } of fieldsOf(bytes)) {
    if (inner === undefined) continue;
    const within = WITHIN[kind][field];
    if (within !== undefined) collect(inner, within, found);
    else if (kind === "tensor" && field === EXTERNAL_DATA) {
      const texts = new Map([...fieldsOf(inner)].map((entry) => [entry.field, decoder.decode(entry.bytes)]));
      const location = texts.get(2);
      if (texts.get(1) === "location" && location !== undefined) found.add(location);
    }
  }
}

/** Places that an engine may read: within the folder, as the format demands. */
function isWithin(location: string): boolean {
  const forward = location.replaceAll("\\", "/");
  return location !== "" && !location.includes("\0") && !isAbsolute(forward) && !forward.split("/").includes("..");
}

/** Empty for a file that is no ONNX model: engines say what is wrong with it. */
export function externalDataFiles(path: string): string[] {
  const locations = new Set<string>();
  try {
    collect(readFileSync(path), "model", locations);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [];
  }
  return [...locations]
    .filter(isWithin)
    .map((location) => join(dirname(path), location))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true);
}
