/**
 * `quern synth`: writes a model with the shape of a real one and random weights, for measurements and tests where no
 * real model is at hand.
 */

import type { Command } from "commander";
import { UserError } from "@quern/core";
import { FileSink } from "@quern/importers/gguf";
import { formatBytes, formatMs, formatTable } from "@quern/bench/format";
import { quantMixNamed, quantMixes } from "@quern/llm/quantise";
import { type SynthModel, planSynth, synthPresets, writeSynthInTurns } from "@quern/llm/synth";
import { INTERRUPTED, whole } from "../interrupt.ts";
import { numberOption, parseSeed } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { typeSummary } from "../tensor-types.ts";
import { requireWritable, writeJson } from "../write-file.ts";

interface SynthCommandOptions {
  readonly output: string;
  readonly quant: string;
  readonly layers?: number;
  readonly width?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headSize?: number;
  readonly ff?: number;
  readonly vocab?: number;
  readonly context?: number;
  readonly experts?: number;
  readonly seed: number;
  readonly json?: string;
}

const EXAMPLES = `
Models, by the shapes of real ones; tiny-… are for tests, and an architecture's name stands for its tiny one:
${wrapped(Object.keys(synthPresets))}

Quantisations:
${wrapped(quantMixes.map(({ name }) => name))}

The weights are random and what the model says has no meaning. The vocabulary is generated; every file has a chat template.
Sizes that are not given follow from those that are.

Examples:
  quern synth llama-3.2-1b -o llama.gguf
  quern synth qwen3-4b --layers 4 --quant Q8_0 -o qwen.gguf
  quern synth gemma3 --width 128 --vocab 512 -o tiny.gguf --json -

Exit code: 0 fine, 2 wrong use or bad input, ${INTERRUPTED} interrupted: no part of the file is left.`;

function wrapped(words: readonly string[]): string {
  const lines = [""];
  for (const word of words) {
    const longer = `${lines.at(-1)}  ${word}`;
    if (longer.length > 100) lines.push(`  ${word}`);
    else lines[lines.length - 1] = longer;
  }
  return lines.join("\n");
}

const size = (option: string, most: number): ((text: string) => number) => numberOption(option, 1, most, true);

export function addSynth(program: Command): void {
  program
    .command("synth")
    .description("Write a GGUF model of a known shape with random weights.")
    .argument("<model>", "a model or architecture, see below")
    .requiredOption("-o, --output <file>", "the .gguf file to write")
    .option("--quant <name>", "quantisation, see below", (name) => quantMixNamed(name, "--quant").name, "Q4_K_M")
    .option("--layers <count>", "layers", size("--layers", 1024))
    .option("--width <size>", "size of a token's state", size("--width", 65_536))
    .option("--heads <count>", "query heads", size("--heads", 1024))
    .option("--kv-heads <count>", "key/value heads", size("--kv-heads", 1024))
    .option("--head-size <size>", "size of a head", size("--head-size", 1024))
    .option("--ff <size>", "feed-forward size", size("--ff", 262_144))
    .option("--vocab <size>", "tokens of the vocabulary", size("--vocab", 1_000_000))
    .option("--context <tokens>", "longest context", size("--context", 16_777_216))
    .option("--experts <count>", "experts per layer", size("--experts", 1024))
    .option("--seed <number>", "seed of the weights and the vocabulary", parseSeed, 1)
    .option("--json <file>", "write a summary as JSON; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(synth);
}

async function synth(name: string, options: SynthCommandOptions): Promise<void> {
  const { output, quant, seed, layers, width, heads, kvHeads, headSize, ff, vocab, context, experts } = options;
  if (output === "-") throw new UserError("a model is not written to standard output", { where: "--output" });
  const changes = { layers, width, heads, kvHeads, headSize, feedForward: ff, vocabulary: vocab, context, experts };
  const model = planSynth({ model: name, quant, seed, changes });
  requireWritable(output, "--output");
  if (options.json !== undefined) requireWritable(options.json, "--json");
  const started = performance.now();
  const progress = new ProgressLine();
  const onProgress = (written: number, total: number): void =>
    progress.update(`writing ${output}: ${formatBytes(written)} of ${formatBytes(total)}`, written / total);
  let bytes = 0;
  const done = await whole(async (signal) => {
    bytes = await writeSynthInTurns(model, new FileSink(output), { signal, onProgress });
  });
  progress.clear();
  if (done) report(model, bytes, performance.now() - started, options);
}

function report(model: SynthModel, bytes: number, ms: number, { output, json, seed }: SynthCommandOptions): void {
  const { shape, mix, parameters, tensors } = model;
  const types = typeSummary(tensors);
  if (json !== undefined) {
    const summary = { file: output, bytes, parameters, quant: mix.name, seed, ms, shape, types };
    writeJson(json, summary);
    if (json === "-") return;
  }
  const columns = [
    { title: "type", align: "left" },
    { title: "tensors", align: "right" },
    { title: "weights", align: "right" },
    { title: "size", align: "right" },
  ] as const;
  const rows = types.map((row) => [row.type, String(row.tensors), String(row.weights), formatBytes(row.bytes)]);
  const { layers, width, heads, kvHeads, headSize, feedForward, vocabulary } = shape;
  const lines = [
    `${output}: ${shape.name} (${shape.architecture}), ${(parameters / 1e6).toFixed(1)} million weights, ${mix.name}, ${formatBytes(bytes)} in ${formatMs(ms)}`,
    `${layers} layers, width ${width}, ${heads} heads of ${headSize} with ${kvHeads} for keys and values, feed-forward ${feedForward}, ${vocabulary} tokens`,
    "",
    ...formatTable(columns, rows),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
