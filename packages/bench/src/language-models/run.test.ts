import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { synthGguf } from "@quern/llm";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { llmEngineNamed } from "../engines/llm-engines.ts";
import { renderHtml } from "../report/html.ts";
import { renderTerminal } from "../report/terminal.ts";
import { resultsSchema, type Results } from "../results/schema.ts";
import { runLlmBench, type LlmPlan } from "./run.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-llm-bench-test-"));
afterAll(() => rmSync(directory, { recursive: true }));
const tiny = join(directory, "tiny.gguf");
writeFileSync(tiny, synthGguf({ model: "tiny-llama", quant: "Q4_K_M", changes: { layers: 1 } }));

const validate = new Ajv2020({ formats: { "date-time": true } }).compile(resultsSchema);

const plan: LlmPlan = {
  models: [tiny],
  tests: [
    { kind: "prompt", tokens: 20, depth: 8, sequences: 1 },
    { kind: "generate", tokens: 6, depth: 8, sequences: 2 },
  ],
  engines: ["quern", "llama.cpp"],
  threads: [1],
  precision: "medium",
  cache: "f16",
};

function bench(changes: Partial<LlmPlan>): Promise<Results> {
  const settings = { seed: 1, secondsPerEngine: 0.02, processes: 1, sliceMs: 5, timeoutMs: 120_000 };
  return runLlmBench({ ...plan, ...changes }, settings, () => {});
}

/** Why llama.cpp cannot run here; undefined where it can. */
async function llamaMissing(): Promise<string | undefined> {
  const options = { threads: 1, contextLength: 256, sequences: 1, cache: "f16", precision: "medium" } as const;
  try {
    await llmEngineNamed("llama.cpp").describe(options);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe("runLlmBench", () => {
  it("measures both engines, whose logits agree", async (context) => {
    const missing = await llamaMissing();
    if (missing !== undefined) context.skip(missing);
    const results = await bench({});
    validate(JSON.parse(JSON.stringify(results)));
    expect(validate.errors).toBeNull();
    expect(results.skipped).toEqual([]);
    const steady = results.results.filter((row) => row.phase === "steady");
    expect(steady.map((row) => [row.case, row.engine, row.verified])).toEqual(
      ["first-token", "pp20@d8", "tg6x2@d8"].flatMap((test) =>
        ["quern", "llama.cpp"].map((engine) => [`llm/tiny/${test}`, engine, true]),
      ),
    );
    for (const row of steady) expect(row.nmse).toBeLessThan(0.01);
    const tests = steady.filter((row) => row.tokens !== undefined);
    expect(tests.map((row) => row.tokens)).toEqual([20, 20, 2, 2]);
    for (const row of tests) expect(row.tokensPerSecond).toBeCloseTo((1000 * row.tokens!) / row.median!, 6);
    const compared = results.comparisons.filter((row) => row.phase === "steady");
    expect(compared.map((row) => [row.engine, row.baseline])).toEqual(Array(3).fill(["quern", "llama.cpp"]));
    const facts = steady.find(({ engine }) => engine === "llama.cpp")?.device;
    expect(facts).toMatch(/^cpu.*CPU_Mapped \d+ MiB.*flash attention enabled$/);
    expect(renderTerminal(results)).toMatch(/tokens\/s.*NMSE/);
    expect(renderHtml(results)).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("models of one name are told apart by their folders", async () => {
    const models = ["q4", "q8"].map((folder) => {
      mkdirSync(join(directory, folder));
      const path = join(directory, folder, "model.gguf");
      copyFileSync(tiny, path);
      return path;
    });
    const tests = plan.tests.slice(0, 1);
    const results = await bench({ models: [...models, ...models], engines: ["quern"], tests });
    const steady = results.results.filter(({ phase }) => phase === "steady").map((row) => row.case);
    expect(steady).toEqual(
      ["q4", "q8"].flatMap((folder) => ["first-token", "pp20@d8"].map((test) => `llm/${folder}/model/${test}`)),
    );
  });

  it("an engine that cannot read the model leaves the reason", async () => {
    await expect(bench({ engines: ["quern"], features: "avx1024" })).rejects.toThrow("avx1024");
  });

  it.each([
    [{ models: [] }, "no model to measure"],
    [{ engines: [] }, "no engine to measure"],
    [{ engines: ["llama.cpp"], features: "avx2" }, "none of the engines can be told which CPU features"],
    [{ tests: [] }, "neither a prompt nor generation"],
    [{ engines: ["torch"] }, 'there is no engine "torch" for language models'],
    [{ models: [join(directory, "none.gguf")] }, "none.gguf"],
    [{ tests: [{ kind: "prompt", tokens: 4000, depth: 100, sequences: 1 }] }, "longer than the 2048 tokens"],
  ] as const)("%j is refused at once", async (changes, message) => {
    await expect(bench(changes)).rejects.toThrow(message);
  });
});
