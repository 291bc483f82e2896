/**
 * `quern doctor MODEL`: whether a language model runs here, what stands in the way, and what makes it slow. Only heads, the
 * vocabulary and the graph are read; no weight is.
 */

import { availableParallelism } from "node:os";
import { type BlockType, type Graph, constantOf } from "@quern/core";
import { availableMemory, controlLimits } from "@quern/bench";
import { formatBytes } from "@quern/bench/format";
import type { GgufFile } from "@quern/importers/gguf";
import { readsBlocks } from "@quern/kernels-cpu";
import {
  type CacheFormat,
  type Hyperparameters,
  type Tokenizer,
  buildStepGraph,
  readHyperparameters,
  renderChat,
  tokenizerFromGguf,
} from "@quern/llm";
import { quantMixes } from "@quern/llm/quantise";
import { attempt, cachePerToken, openGguf } from "./gguf-facts.ts";
import { elementsOf } from "./tensor-types.ts";

/** `fine`; `slow`: it works, at a price; `missing`: something that the file could have; `broken`: the model does not run. */
export type Condition = "fine" | "slow" | "missing" | "broken";

export interface ModelFinding {
  readonly name: string;
  readonly condition: Condition;
  readonly detail: string;
}

export interface ModelDiagnosis {
  readonly file: string;
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly quant: string | null;
  readonly tensorBytes: number;
  /** False where any finding is `broken`. */
  readonly runs: boolean;
  readonly memory: ModelMemory | null;
  readonly findings: readonly ModelFinding[];
  /** What to do, most useful first. */
  readonly hints: readonly string[];
}

/** Bytes; null where the model or the system does not say. */
export interface ModelMemory {
  readonly weights: number;
  /** What matrices take more that are computed as 32-bit floats although they are stored smaller. */
  readonly expanded: number;
  readonly cache: number;
  readonly contextLength: number;
  readonly trainedContextLength: number;
  readonly cacheAtTrained: number;
  readonly needed: number;
  readonly available: number | null;
  /** Weights that generating one token reads. */
  readonly perToken: number;
}

export interface DiagnosisOptions {
  /** Default: what the model was made for, at most 4096, as in `quern generate`. */
  readonly context?: number | undefined;
  readonly kv?: CacheFormat;
  /** Default: what this system has left. */
  readonly available?: number | null;
}

const CONTEXT_BY_DEFAULT = 4096;
const FLOATS: ReadonlySet<string> = new Set(["F32", "F16", "BF16", "F64"]);

/** Throws a `UserError` where the file is no GGUF file that can be read. */
export function diagnoseModel(path: string, options: DiagnosisOptions = {}): ModelDiagnosis {
  const file = openGguf(path);
  const { metadata } = file;
  const tensors = [...file.tensors.values()];
  const tensorBytes = tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  const hyper = attempt(() => readHyperparameters(file));
  const built = attempt(() => buildStepGraph(file));
  const uses = "value" in built ? weightUses(built.value.graph) : undefined;
  const memory = "value" in hyper ? memoryOf(file, tensorBytes, hyper.value, uses, options) : null;
  const tokenizer = attempt(() => tokenizerFromGguf(metadata.values));
  const findings = [
    fileFinding(file),
    architectureFinding(file, hyper, built),
    ...(uses === undefined ? [] : kernelFindings(uses)),
    tokenizerFinding(file, tokenizer),
    templateFinding(metadata.string("tokenizer.chat_template", ""), tokenizer),
    ...(memory === null ? [] : [memoryFinding(memory, options.kv ?? "f16")]),
  ];
  const fileType = metadata.values.get("general.file_type")?.value;
  return {
    file: path,
    name: metadata.string("general.name", ""),
    architecture: metadata.string("general.architecture", ""),
    parameters: tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0),
    quant: quantMixes.find((mix) => mix.fileType === fileType)?.name ?? null,
    tensorBytes,
    runs: findings.every(({ condition }) => condition !== "broken"),
    memory,
    findings,
    hints: hintsOf(path, file, memory, uses, findings),
  };
}

/** How the matrices of one encoding are computed on. */
interface WeightUse {
  readonly encoding: BlockType;
  readonly matrices: number;
  /** Of them, those that become 32-bit floats first. */
  readonly expanded: number;
  /** Bytes that those take more. */
  readonly extraBytes: number;
}

/** By the kernels of the CPU device, at the precision that models run at. */
function weightUses(graph: Graph): WeightUse[] {
  const uses = new Map<string, WeightUse>();
  const seen = new Set<unknown>();
  for (const node of graph.nodes) {
    for (const [at, input] of node.inputs.entries()) {
      const data = input === undefined ? undefined : constantOf(input);
      if (data?.encoding === undefined || data.shape.length < 2) continue;
      // A matrix may have several uses; those that expand it share what came of it.
      const kept = readsBlocks(node, at, data, "medium");
      const key = kept ? data : data.bytes;
      if (seen.has(key)) continue;
      seen.add(key);
      const { encoding } = data;
      const before = uses.get(encoding.name) ?? { encoding, matrices: 0, expanded: 0, extraBytes: 0 };
      const floats = 4 * elementsOf(data.shape as readonly number[]);
      uses.set(encoding.name, {
        encoding,
        matrices: before.matrices + 1,
        expanded: before.expanded + (kept ? 0 : 1),
        extraBytes: before.extraBytes + (kept ? 0 : floats - data.bytes.byteLength),
      });
    }
  }
  return [...uses.values()];
}

function memoryOf(
  file: GgufFile,
  weights: number,
  hyper: Hyperparameters,
  uses: readonly WeightUse[] | undefined,
  { context, kv = "f16", available = availableMemory() }: DiagnosisOptions,
): ModelMemory {
  const { contextLength: trainedContextLength, experts } = hyper;
  const contextLength = context ?? Math.min(trainedContextLength, CONTEXT_BY_DEFAULT);
  const perCached = cachePerToken(hyper)[kv];
  const expanded = (uses ?? []).reduce((sum, { extraBytes }) => sum + extraBytes, 0);
  const cache = perCached * contextLength;
  let perToken = expanded;
  for (const { name, bytes } of file.tensors.values()) {
    if (name === "token_embd.weight" && file.tensors.has("output.weight")) continue;
    const share = experts !== undefined && name.includes("_exps.") ? experts.used / experts.count : 1;
    perToken += bytes.byteLength * share;
  }
  return {
    weights,
    expanded,
    cache,
    contextLength,
    trainedContextLength,
    cacheAtTrained: perCached * trainedContextLength,
    needed: weights + expanded + cache,
    available,
    perToken,
  };
}

function fileFinding(file: GgufFile): ModelFinding {
  const files = new Set([...file.tensors.values()].map(({ part }) => part)).size;
  const parts = files > 1 ? ` in ${files} files` : "";
  return {
    name: "file",
    condition: "fine",
    detail: `GGUF version ${file.version}, ${file.tensors.size} tensors${parts}`,
  };
}

function architectureFinding(
  { metadata }: GgufFile,
  hyper: ReturnType<typeof attempt<Hyperparameters>>,
  built: ReturnType<typeof attempt<unknown>>,
): ModelFinding {
  const name = "architecture";
  const problem = "problem" in hyper ? hyper.problem : "problem" in built ? built.problem : undefined;
  if (problem !== undefined) return { name, condition: "broken", detail: problem };
  return {
    name,
    condition: "fine",
    detail: `${metadata.string("general.architecture")}, all tensors as it asks for them`,
  };
}

function kernelFindings(uses: readonly WeightUse[]): ModelFinding[] {
  if (uses.length === 0) return [{ name: "kernels", condition: "fine", detail: "32-bit floats" }];
  return uses.map(({ encoding, matrices, expanded, extraBytes }) => {
    const name = `${encoding.name} kernels`;
    if (expanded === 0)
      return { name, condition: "fine", detail: `${matrices} matrices, computed on as they are stored` };
    const detail = `${expanded} of ${matrices} matrices become 32-bit floats: ${formatBytes(extraBytes)} more`;
    return { name, condition: "slow", detail };
  });
}

function tokenizerFinding({ metadata }: GgufFile, found: ReturnType<typeof attempt<Tokenizer>>): ModelFinding {
  const name = "tokenizer";
  const kind = ["tokenizer.ggml.model", "tokenizer.ggml.pre"].map((key) => metadata.string(key, ""));
  if ("problem" in found) return { name, condition: "broken", detail: found.problem };
  const { vocabularySize, special } = found.value;
  const about = [...kind.filter((part) => part !== ""), `${vocabularySize} tokens`].join(", ");
  if (special.eos === undefined && special.eot === undefined)
    return { name, condition: "missing", detail: `${about}; no token ends a text` };
  return { name, condition: "fine", detail: about };
}

function templateFinding(template: string, tokenizer: ReturnType<typeof attempt<Tokenizer>>): ModelFinding {
  const name = "chat template";
  if (template === "") return { name, condition: "missing", detail: "none: chats are given as plain turns" };
  const nameOf = (role: "bos" | "eos"): string | undefined => {
    const id = "value" in tokenizer ? tokenizer.value.special[role] : undefined;
    return id === undefined || !("value" in tokenizer) ? undefined : tokenizer.value.tokenOf(id);
  };
  const options = { addGenerationPrompt: true, bosToken: nameOf("bos"), eosToken: nameOf("eos") };
  const message = (role: string): { role: string; content: string } => ({ role, content: "Hello." });
  const render = (...roles: string[]): ReturnType<typeof attempt<string>> =>
    attempt(() => renderChat(template, roles.map(message), options));
  const conversation = render("user", "assistant", "user");
  if ("problem" in conversation)
    return { name, condition: "slow", detail: `fails on a plain conversation: ${conversation.problem}` };
  if ("problem" in render("system", "user"))
    return { name, condition: "fine", detail: "renders; it refuses system messages" };
  return { name, condition: "fine", detail: "renders" };
}

function memoryFinding(memory: ModelMemory, kv: CacheFormat): ModelFinding {
  const { weights, expanded, cache, contextLength, needed, available } = memory;
  const parts = [
    `${formatBytes(weights)} weights`,
    ...(expanded > 0 ? [`${formatBytes(expanded)} as 32-bit floats`] : []),
    `${formatBytes(cache)} cache for ${contextLength} tokens as ${kv}`,
  ];
  const detail = `${parts.join(" + ")} = ${formatBytes(needed)}`;
  if (available === null) return { name: "memory", condition: "fine", detail };
  const condition = needed > available ? "slow" : "fine";
  return { name: "memory", condition, detail: `${detail}, of ${formatBytes(available)} that are free` };
}

function tokensPerSecond(rate: number): string {
  return rate >= 10 ? rate.toFixed(0) : rate.toPrecision(2);
}

/** For people: what to try, with the command. */
function hintsOf(
  path: string,
  file: GgufFile,
  memory: ModelMemory | null,
  uses: readonly WeightUse[] | undefined,
  findings: readonly ModelFinding[],
): string[] {
  const hints: string[] = [];
  const smaller = `quern quantize ${path} -o NEW.gguf --quant`;
  if (uses?.some(({ expanded }) => expanded > 0) === true)
    hints.push(`weights without kernels are slow and large: ${smaller} Q4_K_M, best from a file with 16-bit floats`);
  if (memory !== null) {
    const { available, needed, cache, perToken, contextLength, trainedContextLength, cacheAtTrained } = memory;
    if (available !== null && needed > available) {
      hints.push(
        cache > needed / 4
          ? `the cache is a large part of the memory: a shorter --context, or --kv q8_0`
          : `the weights do not fit into free memory: ${smaller} with a smaller type, or a smaller model`,
      );
    }
    const floats = [...file.tensors.values()].filter(({ type, shape }) => shape.length > 1 && FLOATS.has(type.name));
    const share = floats.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) / Math.max(1, memory.weights);
    if (share > 0.5)
      hints.push(`a token reads all weights, which are floats: ${smaller} Q8_0 or Q4_K_M reads a half to a quarter`);
    hints.push(
      `a token reads ${formatBytes(perToken)} of weights: with 10 GB/s of memory at most ${tokensPerSecond(1e10 / perToken)} tokens a second`,
    );
    if (trainedContextLength > contextLength)
      hints.push(`--context goes up to ${trainedContextLength} tokens, with ${formatBytes(cacheAtTrained)} of cache`);
  }
  const { processors } = controlLimits();
  if (processors !== null && processors < availableParallelism())
    hints.push(
      `this container has the time of ${processors} of ${availableParallelism()} processors: --threads ${Math.max(1, Math.floor(processors))}`,
    );
  if (findings.some(({ name, condition }) => name === "chat template" && condition !== "fine"))
    hints.push("a chat template of your own: quern chat --template FILE");
  return hints;
}
