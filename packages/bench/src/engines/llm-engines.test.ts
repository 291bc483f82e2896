import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { synthGguf } from "@quern/llm";
import { afterAll, describe, expect, it } from "vitest";
import { compareRows } from "../language-models/agreement.ts";
import { TokenSource } from "../language-models/tests.ts";
import { largest, type LlmModel, type LlmOptions } from "./llm-engine.ts";
import { llmEngineNamed, llmEngines } from "./llm-engines.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-llm-engine-test-"));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, "tiny.gguf");
writeFileSync(path, synthGguf({ model: "tiny-llama", quant: "F16", changes: { layers: 1 } }));

const options: LlmOptions = { threads: 1, contextLength: 256, sequences: 2, cache: "f32", precision: "highest" };
const tokens = new TokenSource(3, 1024, 256);

async function withModel(name: string, use: (model: LlmModel) => Promise<void>): Promise<void> {
  const engine = await llmEngineNamed(name).open(options);
  try {
    const model = await engine.load(path);
    await use(model);
    await model.close();
  } finally {
    await engine.close();
  }
}

/** Same tokens, same context: other batches may round differently. */
function expectSame(actual: Float32Array, expected: Float32Array): void {
  expect(compareRows([actual], [expected]).nmse).toBeLessThan(1e-6);
}

describe.each(llmEngines.map(({ name }) => name))("%s", (name) => {
  it("keeps sequences apart, takes them back, and finds the largest logit", async (context) => {
    try {
      await llmEngineNamed(name).describe(options);
    } catch (error) {
      context.skip((error as Error).message);
    }
    await withModel(name, async (model) => {
      await model.evaluate([tokens.part(0, 0, 0, 40)]);
      const whole = await model.logits(0);
      expect(whole.length).toBe(1024);
      expect(await model.greedy(0)).toBe(largest(whole));
      // In two pieces, after going back, beside another sequence.
      model.truncate(0, 25);
      await model.evaluate([tokens.part(1, 1, 0, 10), tokens.part(0, 0, 25, 14)]);
      const other = await model.logits(0);
      await model.evaluate([tokens.part(0, 0, 39, 1)]);
      expectSame(await model.logits(0), whole);
      expect(compareRows([other], [whole]).nmse).toBeGreaterThan(0.1);
      // The other sequence again, where the first has been.
      model.truncate(0, 0);
      await model.evaluate([{ ...tokens.part(1, 1, 0, 10), sequence: 0 }]);
      expectSame(await model.logits(0), other);
    });
  });

  it("says whose number of threads it has", async (context) => {
    try {
      const { settings } = await llmEngineNamed(name).describe(options);
      const own = llmEngineNamed(name).variantOf !== undefined;
      expect(settings["threads"]).toMatch(own ? /own|not set/ : /as in each row/);
    } catch (error) {
      if (name.startsWith("quern")) throw error;
      context.skip((error as Error).message);
    }
  });

  it("says what is wrong with a file", async (context) => {
    const spoiled = join(directory, "spoiled.gguf");
    writeFileSync(spoiled, "GGUF, but not for long");
    try {
      await llmEngineNamed(name).describe(options);
    } catch (error) {
      context.skip((error as Error).message);
    }
    const engine = await llmEngineNamed(name).open(options);
    await expect(engine.load(spoiled)).rejects.toThrow("spoiled.gguf");
    await engine.close();
  });
});
