/**
 * `quern quantize`: writes a model file with its matrices in smaller types, and says how far the weights moved.
 */

import { existsSync, realpathSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { UserError } from "@quern/core";
import { FileSink, readGgufFile } from "@quern/importers/gguf";
import { formatBytes, formatMs, formatTable } from "@quern/bench/format";
import { requireModelFile } from "@quern/bench/engines";
import { nativeHost } from "@quern/kernels-cpu";
import { type QuantisedTensor, planQuantise, quantMixNamed, quantMixes, writeQuantised } from "@quern/llm/quantise";
import { INTERRUPTED, whole } from "../interrupt.ts";
import { numberOption } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { typeSummary } from "../tensor-types.ts";
import { requireWritable, writeJson } from "../write-file.ts";

interface QuantizeOptions {
  readonly output: string;
  readonly quant: string;
  readonly threads: number;
  readonly json?: string;
}

const EXAMPLES = `
Quantisations: ${quantMixes.map(({ name }) => name).join(", ")}.
The types of single tensors follow the rules of llama.cpp without an importance matrix. Norms, biases and other small tensors
are copied. The error of a tensor is the root mean square of the differences over that of its weights.

Examples:
  quern quantize model-f16.gguf -o model-q4_k_m.gguf
  quern quantize model-f16.gguf -o model-q8_0.gguf --quant Q8_0 --json -

Exit code: 0 fine, 2 wrong use or bad input, ${INTERRUPTED} interrupted: no part of the file is left.`;

export function addQuantize(program: Command): void {
  program
    .command("quantize")
    .description("Write a GGUF model with its weights in smaller types.")
    .argument("<file>", "a .gguf file, or the first of a split model")
    .requiredOption("-o, --output <file>", "the .gguf file to write")
    .option("--quant <name>", "quantisation, see below", (name) => quantMixNamed(name, "--quant").name, "Q4_K_M")
    .option(
      "--threads <count>",
      "threads that encode",
      numberOption("--threads", 1, 1024, true),
      availableParallelism(),
    )
    .option("--json <file>", "write types and errors of all tensors as JSON; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(quantize);
}

async function quantize(path: string, options: QuantizeOptions): Promise<void> {
  const { output, quant, json } = options;
  requireModelFile(path);
  if (output === "-") throw new UserError("a model is not written to standard output", { where: "--output" });
  if (existsSync(output) && realpathSync(output) === realpathSync(path)) {
    throw new UserError("the model would be written over the one that is read", { where: `--output ${output}` });
  }
  const file = readGgufFile(path, { read: (part) => new Uint8Array(nativeHost().mapFile(part).buffer) });
  const plan = planQuantise(file, quantMixNamed(quant));
  requireWritable(output, "--output");
  if (json !== undefined) requireWritable(json, "--json");
  const started = performance.now();
  const progress = new ProgressLine();
  let tensors: readonly QuantisedTensor[] = [];
  const done = await whole(async (signal) => {
    tensors = await writeQuantised(plan, new FileSink(output), {
      threads: options.threads,
      signal,
      onProgress: (written, total, name) =>
        progress.update(`${name}: ${formatBytes(written)} of ${formatBytes(total)}`, written / total),
    });
  });
  progress.clear();
  if (done) report(path, tensors, performance.now() - started, options);
}

function report(
  path: string,
  tensors: readonly QuantisedTensor[],
  ms: number,
  { output, quant, json }: QuantizeOptions,
): void {
  const before = tensors.reduce((sum, { source }) => sum + source.bytes.byteLength, 0);
  const after = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  if (json !== undefined) {
    const summary = {
      file: output,
      from: path,
      quant,
      ms,
      tensorBytes: { before, after },
      types: typeSummary(tensors),
      tensors: tensors.map(({ name, shape, source, type, instead, bytes, error }) => ({
        name,
        shape,
        from: source.type.name,
        type: type.name,
        ...(instead === undefined ? {} : { insteadOf: instead.name }),
        bytes,
        error,
      })),
    };
    writeJson(json, summary);
    if (json === "-") return;
  }
  const lines = [
    `${output}: ${quant}, weights ${formatBytes(before)} → ${formatBytes(after)} in ${formatMs(ms)}`,
    "",
    ...formatTable(COLUMNS, groupRows(tensors)),
    ...notes(tensors),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

const COLUMNS = [
  { title: "tensor", align: "left" },
  { title: "count", align: "right" },
  { title: "from", align: "left" },
  { title: "to", align: "left" },
  { title: "size", align: "right" },
  { title: "error", align: "right" },
] as const;

/** A row for the tensors of all layers that have the same part in a layer and the same types; the largest error. */
function groupRows(tensors: readonly QuantisedTensor[]): string[][] {
  const groups = new Map<string, QuantisedTensor[]>();
  for (const tensor of tensors) {
    const { name, source, type } = tensor;
    const key = [name.replace(/^blk\.\d+\./, "blk.*."), source.type.name, type.name].join(" ");
    groups.set(key, [...(groups.get(key) ?? []), tensor]);
  }
  return [...groups].map(([key, members]) => {
    const [name = "", from = "", to = ""] = key.split(" ");
    const bytes = members.reduce((sum, member) => sum + member.bytes, 0);
    const error = Math.max(...members.map((member) => member.error));
    const shown = error === 0 ? "" : `${(100 * error).toPrecision(3)} %`;
    return [name, String(members.length), from, from === to ? "copied" : to, formatBytes(bytes), shown];
  });
}

function notes(tensors: readonly QuantisedTensor[]): string[] {
  const lines: string[] = [];
  const fallen = tensors.filter(({ instead }) => instead !== undefined);
  if (fallen.length > 0) {
    const kinds = new Set(fallen.map(({ instead, type }) => `${type.name} in place of ${instead!.name}`));
    lines.push(`${fallen.length} tensors have rows that are no multiple of a block of 256: ${[...kinds].join(", ")}`);
  }
  const again = tensors.filter(({ source, type }) => source.type.blockWeights > 1 && source.type !== type);
  if (again.length > 0) {
    lines.push(
      `${again.length} tensors had been quantised before: their errors add up, begin with F16 or BF16 if you can`,
    );
  }
  return lines.length === 0 ? [] : ["", ...lines];
}
