/** `quern doctor MODEL`: models that run, models that do not, and what is said about both. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { blockTypeNamed } from "@quern/core";
import { type GgufValue, GgufWriter, MemorySink, parseGguf } from "@quern/importers/gguf";
import { synthGguf } from "@quern/llm/synth";
import { beforeAll, describe, expect, it } from "vitest";
import { type ModelDiagnosis, diagnoseModel } from "./model-diagnosis.ts";
import { spawnedCli } from "./spawn-cli.test-support.ts";

const { folder, quern } = spawnedCli("doctor");
const path = (name: string): string => join(folder, name);

/** The small llama with other metadata, and matrices of another type, whose bytes are zeros. */
function writeChanged(
  name: string,
  change: (metadata: Map<string, GgufValue>) => void,
  type?: { readonly of: RegExp; readonly to: string },
): string {
  const { metadata, tensors } = parseGguf(synthGguf({ model: "llama", quant: "Q4_K_M", changes: { layers: 2 } }));
  const values = new Map(metadata.values);
  change(values);
  const plans = [...tensors.values()].map((tensor) =>
    type?.of.test(tensor.name) === true ? { ...tensor, type: blockTypeNamed(type.to)!, bytes: undefined } : tensor,
  );
  const sink = new MemorySink();
  const writer = new GgufWriter(sink, { metadata: values, tensors: plans });
  for (const { name: tensor, shape, type: to, bytes } of plans) {
    const size = (shape.reduce((product, dim) => product * dim, 1) / to.blockWeights) * to.blockBytes;
    writer.tensor(tensor, bytes ?? new Uint8Array(size));
  }
  writer.finish();
  writeFileSync(path(name), sink.bytes());
  return path(name);
}

const text = (value: string): GgufValue => ({ type: "string", value });

function condition({ findings }: ModelDiagnosis, name: string): string | undefined {
  return findings.find((finding) => finding.name === name)?.condition;
}

function detail({ findings }: ModelDiagnosis, name: string): string | undefined {
  return findings.find((finding) => finding.name === name)?.detail;
}

beforeAll(() => void writeChanged("fine.gguf", () => {}));

describe("as users meet it", () => {
  it("a model that runs", () => {
    const { code, stdout, stderr } = quern("doctor", "fine.gguf");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^fine\.gguf: synthetic tiny-llama, llama, .* million weights, Q4_K_M, /);
    for (const line of [
      "✓ runs on this build",
      /✓ architecture +llama, all tensors/,
      /✓ Q4_K kernels +\d+ matrices, computed on as they are stored/,
      /✓ tokenizer +gpt2, llama-bpe, \d+ tokens/,
      /✓ chat template +renders/,
      /✓ memory +.* weights \+ .* cache for \d+ tokens as f16 = /,
    ])
      expect(stdout).toMatch(line);
  });

  it("--json - prints JSON and nothing else; --context and --kv change the memory", () => {
    const cache = (...args: string[]): number => {
      const { code, stdout } = quern("doctor", "fine.gguf", "--json", "-", ...args);
      expect(code).toBe(0);
      return (JSON.parse(stdout) as ModelDiagnosis).memory!.cache;
    };
    const thousand = cache("--context", "1000");
    expect(cache("--context", "2000")).toBe(2 * thousand);
    expect(cache("--context", "1000", "--kv", "f32")).toBe(2 * thousand);
  });

  it("a model that does not run is exit code 1", () => {
    writeChanged("bloom.gguf", (metadata) => metadata.set("general.architecture", text("bloom")));
    const { code, stdout, stderr } = quern("doctor", "bloom.gguf");
    expect([code, stderr]).toEqual([1, ""]);
    expect(stdout).toContain("✗ does not run on this build");
    expect(stdout).toMatch(/✗ architecture +architecture "bloom" is not supported/);
    expect(stdout).toContain("supported are llama, ");
    expect(stdout).toMatch(/✓ tokenizer /);
  });

  it("--bench asks the machine: exit code 3 where a gate cannot be trusted", () => {
    const { code, stdout, stderr } = quern("doctor", "--bench", "--json", "-");
    expect(stderr).toBe("");
    const { fit, findings } = JSON.parse(stdout) as { fit: boolean; findings: { name: string }[] };
    expect(code).toBe(fit ? 0 : 3);
    expect(findings.map(({ name }) => name)).toContain("counters");
  });

  it.each([
    [["doctor", "missing.gguf"], "the model file does not exist"],
    [["doctor", "text.gguf"], "the file is no GGUF file"],
    [["doctor", "cut.gguf"], "cut.gguf"],
    [["doctor", "fine.gguf", "--bench"], "--bench is about the machine"],
    [["doctor", "--bench", "--kv", "f16"], "cannot be used with option"],
    [["doctor", "--context", "4096"], "--context is of use with a model only"],
    [["doctor", "fine.gguf", "--kv", "q2"], 'there is no cache format "q2"'],
    [["doctor", "fine.gguf", "--json", "/proc/nowhere/x.json"], "the file cannot be written"],
  ])("%j is refused", (args, message) => {
    writeFileSync(path("text.gguf"), "this is a text");
    writeFileSync(path("cut.gguf"), synthGguf({ model: "llama" }).subarray(0, 5000));
    const { code, stdout, stderr } = quern(...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at .*\.ts:\d+/m);
    expect([code, stdout]).toEqual([2, ""]);
  });
});

describe("what is found", () => {
  it("weights without kernels, and what they take as floats", () => {
    const file = writeChanged("slow.gguf", () => {}, { of: /ffn_(up|gate)\.weight$/, to: "TQ2_0" });
    const found = diagnoseModel(file);
    expect(found.runs).toBe(true);
    expect(condition(found, "TQ2_0 kernels")).toBe("slow");
    expect(detail(found, "TQ2_0 kernels")).toMatch(/^4 of 4 matrices become 32-bit floats: /);
    const up = parseGguf(synthGguf({ model: "llama" })).tensors.get("blk.0.ffn_up.weight")!;
    const elements = up.shape.reduce((product, dim) => product * dim, 1);
    const { blockBytes, blockWeights } = blockTypeNamed("TQ2_0")!;
    expect(found.memory!.expanded).toBe(4 * elements * (4 - blockBytes / blockWeights));
    expect(found.hints[0]).toContain("quern quantize");
  });

  it("too little memory, by weights or by cache", () => {
    const file = path("fine.gguf");
    const weights = diagnoseModel(file, { available: 1000, context: 16 });
    expect([weights.runs, condition(weights, "memory")]).toEqual([true, "slow"]);
    expect(weights.hints[0]).toContain("the weights do not fit");
    expect(diagnoseModel(file, { available: 1000, context: 100_000 }).hints[0]).toContain("--kv q8_0");
    expect(condition(diagnoseModel(file, { available: 1e12 }), "memory")).toBe("fine");
    expect(condition(diagnoseModel(file, { available: null }), "memory")).toBe("fine");
  });

  it("a vocabulary that cannot be read", () => {
    const file = writeChanged("words.gguf", (metadata) => metadata.set("tokenizer.ggml.pre", text("nobody-knows")));
    const found = diagnoseModel(file);
    expect([found.runs, condition(found, "tokenizer"), condition(found, "architecture")]).toEqual([
      false,
      "broken",
      "fine",
    ]);
    expect(detail(found, "tokenizer")).toContain("nobody-knows");
  });

  it.each([
    ["none", undefined, "missing", "none"],
    ["one that refuses", "{{ raise_exception('never') }}", "slow", "never"],
    ["one that cannot be parsed", "{% for %}", "slow", "fails on a plain conversation"],
    [
      "one without system messages",
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ m.content }}{% endfor %}",
      "fine",
      "refuses system messages",
    ],
  ])("chat template: %s", (_, template, expected, words) => {
    const file = writeChanged("template.gguf", (metadata) => {
      if (template === undefined) metadata.delete("tokenizer.chat_template");
      else metadata.set("tokenizer.chat_template", text(template));
    });
    const found = diagnoseModel(file);
    expect([found.runs, condition(found, "chat template")]).toEqual([true, expected]);
    expect(detail(found, "chat template")).toContain(words);
    if (expected !== "fine") expect(found.hints.join("\n")).toContain("quern chat --template FILE");
  });

  it("tensors that do not fit the metadata", () => {
    const key = "llama.feed_forward_length";
    const file = writeChanged("shape.gguf", (metadata) => metadata.set(key, { type: "u32", value: 96 }));
    const found = diagnoseModel(file);
    expect([found.runs, condition(found, "architecture")]).toEqual([false, "broken"]);
    expect(detail(found, "architecture")).toContain("ffn_gate.weight");
    expect(found.memory).not.toBeNull();
  });
});
