/** What a language model costs beside its kernels: the graph of its step when it is loaded, the choice of every token. */

import { defineBench } from "@quern/bench/define";
import { parseGguf, type GgufFile } from "@quern/importers/gguf";
import { buildStepGraph } from "@quern/llm/architectures";
import { synthGguf } from "@quern/llm/synth";
import { Candidates } from "../packages/llm/src/engine/sampling/candidates.ts";
import { chooseToken } from "../packages/llm/src/engine/sampling/choose.ts";
import type { SamplingSettings } from "../packages/llm/src/engine/sampling/samplers.ts";
import { MUCH_CODE } from "./much-code.ts";

const LAYERS = 4;

const stepGraph = defineBench<undefined, GgufFile, number[]>({
  id: "llm/step-graph",
  delta: MUCH_CODE,
  params: { layers: LAYERS },
  inputs(random) {
    const changes = { layers: LAYERS, width: 64, heads: 2, feedForward: 64, vocabulary: 512 };
    return parseGguf(synthGguf({ model: "tiny-llama", quant: "Q8_0", changes, seed: random.below(1e6) }));
  },
  // Not the graph: its constants lie in the memory of the file.
  run(_, file) {
    const { inputs, nodes, outputs } = buildStepGraph(file).graph;
    return [inputs.length, nodes.length, outputs.length];
  },
  check: (_, [, nodes = 0, outputs = 0]) => (nodes > 0 && outputs === 1 ? 0 : 1),
});

const VOCABULARY = 32_000;

/** The defaults of `generate`, and a penalty as chats have it. */
const SETTINGS: SamplingSettings = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  typicalP: 1,
  repetitionPenalty: 1.1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyWindow: 64,
  logitBias: new Map(),
};

interface Row {
  readonly logits: Float32Array;
  readonly history: number[];
  readonly draw: number;
}

const sample = defineBench<Candidates, Row, number>({
  id: "llm/sample",
  params: { vocabulary: VOCABULARY },
  setup: () => new Candidates(VOCABULARY),
  inputs(random) {
    const logits = new Float32Array(VOCABULARY);
    random.fillNormal(logits, 3);
    return { logits, history: Array.from({ length: 64 }, () => random.below(VOCABULARY)), draw: random.uniform() };
  },
  run: (candidates, { logits, history, draw }) => chooseToken(logits, SETTINGS, history, candidates, () => draw),
  check({ logits }, token) {
    // One of the forty largest, give or take those that the penalty has moved.
    const own = logits[token] ?? Number.NEGATIVE_INFINITY;
    return logits.filter((logit) => logit > own).length < 40 + 64 ? 0 : 1;
  },
});

export default [stepGraph, sample];
