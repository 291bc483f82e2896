/** From a model file to a graph that a device compiles: import, and the passes of the optimiser. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineBench } from "@quern/bench/define";
import { optimise, type Graph, type PassTarget } from "@quern/core";
import { importOnnx } from "@quern/importers/onnx";
import { Given } from "./given.ts";
import { MUCH_CODE } from "./much-code.ts";

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

/** What a result says of itself. The graph is no output: its constants lie in the memory of the file. */
function facts({ nodes, outputs }: Graph): number[] {
  return [nodes.length, outputs.length];
}

const importBench = defineBench<undefined, Uint8Array, number[]>({
  id: "graph/import",
  delta: MUCH_CODE,
  params: { model: MODEL },
  inputs: modelBytes,
  run: (_, bytes) => facts(importOnnx(bytes).graph),
  check: (_, [nodes = 0, outputs = 0]) => (nodes > 0 && outputs === 1 ? 0 : 1),
});

const passes = defineBench<undefined, Given<Graph>, number[]>({
  id: "graph/passes",
  delta: MUCH_CODE,
  params: { model: MODEL },
  inputs: () => new Given(importOnnx(modelBytes()).graph),
  run: (_, { value }) => facts(optimise(value, { target, bindings: {} }).graph),
  // Fused, there are fewer.
  check: ({ value }, [nodes = 0, outputs = 0]) => (nodes > 0 && nodes < value.nodes.length && outputs === 1 ? 0 : 1),
});

export default [importBench, passes];
