/**
 * Our language models beside llama.cpp: the same greedy continuations of a trained model, and logits that are as near to
 * the float64 reference over the dequantised weights as llama.cpp's, for prompts and for single tokens.
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { referenceDevice } from "@quern/core";
import { readGgufFile } from "@quern/importers/gguf";
import { ExecutableRunner, buildStep, buildStepGraph, synthGguf, tokenizerFromGguf } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";
import { TokenSource } from "../language-models/tests.ts";
import { type LlmModel, type LlmOptions, largest } from "./llm-engine.ts";
import { llmEngineNamed } from "./llm-engines.ts";

const STORIES = resolve(import.meta.dirname, "../../../../../shared/data/gguf/stories260K.gguf");
const PROMPTS = ["Once upon a time", "Lily and Tom went to the park", '"Hello!" said the'];
const CONTINUED = 200;

const directory = mkdtempSync(join(tmpdir(), "quern-agreement-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Why llama.cpp cannot be asked, if so. */
async function missing(options: LlmOptions): Promise<string | undefined> {
  try {
    await llmEngineNamed("llama.cpp").describe(options);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function withModels<T>(
  path: string,
  options: LlmOptions,
  use: (quern: LlmModel, llama: LlmModel) => Promise<T>,
): Promise<T> {
  const opened = await Promise.all(["quern", "llama.cpp"].map((name) => llmEngineNamed(name).open(options)));
  const models = await Promise.all(opened.map((engine) => engine.load(path)));
  try {
    return await use(...(models as [LlmModel, LlmModel]));
  } finally {
    for (const model of models) await model.close();
    for (const engine of opened) await engine.close();
  }
}

async function continued(model: LlmModel, prompt: readonly number[]): Promise<number[]> {
  model.truncate(0, 0);
  const ids = [...prompt];
  await model.evaluate([{ sequence: 0, position: 0, tokens: Int32Array.from(ids) }]);
  for (let i = 0; i < CONTINUED; i++) {
    ids.push(largest(await model.logits(0)));
    await model.evaluate([{ sequence: 0, position: ids.length - 1, tokens: Int32Array.of(ids.at(-1) as number) }]);
  }
  return ids;
}

it(`greedy continuations of ${CONTINUED} tokens are those of llama.cpp`, async (context) => {
  const options: LlmOptions = { threads: 1, contextLength: 512, sequences: 1, cache: "f16", precision: "high" };
  const reason = existsSync(STORIES) ? await missing(options) : `${STORIES} is not there`;
  if (reason !== undefined) context.skip(reason);
  const tokenizer = tokenizerFromGguf(readGgufFile(STORIES).metadata.values);
  await withModels(STORIES, options, async (quern, llama) => {
    for (const prompt of PROMPTS) {
      const ids = [...tokenizer.encode(prompt)];
      expect(await continued(quern, ids), prompt).toEqual(await continued(llama, ids));
    }
  });
});

/** Sums of squared errors and of squares. */
class ErrorSum {
  #errors = 0;
  #squares = 0;

  add(actual: Float32Array, expected: Float32Array): void {
    expected.forEach((value, i) => {
      this.#errors += ((actual[i] as number) - value) ** 2;
      this.#squares += value * value;
    });
  }

  /** Normalised mean square error. */
  get nmse(): number {
    return this.#errors / this.#squares;
  }
}

const PROMPT = 40;
const GENERATED = 4;
const SEQUENCES = 3;

describe("errors against the float64 reference are not larger than llama.cpp's", () => {
  const cases = [
    { model: "tiny-llama", quant: "Q4_0" },
    { model: "tiny-llama", quant: "Q4_K_M" },
    { model: "tiny-qwen3", quant: "Q6_K" },
    { model: "tiny-qwen2", quant: "Q8_0" },
    { model: "tiny-phi3", quant: "Q5_K_M" },
    { model: "tiny-llama", quant: "F16" },
  ];
  it.for(cases)("$model, $quant", async ({ model: name, quant }, context) => {
    const precision = quant === "F16" ? "high" : "medium";
    const options: LlmOptions = { threads: 1, contextLength: 128, sequences: SEQUENCES, cache: "f16", precision };
    const reason = await missing(options);
    if (reason !== undefined) context.skip(reason);
    const path = join(directory, `${name}-${quant}.gguf`);
    writeFileSync(path, synthGguf({ model: name, quant }));
    const { graph, hyper } = buildStepGraph(readGgufFile(path), { cache: "f32", pageSize: 64, contextLength: 128 });
    const device = referenceDevice();
    const reference = new ExecutableRunner(device, device.compile(graph), 2 * SEQUENCES);
    const tokens = new TokenSource(7, hyper.vocabulary, 128);
    const errors = { quern: new ErrorSum(), llama: new ErrorSum() };
    await withModels(path, options, async (quern, llama) => {
      const step = async (sequence: number, position: number, count: number): Promise<void> => {
        const part = tokens.part(sequence, sequence, position, count);
        const ids: number[] = [];
        part.tokens.forEach((id, i) => (ids[position + i] = id));
        const pages = [2 * sequence, 2 * sequence + 1];
        const rows = await reference.run(
          buildStep([{ tokens: ids, start: position, count, pages, firstOutput: position + count - 1 }], [], 2),
        );
        const expected = rows.slice(0, hyper.vocabulary);
        await Promise.all([quern, llama].map((one) => one.evaluate([part])));
        errors.quern.add(await quern.logits(0), expected);
        errors.llama.add(await llama.logits(0), expected);
      };
      for (let sequence = 0; sequence < SEQUENCES; sequence++) await step(sequence, 0, PROMPT);
      for (let at = 0; at < GENERATED; at++)
        for (let sequence = 0; sequence < SEQUENCES; sequence++) await step(sequence, PROMPT + at, 1);
    });
    reference.dispose();
    expect(errors.quern.nmse, `llama.cpp: ${errors.llama.nmse}`).toBeLessThan(1.05 * errors.llama.nmse);
  });
});
