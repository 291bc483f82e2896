/**
 * Probabilities that llama.cpp gave for the tiny models, so that conventions of GGUF files are not judged by our own reading
 * of them alone. Made with node-llama-cpp 3.22.1 on the CPU, an f32 cache and no flash attention, from the files that
 * `writeTiny` writes with seed 1: the first probabilities behind the last of 30 tokens. llama.cpp ignores the window of
 * phi3 and llama, so these have none; its gelu reads a table of f16.
 */

import { expect, it } from "vitest";
import type { GgufValue } from "@quern/importers/gguf";
import { buildStepGraph } from "./index.ts";
import { StepRunner } from "./run-step.test-support.ts";
import { randomIds, writeTiny } from "./tiny-files.test-support.ts";
import { type TinyModel, tinyModels } from "./tiny-models.test-support.ts";
import { byteVocabulary } from "./vocabulary.test-support.ts";

const SEED = 1;
const SHOWN = 8;
/** Largest difference of logarithms of probabilities. */
const EXACT = 2e-5;
const GELU_TABLE = 2e-3;

type Probabilities = readonly number[];

const EXPECTED: Readonly<Record<string, Probabilities>> = {
  "llama: tied embeddings": [
    2.75803e-11, 1.08272e-11, 6.43586e-10, 1.51151e-7, 9.74481e-8, 3.90433e-10, 3.41426e-6, 2.73385e-9,
  ],
  "llama: llama 3 divisors, window, biases": [
    0.00379669, 0.0108442, 0.00103987, 0.00669359, 0.00627213, 0.000953593, 0.00211779, 0.00324294,
  ],
  "llama: mixture of experts": [
    0.0102393, 0.0075094, 0.00987737, 0.00537155, 0.00264275, 0.00284385, 0.00200557, 0.00661137,
  ],
  "qwen2: biases, linear scaling": [
    2.69903e-11, 2.04297e-12, 2.28069e-11, 1.28767e-13, 6.86436e-8, 2.19603e-5, 9.21337e-6, 8.85879e-10,
  ],
  "qwen3: norms of queries and keys": [
    0.00153788, 0.00242257, 0.0018586, 0.000573711, 0.00158933, 0.00409501, 0.00218133, 0.0069236,
  ],
  "qwen3moe: mixture of experts": [
    0.00759706, 0.0053029, 0.0107299, 0.00166564, 0.0139111, 0.00110307, 0.00332129, 0.0106825,
  ],
  "gemma2: caps, alternating windows, norms on both sides": [
    0.000749666, 0.00172947, 0.000618426, 0.000126109, 0.0097885, 0.00393244, 9.39714e-5, 0.00798187,
  ],
  "gemma3: five windows to one, two ropes, norms of queries and keys": [
    1.98862e-11, 1.20726e-10, 2.22837e-11, 8.63561e-11, 7.04988e-12, 3.52259e-12, 8.40479e-13, 2.77719e-10,
  ],
  "phi3: fused matrices, partial rope with divisors for long contexts, window": [
    0.00323801, 0.0217005, 0.00680911, 0.00278363, 0.00134999, 0.00226518, 0.00497112, 0.00635472,
  ],
  "gpt2: learned positions, layer norms, biases, one matrix for queries, keys and values": [
    0.00162565, 0.00246783, 0.00159283, 0.00968447, 0.00130996, 0.000929379, 0.000988482, 0.00429976,
  ],
};

const YARN: Readonly<Record<string, Probabilities>> = {
  "llama: tied embeddings": [
    8.29605e-11, 3.86595e-12, 1.18142e-8, 2.60847e-6, 1.818e-6, 3.46422e-9, 0.00035301, 2.95711e-8,
  ],
  "llama: llama 3 divisors, window, biases": [
    0.0055685, 0.0159209, 0.000883437, 0.00600048, 0.00460192, 0.000844375, 0.00211556, 0.0032629,
  ],
  "llama: mixture of experts": [
    0.0128342, 0.00626988, 0.0124061, 0.00904774, 0.00591154, 0.00380327, 0.00244316, 0.0131804,
  ],
  "qwen2: biases, linear scaling": [
    2.47497e-9, 5.86354e-13, 2.14159e-11, 7.86695e-13, 1.41767e-5, 1.9144e-8, 2.20241e-10, 5.91712e-11,
  ],
  "qwen3: norms of queries and keys": [
    0.0016701, 0.00236589, 0.00205178, 0.000659452, 0.0015526, 0.00441343, 0.00212976, 0.00704384,
  ],
  "qwen3moe: mixture of experts": [
    0.00936474, 0.00492296, 0.00890181, 0.000941809, 0.0172992, 0.0013658, 0.00220901, 0.0121071,
  ],
  "gemma2: caps, alternating windows, norms on both sides": [
    0.000718993, 0.00113007, 0.000887374, 0.000109899, 0.00973334, 0.00486039, 0.000131747, 0.00774161,
  ],
};

const yarn: Readonly<Record<string, GgufValue>> = {
  "rope.scaling.type": { type: "string", value: "yarn" },
  "rope.scaling.factor": { type: "f32", value: 4 },
  "rope.scaling.original_context_length": { type: "u32", value: 32 },
  "rope.freq_base": { type: "f32", value: 100 },
};

const nameOf = (model: TinyModel): string => `${model.architecture}: ${model.title}`;

function fileOf(model: TinyModel, more: Readonly<Record<string, GgufValue>>): ReturnType<typeof writeTiny> {
  const { metadata, shapes } = byteVocabulary(model);
  const window = /^(llama|phi3)$/.test(model.architecture) ? { "attention.sliding_window": undefined } : {};
  return writeTiny(model, SEED, { shapes, metadata: { ...metadata, ...window, ...more } });
}

/** Token ids below the size of the vocabulary of bytes, none of them special. */
const ids = randomIds(30, SEED).map((id) => 6 * id + 4);

function ours(model: TinyModel, more: Readonly<Record<string, GgufValue>>): number[] {
  const graph = buildStepGraph(fileOf(model, more).file, { cache: "f32", pageSize: 16 });
  const [row] = new StepRunner(graph).step([{ sequence: 0, ids }], [ids.length - 1]);
  const parts = Array.from(row!, (logit) => Math.exp(logit));
  const total = parts.reduce((sum, part) => sum + part, 0);
  return parts.slice(0, SHOWN).map((part) => part / total);
}

function furthest(actual: Probabilities, expected: Probabilities): number {
  expect(expected).toHaveLength(SHOWN);
  return Math.max(...expected.map((probability, id) => Math.abs(Math.log(actual[id]!) - Math.log(probability))));
}

function boundOf({ architecture }: TinyModel): number {
  return /^(gemma|gpt)/.test(architecture) ? GELU_TABLE : EXACT;
}

it.each(tinyModels.map((model) => [nameOf(model), model] as const))("%s", (name, model) => {
  expect(furthest(ours(model, {}), EXPECTED[name]!)).toBeLessThan(boundOf(model));
});

const withYarn = tinyModels.filter((model) => YARN[nameOf(model)] !== undefined);

it.each(withYarn.map((model) => [nameOf(model), model] as const))("%s, with YaRN", (name, model) => {
  expect(furthest(ours(model, yarn), YARN[name]!)).toBeLessThan(boundOf(model));
});
