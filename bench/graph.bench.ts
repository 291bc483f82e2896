/** From a model file to a graph that a device compiles: import, and the passes of the optimiser. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineBench } from "@quern/bench/define";
import { optimise, type Graph, type PassTarget } from "@quern/core";
import { importOnnx } from "@quern/importers/onnx";

const MODEL = "resnet20";

/** As a processor with a kernel for every op; products and convolutions take pointwise work on their results. */
const target: PassTarget = {
  keeps: () => true,
  convLayout: "nhwc",
  takesEpilogue: ({ op }) => op === "matmul" || op === "conv",
};

function modelBytes(): Uint8Array {
  return readFileSync(fileURLToPath(import.meta.resolve(`@quern/bench-models/${MODEL}/model.onnx`)));
}

const importBench = defineBench<undefined, Uint8Array, Graph>({
  id: "onnx/import",
  params: { model: MODEL },
  inputs: modelBytes,
  run: (_, bytes) => importOnnx(bytes).graph,
  outputs: (graph) => graph.outputs.length,
});

const passes = defineBench<undefined, Graph, Graph>({
  id: "graph/optimise",
  params: { model: MODEL },
  inputs: () => importOnnx(modelBytes()).graph,
  run: (_, graph) => optimise(graph, { target, bindings: {} }).graph,
  outputs: (graph) => graph.outputs.length,
});

export default [importBench, passes];
