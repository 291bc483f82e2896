/** `quern bench llm` and `quern perplexity` as users meet them: spawned, with exit codes, streams and files. */

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Results } from "@quern/bench";
import { synthGguf } from "@quern/llm/synth";
import { describe, expect, it } from "vitest";
import { spawnedCli } from "./spawn-cli.test-support.ts";

const { folder, quern } = spawnedCli("language-bench", { ownCache: true });

writeFileSync(join(folder, "tiny.gguf"), synthGguf({ model: "llama", quant: "Q8_0", changes: { layers: 1 } }));
writeFileSync(join(folder, "spoiled.gguf"), "GGUF, but not for long");
writeFileSync(join(folder, "text.txt"), "the quick brown fox jumps over the lazy dog, ".repeat(20));
writeFileSync(join(folder, "bytes.txt"), Uint8Array.of(0x61, 0xff, 0x62));

describe("quern bench llm", () => {
  it("--help", () => {
    const { code, stdout, stderr } = quern("bench", "llm", "--help");
    expect([code, stderr]).toEqual([0, ""]);
    for (const text of ["Usage: quern bench llm", "llama-3.2-1b", "llama.cpp", "Examples:"])
      expect(stdout).toContain(text);
  });

  it("writes a shape once, measures it, and keeps its own options from those above", () => {
    const args = ["-p", "0", "-n", "4", "--engines", "quern", "--time", "0.01", "--processes", "1"];
    const { code, stdout, stderr } = quern(
      "bench",
      "llm",
      "tiny-llama",
      "--quant",
      "Q8_0",
      ...args,
      "--json",
      "r.json",
    );
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/llm\/tiny-llama-Q8_0\/tg4 /);
    expect(stdout).toContain("tokens/s");
    const results = JSON.parse(readFileSync(join(folder, "r.json"), "utf8")) as Results;
    expect(results.settings).toMatchObject({ processes: 1, secondsPerEngine: 0.01 });
    expect(new Set(results.results.map((row) => row.case))).toEqual(
      new Set(["llm/tiny-llama-Q8_0/first-token", "llm/tiny-llama-Q8_0/tg4"]),
    );
    // Nothing to compare with: not verified, and not wrong.
    for (const row of results.results) expect(row.verified).toBeNull();
    expect(readdirSync(join(folder, "quern", "models"))).toEqual(["tiny-llama-Q8_0.gguf"]);
  });

  it("measures single tests of several quantisations, and writes a table", () => {
    const args = ["--quant", "Q8_0,F16", "--tests", "tg2@d4", "--engines", "quern", "--time", "0.01"];
    const { code, stderr } = quern("bench", "llm", "tiny-llama", ...args, "--processes", "1", "-o", "md=t.md");
    expect([code, stderr]).toEqual([0, ""]);
    const table = readFileSync(join(folder, "t.md"), "utf8");
    const cases = [...table.matchAll(/<code>llm\/tiny-llama-(\S+)<\/code>/g)].map(([, name]) => name);
    expect(cases).toEqual(expect.arrayContaining(["Q8&#95;0/tg2&#64;d4", "F16/tg2&#64;d4"]));
  });

  it.each([
    [["bench", "llm"], "missing required argument 'models'"],
    [["bench", "llm", "none.gguf"], "there is neither such a file nor such a shape"],
    [["bench", "llm", "tiny.gguf", "--engines", "torch"], 'there is no engine "torch" for language models'],
    [["bench", "llm", "tiny.gguf", "-p", "many"], '"many" is no list of numbers'],
    [["bench", "llm", "tiny.gguf", "-p", "0", "-n", "0"], "neither a prompt nor generation"],
    [["bench", "llm", "tiny.gguf", "--tests", "pp512x2"], '"pp512x2" is no list of tests'],
    [["bench", "llm", "tiny.gguf", "--tests", "pp512", "-d", "64"], "tests are named or combined, not both"],
    [["bench", "llm", "tiny-llama", "--quant", "Q8_0,Q9"], "Q9"],
    [["bench", "llm", "tiny.gguf", "-d", "4096"], "pp512@d4096 is longer than the 2048 tokens"],
    [["bench", "llm", "tiny.gguf", "--kv", "q4"], 'there is no cache format "q4"'],
    [["bench", "llm", "tiny.gguf", "--quant", "Q9"], "Q9"],
    [["bench", "llm", "tiny.gguf", "--quant", "Q8_0"], "files are measured as they are"],
    [["bench", "--time", "0.01", "llm", "tiny.gguf"], "--time would be ignored before llm"],
    [["bench", "llm", "spoiled.gguf"], "spoiled.gguf"],
  ])("%j is one message and exit code 2", (args, message) => {
    const { code, stderr } = quern(...args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});

describe("quern perplexity", () => {
  it("scores a text", () => {
    const args = ["perplexity", "tiny.gguf", "-f", "text.txt", "-c", "32"];
    const { code, stdout, stderr } = quern(...args, "--json", "p.json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(
      /^perplexity \d+\.\d{4} ± \d+\.\d{4} over \d+ tokens, the second halves of \d+ chunks of 32;/,
    );
    const found = JSON.parse(readFileSync(join(folder, "p.json"), "utf8")) as Record<string, number>;
    expect(found["tokens"]).toBe(15 * (found["chunks"] as number));
    expect(found["perplexity"]).toBeGreaterThan(1);
    const exact = quern(...args, "--chunks", "1", "--kv", "f32", "--precision", "highest", "--json", "-");
    expect(JSON.parse(exact.stdout)).toMatchObject({ chunks: 1, tokens: 15, kv: "f32", precision: "highest" });
  });

  it.each([
    [["perplexity", "tiny.gguf"], "required option '-f, --file <text>'"],
    [["perplexity", "tiny.gguf", "-f", "none.txt"], "the text cannot be read"],
    [["perplexity", "tiny.gguf", "-f", "bytes.txt"], "the text is not UTF-8"],
    [["perplexity", "spoiled.gguf", "-f", "text.txt"], "spoiled.gguf"],
    [["perplexity", "tiny.gguf", "-f", "text.txt", "-c", "1024"], "two contexts of 1024 are needed"],
    [["perplexity", "tiny.gguf", "-f", "text.txt", "-c", "9999"], "must be at most 2048, which the model was made for"],
    [["perplexity", "tiny.gguf", "-f", "text.txt", "--kv", "q4"], 'there is no cache format "q4"'],
  ])("%j is one message and exit code 2", (args, message) => {
    const { code, stderr } = quern(...args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});
