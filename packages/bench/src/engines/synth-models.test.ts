/**
 * Synthetic models are models: llama.cpp loads one of every architecture and every quantisation, and its logits are
 * finite, differ from token to token and from context to context.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quantMixes, synthGguf, synthPresets } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";
import { TokenSource } from "../language-models/tests.ts";
import type { LlmOptions } from "./llm-engine.ts";
import { llmEngineNamed } from "./llm-engines.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-synth-test-"));
afterAll(() => rmSync(directory, { recursive: true }));

const options: LlmOptions = { threads: 1, contextLength: 256, sequences: 2, cache: "f16", precision: "highest" };
const tokens = new TokenSource(5, 1024, 256);
const tiny = Object.keys(synthPresets).filter((name) => name.startsWith("tiny-"));

const cases = [
  ...tiny.map((model) => ({ model, quant: "Q4_K_M" })),
  ...quantMixes.map(({ name }) => ({ model: "tiny-qwen3moe", quant: name })),
];

function spreadOf(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

describe("llama.cpp computes with", () => {
  it.for(cases)("$model, $quant", async ({ model: name, quant }, context) => {
    const engine = llmEngineNamed("llama.cpp");
    try {
      await engine.describe(options);
    } catch (error) {
      context.skip((error as Error).message);
    }
    const opened = await engine.open(options);
    try {
      const path = join(directory, `${name}-${quant}.gguf`);
      writeFileSync(path, synthGguf({ model: name, quant }));
      const model = await opened.load(path);
      await model.evaluate([tokens.part(0, 0, 0, 40), tokens.part(1, 1, 0, 40)]);
      const [first, second] = [await model.logits(0), await model.logits(1)];
      for (const logits of [first, second]) {
        expect(logits).toHaveLength(1024);
        expect(logits.every(Number.isFinite)).toBe(true);
        expect(spreadOf(logits)).toBeGreaterThan(0.3);
        expect(spreadOf(logits)).toBeLessThan(10);
      }
      expect(spreadOf(first.map((logit, i) => logit - second[i]!))).toBeGreaterThan(0.1);
      await model.close();
    } finally {
      await opened.close();
    }
  });
});
