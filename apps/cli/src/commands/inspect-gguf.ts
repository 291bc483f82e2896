/**
 * `quern inspect` on a language model: its sizes, in which types its weights are stored, its tokenizer, the memory that it
 * needs, and whether this build runs it. What cannot be understood is said in the place of what it would have told.
 */

import { type Graph, printShape } from "@quern/core";
import { formatBytes, formatTable } from "@quern/bench/format";
import type { GgufTensor } from "@quern/importers/gguf";
import { type Hyperparameters, buildStepGraph, readHyperparameters } from "@quern/llm";
import { quantMixes } from "@quern/llm/quantise";
import { type TokenizerFacts, attempt, cachePerToken, openGguf, tokenizerFacts } from "../gguf-facts.ts";
import { elementsOf, typeSummary } from "../tensor-types.ts";
import { forTerminal } from "../text-output.ts";
import { writeJson } from "../write-file.ts";

/** The graph of one step, with the default cache. */
export function readStepGraph(path: string): Graph {
  return buildStepGraph(openGguf(path)).graph;
}

interface Group {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: string;
  readonly count: number;
  readonly bytes: number;
}

/** One for the tensors of all layers that have the same part, shape and type. */
function groupsOf(tensors: readonly GgufTensor[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { name, shape, type, bytes } of tensors) {
    const part = name.replace(/^blk\.\d+\./, "blk.*.");
    const key = [part, shape.join("x"), type.name].join(" ");
    const { count, bytes: sum } = groups.get(key) ?? { count: 0, bytes: 0 };
    groups.set(key, { name: part, shape, type: type.name, count: count + 1, bytes: sum + bytes.byteLength });
  }
  return [...groups.values()];
}

export function inspectGguf(path: string, json: string | undefined): void {
  const file = openGguf(path);
  const { metadata } = file;
  const tensors = [...file.tensors.values()];
  const hyper = attempt(() => readHyperparameters(file));
  const runs = attempt(() => buildStepGraph(file));
  const perToken = "value" in hyper ? cachePerToken(hyper.value) : undefined;
  const fileType = metadata.values.get("general.file_type")?.value;
  const summary = {
    file: path,
    name: metadata.string("general.name", ""),
    architecture: metadata.string("general.architecture", ""),
    version: file.version,
    files: new Set(tensors.map(({ part }) => part)).size,
    parameters: tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0),
    tensorBytes: tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
    quant: quantMixes.find((mix) => mix.fileType === fileType)?.name ?? null,
    hyperparameters: "value" in hyper ? hyper.value : null,
    types: typeSummary(tensors),
    tensors: groupsOf(tensors),
    tokenizer: tokenizerFacts(file),
    chatTemplate: metadata.string("tokenizer.chat_template", "") || null,
    cacheBytesPerToken: perToken ?? null,
    problem: "problem" in runs ? runs.problem : null,
  };
  if (json !== undefined) {
    writeJson(json, summary);
    if (json === "-") return;
  }
  const { name, architecture, parameters, tensorBytes, quant, types, tensors: groups, problem } = summary;
  const title = [
    name,
    architecture,
    `${(parameters / 1e6).toFixed(1)} million weights`,
    quant,
    formatBytes(tensorBytes),
  ];
  const lines = [
    `${path}: ${title.filter((part) => part !== null && part !== "").join(", ")}`,
    problem === null ? "✓ runs on this build" : `– does not run on this build: ${problem}`,
    ...("value" in hyper ? ["", ...sizeLines(hyper.value, tensorBytes)] : []),
    "",
    ...tokenizerLines(summary.tokenizer, summary.chatTemplate !== null),
    "",
    ...formatTable(
      TYPE_COLUMNS,
      types.map((row) => [row.type, String(row.tensors), String(row.weights), formatBytes(row.bytes)]),
    ),
    "",
    ...formatTable(
      TENSOR_COLUMNS,
      groups.map((row) => [row.name, String(row.count), printShape(row.shape), row.type, formatBytes(row.bytes)]),
    ),
  ];
  process.stdout.write(`${forTerminal(lines.join("\n"))}\n`);
}

const TYPE_COLUMNS = [
  { title: "type", align: "left" },
  { title: "tensors", align: "right" },
  { title: "weights", align: "right" },
  { title: "size", align: "right" },
] as const;

const TENSOR_COLUMNS = [
  { title: "tensor", align: "left" },
  { title: "count", align: "right" },
  { title: "shape", align: "left" },
  { title: "type", align: "left" },
  { title: "size", align: "right" },
] as const;

function sizeLines(hyper: Hyperparameters, tensorBytes: number): string[] {
  const { layers, width, heads, kvHeads, headDim, feedForward, contextLength, vocabulary, experts, windows } = hyper;
  const windowed = windows.filter((window) => window > 0);
  const { f16, q8_0: q8 } = cachePerToken(hyper);
  const tokens = Math.min(contextLength, 4096);
  return [
    `layers     ${layers}, width ${width}, feed-forward ${feedForward}, ${vocabulary} tokens`,
    `attention  ${heads} heads of ${headDim}, ${kvHeads} for keys and values${windowed.length === 0 ? "" : `, ${windowed.length} layers see ${Math.max(...windowed)} tokens`}`,
    ...(experts === undefined
      ? []
      : [`experts    ${experts.count}, ${experts.used} per token, feed-forward ${experts.feedForward}`]),
    `context    ${contextLength} tokens`,
    `memory     weights ${formatBytes(tensorBytes)}; cache ${formatBytes(f16)} per token as f16, ${formatBytes(q8)} as q8_0: ${formatBytes(tensorBytes + f16 * tokens)} with ${tokens} tokens as f16`,
  ];
}

function tokenizerLines({ model, pre, tokens, special = {}, problem }: TokenizerFacts, template: boolean): string[] {
  const kind = [model, pre].filter((part) => part !== "").join(", ") || "none";
  const roles = Object.entries(special).map(([role, token]) => `${role} ${token}`);
  const about = problem === undefined ? `, ${tokens} tokens: ${roles.join(", ")}` : `: ${problem}`;
  return [`tokenizer  ${kind}${about}`, `template   ${template ? "for chat" : "none"}`];
}
