/** `quern synth` and `quern quantize` as users meet them: spawned, with exit codes, streams and files. */

import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MemorySink, GgufWriter, readGgufFile, tensorData } from "@quern/importers/gguf";
import { blockTypeNamed } from "@quern/core";
import { beforeAll, describe, expect, it } from "vitest";
import { spawnedCli } from "./spawn-cli.test-support.ts";

const { folder, quern, start } = spawnedCli("models");

const path = (name: string): string => join(folder, name);
const typesOf = (name: string): Record<string, string> =>
  Object.fromEntries([...readGgufFile(path(name)).tensors.values()].map((tensor) => [tensor.name, tensor.type.name]));
const parts = (): string[] => readdirSync(folder).filter((name) => name.endsWith(".part"));

beforeAll(() => {
  const { code, stderr } = quern("synth", "llama", "--quant", "f16", "--layers", "8", "-o", "f16.gguf");
  if (code !== 0) throw new Error(stderr);
});

describe("help and wrong use", () => {
  it.each(["synth", "quantize"])("%s --help", (command) => {
    const { code, stdout, stderr } = quern(command, "--help");
    expect([code, stderr]).toEqual([0, ""]);
    for (const text of ["Usage: quern", "Examples:", "Q4_K_M"]) expect(stdout).toContain(text);
  });

  it.each([
    [["synth", "-o", "x.gguf"], "missing required argument 'model'"],
    [["synth", "llama"], "required option '-o, --output <file>' not specified"],
    [["synth", "bloom", "-o", "x.gguf"], 'there is no synthetic model "bloom"'],
    [["synth", "llama", "-o", "x.gguf", "--quant", "Q9"], 'there is no quantisation "Q9"'],
    [["synth", "llama", "-o", "x.gguf", "--layers", "0"], '"0" is not a whole number from 1'],
    [["synth", "llama", "-o", "x.gguf", "--heads", "3"], "3 heads do not divide the width 256"],
    [["synth", "llama", "-o", "x.gguf", "--vocab", "10"], "a vocabulary of 10 tokens is too small"],
    [["synth", "llama", "-o", "-"], "a model is not written to standard output"],
    [["synth", "llama", "-o", "/proc/nowhere/x.gguf"], "the file cannot be written"],
    [["quantize", "missing.gguf", "-o", "x.gguf"], "the model file does not exist"],
    [["quantize", "f16.gguf", "-o", "-"], "a model is not written to standard output"],
    [["quantize", "f16.gguf", "-o", "./f16.gguf"], "the model would be written over the one that is read"],
    [["quantize", "f16.gguf", "-o", "x.gguf", "--quant", "best"], 'there is no quantisation "best"'],
    [["quantize", "f16.gguf", "-o", "x.gguf", "--json", "/proc/nowhere/r.json"], "cannot be written"],
  ])("%j", (args, message) => {
    const { code, stdout, stderr } = quern(...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at .*\.ts:\d+/m);
    expect([code, stdout]).toEqual([2, ""]);
    expect(existsSync(path("x.gguf"))).toBe(false);
    expect(parts()).toEqual([]);
  });
});

describe("synth", () => {
  it("writes a model, a table, and the folder", () => {
    const { code, stdout, stderr } = quern("synth", "qwen3", "-o", "made/qwen.gguf", "--width", "64", "--ff", "96");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("made/qwen.gguf: tiny-qwen3 (qwen3), 0.2 million weights, Q4_K_M");
    expect(stdout).toMatch(/^Q5_0 +\d+ +\d+ /m);
    const file = readGgufFile(path("made/qwen.gguf"));
    expect(file.tensors.get("blk.1.ffn_up.weight")!.shape).toEqual([96, 64]);
  });

  it("--json - prints JSON and nothing else; seeds decide the bytes", () => {
    const { code, stdout } = quern("synth", "gpt2", "--layers", "1", "--vocab", "300", "-o", "a.gguf", "--json", "-");
    expect(code).toBe(0);
    const found = JSON.parse(stdout) as { bytes: number; shape: { layers: number }; types: { type: string }[] };
    const bytes = readFileSync(path("a.gguf"));
    expect(found.bytes).toBe(bytes.length);
    expect(found.shape.layers).toBe(1);
    expect(found.types.map(({ type }) => type).sort()).toEqual(["F32", "Q4_K", "Q5_K", "Q6_K"]);
    quern("synth", "gpt2", "--layers", "1", "--vocab", "300", "-o", "b.gguf");
    expect(readFileSync(path("b.gguf"))).toEqual(bytes);
    quern("synth", "gpt2", "--layers", "1", "--vocab", "300", "-o", "b.gguf", "--seed", "2");
    expect(readFileSync(path("b.gguf"))).not.toEqual(bytes);
  });
});

/** Bytes of a file; 0 where it went meanwhile, as the empty one does that tries whether the folder can be written. */
const bytesOf = (name: string): number => statSync(path(name), { throwIfNoEntry: false })?.size ?? 0;

/** Sends Ctrl-C when the temporary file is there, and gives what the process ended with. */
async function interrupted(output: string, ...args: string[]): Promise<{ code: number | null; stdout: string }> {
  const child = start(...args, "-o", output);
  let stdout = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  const watch = setInterval(() => {
    if (parts().some((name) => name.startsWith(output) && bytesOf(name) > 0)) {
      clearInterval(watch);
      child.kill("SIGINT");
    }
  }, 5);
  const code = await new Promise<number | null>((done) => child.once("close", done));
  clearInterval(watch);
  return { code, stdout };
}

describe("Ctrl-C", () => {
  it.for([
    ["synth", ["synth", "tinyllama-1.1b", "--quant", "F16"]],
    ["quantize", ["quantize", "large.gguf", "--threads", "1"]],
    ["quantize on threads", ["quantize", "large.gguf", "--threads", "2"]],
  ] as const)("%s leaves no part of a file, and an older one as it is", async ([, args], context) => {
    if (process.platform === "win32") context.skip("signals end processes on Windows");
    if (args[0] === "quantize" && !existsSync(path("large.gguf")))
      quern("synth", "smollm2-135m", "--layers", "8", "--quant", "F16", "-o", "large.gguf");
    writeFileSync(path("kept.gguf"), "older");
    expect(await interrupted("kept.gguf", ...args)).toEqual({ code: 130, stdout: "" });
    expect(parts()).toEqual([]);
    expect(readFileSync(path("kept.gguf"), "utf8")).toBe("older");
  });
});

describe("quantize", () => {
  it("encodes matrices by the rule, copies the rest, and says how far weights moved", () => {
    const { code, stdout, stderr } = quern("quantize", "f16.gguf", "-o", "q4.gguf", "--json", "q4.json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^q4\.gguf: Q4_K_M, weights .* → .* in /);
    expect(stdout).toMatch(/^blk\.\*\.ffn_up\.weight +8 +F16 +Q4_K +.* [67]\.\d+ %$/m);
    expect(stdout).toMatch(/^output_norm\.weight +1 +F32 +copied/m);
    const types = typesOf("q4.gguf");
    expect(types["output.weight"]).toBe("Q6_K");
    expect([0, 1, 2, 3, 4, 5, 6, 7].filter((layer) => types[`blk.${layer}.attn_v.weight`] === "Q6_K")).toEqual([
      0, 3, 6, 7,
    ]);
    const [before, after] = [readGgufFile(path("f16.gguf")), readGgufFile(path("q4.gguf"))];
    expect(after.metadata.number("general.file_type")).toBe(15);
    expect(after.metadata.strings("tokenizer.ggml.tokens")).toEqual(before.metadata.strings("tokenizer.ggml.tokens"));
    const name = "blk.5.ffn_gate.weight";
    const [values, found] = [tensorData(before, name), tensorData(after, name)];
    const power = (list: Float32Array): number => Math.sqrt(list.reduce((sum, value) => sum + value * value, 0));
    const error = power(values.map((value, i) => value - found[i]!)) / power(values);
    const summary = JSON.parse(readFileSync(path("q4.json"), "utf8")) as { tensors: { name: string; error: number }[] };
    expect(summary.tensors.find((tensor) => tensor.name === name)!.error).toBeCloseTo(error, 6);
    expect(error).toBeLessThan(0.0735);
  });

  it("reports rows that are no multiple of a block, and weights that were quantised before", () => {
    quern("synth", "llama", "--width", "96", "--heads", "2", "--ff", "160", "-o", "odd.gguf", "--quant", "Q8_0");
    const { code, stdout } = quern("quantize", "odd.gguf", "-o", "odd-q4.gguf", "--quant", "q4_k_s");
    expect(code).toBe(0);
    expect(stdout).toContain("have rows that are no multiple of a block of 256: ");
    expect(stdout).toContain("Q5_0 in place of Q4_K");
    expect(stdout).toContain("had been quantised before");
    expect(typesOf("odd-q4.gguf")["blk.1.ffn_up.weight"]).toBe("Q5_0");
  });

  it("the same types again are the same bytes", () => {
    quern("quantize", "f16.gguf", "-o", "q8.gguf", "--quant", "Q8_0");
    const { code, stdout } = quern("quantize", "q8.gguf", "-o", "q8-again.gguf", "--quant", "Q8_0");
    expect(code).toBe(0);
    expect(stdout).not.toContain("%");
    expect(readFileSync(path("q8-again.gguf"))).toEqual(readFileSync(path("q8.gguf")));
  });

  it("weights that are not finite leave no file behind, and an older one as it is", () => {
    const sink = new MemorySink();
    const tensors = [{ name: "output.weight", shape: [2, 256], type: blockTypeNamed("F32")! }];
    const writer = new GgufWriter(sink, { metadata: [], tensors });
    const values = new Float32Array(512);
    values[300] = Number.NaN;
    writer.tensor("output.weight", new Uint8Array(values.buffer));
    writer.finish();
    writeFileSync(path("nan.gguf"), sink.bytes());
    mkdirSync(path("out"));
    writeFileSync(path("out/model.gguf"), "older");
    const { code, stdout, stderr } = quern("quantize", "nan.gguf", "-o", "out/model.gguf");
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("value 300 is NaN, only finite numbers can be encoded");
    expect(stderr).toContain('tensor "output.weight"');
    expect(readdirSync(path("out"))).toEqual(["model.gguf"]);
    expect(readFileSync(path("out/model.gguf"), "utf8")).toBe("older");
  });

  it("refuses what is no GGUF file", () => {
    writeFileSync(path("text.gguf"), "this is a text");
    const { code, stderr } = quern("quantize", "text.gguf", "-o", "x.gguf");
    expect(code).toBe(2);
    expect(stderr).toContain("the file does not start with GGUF");
  });
});
