import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { UserError } from "@quern/core";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { changed } from "./changed.test-support.ts";
import { parseResults, readResults } from "./read.ts";
import { sampleGate } from "./sample-gate.ts";
import { sampleResults } from "./sample-results.ts";
import { resultsSchema, type Results } from "./schema.ts";
import { acceptValue, type JsonSchema } from "./validate.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-read-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("reading results", () => {
  it.each([
    ["engines", sampleResults()],
    ["a gate run", sampleGate()],
  ])("gives back what was written: %s", (name, results) => {
    const text = JSON.stringify(results);
    expect(readResults(file("plain.json", text)), name).toEqual(results);
    expect(readResults(file("packed.json.gz", gzipSync(text))), name).toEqual(results);
  });

  it.each([
    ["a later version", '{"schema":"quern.results/2"}', "the results are of version 2, and this quern reads version 1"],
    ["no version", '{"results":[]}', "this is no result file of quern"],
    ["another kind of file", '{"schema":"quern.results/one"}', "this is no result file of quern"],
    ["a list", "[]", "this is no result file of quern"],
    ["null", "null", "this is no result file of quern"],
    ["half a file", JSON.stringify(sampleResults()).slice(0, 500), "the file is not valid JSON"],
    ["nothing", "", "the file is not valid JSON"],
    ["deep nesting", "[".repeat(3_000_000), "the file is not valid JSON"],
  ])("refuses %s", (_, text, message) => {
    expect(messageOf(() => parseResults(text, "r.json"))).toContain(`${message}\n  at r.json`);
  });

  it.each([
    ["machine", ["machine"], undefined, 'the file: "machine" is missing'],
    ["text for a number", ["comparisons", 0, "ratio"], "2×", 'comparisons[0].ratio: expected number, found "2\\u00d7"'],
    ["a verdict", ["benches", 1, "verdict"], "FINE", 'benches[1].verdict: expected one of "REGRESSED", "IMPROVED"'],
    ["a time of zero", ["benches", 0, "stages", 0, "pairs", 1, "base", 2], 0, "pairs[1].base[2]: 0 is not more than 0"],
    ["a share of 2", ["environment", "controls", 0, "disturbed"], 2, "controls[0].disturbed: 2 is more than 1"],
    ["half an estimate", ["benches", 0, "estimate", "p"], undefined, 'benches[0].estimate: "p" is missing'],
    ["a round less", ["benches", 0, "stages", 0, "pairs", 0, "head"], [1], "pairs[0]: 4 rounds of base and 1 of head"],
    ["a long text", ["benches", 0, "id"], "x".repeat(70_000), "benches[0].id: a text of 70000 characters"],
    ["a date", ["run", "startedAt"], "now", 'run.startedAt: expected a date with a time, found "now"'],
  ])("names the first thing that is wrong: %s", (_, path, value, message) => {
    const results = { ...sampleGate(), comparisons: sampleResults().comparisons };
    const text = JSON.stringify(changed(results, path, value));
    const found = messageOf(() => parseResults(text, "r.json"));
    expect(found).toContain("the results are not of the form quern.results/1: ");
    expect(found).toContain(message);
  });

  it("takes no infinity for a number", () => {
    const text = JSON.stringify(sampleResults()).replace('"ratio":2,', '"ratio":1e999,');
    expect(messageOf(() => parseResults(text, "r.json"))).toContain("comparisons[0].ratio: expected number");
  });

  it("shows control characters of a file only escaped", () => {
    const text = JSON.stringify(changed(sampleGate(), ["benches", 0, "verdict"], "\u001b[31m\u009b\u202e\u0000 evil"));
    // Line breaks separate the parts of a message.
    expect(messageOf(() => parseResults(text, "r.json"))).toMatch(/^[\n -~…]*$/);
  });

  it("lets no member change objects of the program", () => {
    const text = JSON.stringify(sampleGate());
    const poisoned = text.replace('"facts":{', '"facts":{"__proto__":{"polluted":"yes"},');
    expect(poisoned).not.toBe(text);
    expect(messageOf(() => parseResults(poisoned, "r.json"))).toContain('a member may not be named "__proto__"');
    // Beside the members of the schema it is dropped like any other.
    const beside = parseResults(text.replace("{", '{"__proto__":{"polluted":"yes"},"more":[1],'), "r.json");
    expect(beside).toEqual(sampleGate());
    expect("polluted" in {}).toBe(false);
    expect(Object.getPrototypeOf(beside)).toBe(Object.prototype);
  });

  it("bounds what it reads", () => {
    const text = JSON.stringify(sampleResults());
    expect(messageOf(() => readResults(file("large.json", text), 1000))).toContain("the file is larger than 0 MiB");
    const bomb = file("bomb.json.gz", gzipSync(Buffer.alloc(8 * 2 ** 20, " ")));
    expect(messageOf(() => readResults(bomb, 2 ** 20))).toContain("the file is larger than 1 MiB");
  });

  it("names a missing file, a folder, text that is none", () => {
    expect(messageOf(() => readResults(join(folder, "none.json")))).toContain("there is no such file");
    mkdirSync(join(folder, "sub"));
    expect(messageOf(() => readResults(join(folder, "sub")))).toContain("this is a folder, not a file");
    expect(messageOf(() => readResults("/dev/zero"))).toContain("this is no regular file");
    expect(messageOf(() => readResults(file("latin.json", Uint8Array.of(0x22, 0xe9, 0x22))))).toContain(
      "no text in UTF-8",
    );
    expect(messageOf(() => readResults(file("cut.gz", Uint8Array.of(0x1f, 0x8b, 8))))).toContain("cannot be read");
  });
});

describe("the validator", () => {
  it("understands every keyword of the schema", () => {
    const known = new Set(
      [
        "type const enum anyOf required properties additionalProperties items minimum maximum exclusiveMinimum format",
        "$schema $id title description", // say nothing about values
      ].flatMap((words) => words.split(" ")),
    );
    const visit = (schema: JsonSchema): void => {
      expect(Object.keys(schema).filter((keyword) => !known.has(keyword))).toEqual([]);
      for (const part of [schema.items, schema.additionalProperties, ...(schema.anyOf ?? [])]) if (part) visit(part);
      for (const part of Object.values(schema.properties ?? {})) visit(part);
    };
    visit(resultsSchema);
  });

  it("judges as ajv does, on files with random damage", () => {
    const validate = new Ajv2020({
      strict: true,
      formats: { "date-time": (text: string) => /^\d{4}-.*T.*Z$/.test(text) && !Number.isNaN(Date.parse(text)) },
    }).compile(resultsSchema);
    const seed = Number(process.env["QUERN_SEED"] ?? 20261);
    const random = new Random(seed);
    const base = sampleGate();
    const small = {
      ...base,
      results: sampleResults().results,
      comparisons: sampleResults().comparisons,
      benches: base.benches?.map((bench) => ({
        ...bench,
        stages: bench.stages.map(({ stage, pairs }) => ({ stage, pairs: pairs.slice(0, 1) })),
      })),
    } as Results;
    const odd = [null, 0, -1, 2.5, "", "x", true, [], {}, [1], ["a"], { a: 1 }, undefined];
    let refused = 0;
    for (let turn = 0; turn < 2000; turn++) {
      const path: (string | number)[] = [];
      let value: unknown = small;
      while (typeof value === "object" && value !== null && Object.keys(value).length > 0) {
        const keys = Object.keys(value);
        const key = keys[random.below(keys.length)] as string;
        path.push(Array.isArray(value) ? Number(key) : key);
        value = (value as Record<string, unknown>)[key];
        if (random.uniform() < 0.15) break;
      }
      const damaged = changed(small, path, odd[random.below(odd.length)]);
      if (Array.isArray(value)) continue; // an array with a hole is no JSON
      const copy = JSON.parse(JSON.stringify(damaged)) as unknown;
      const ajvAccepts = validate(copy);
      let accepts = true;
      try {
        acceptValue(resultsSchema, copy);
      } catch {
        accepts = false;
      }
      expect(accepts, `QUERN_SEED=${seed}, turn ${turn}, ${path.join(".")}`).toBe(ajvAccepts);
      if (!accepts) refused++;
    }
    expect(refused).toBeGreaterThan(500);
  });
});
