import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { changed } from "./changed.test-support.ts";
import { sampleGate } from "./sample-gate.ts";
import { sampleResults } from "./sample-results.ts";
import { resultsSchema } from "./schema.ts";

const shipped = new URL("../../schema/quern.results.1.schema.json", import.meta.url);
const ajv = new Ajv2020({ strict: true, formats: { "date-time": (text: string) => !Number.isNaN(Date.parse(text)) } });
const validate = ajv.compile(resultsSchema);

describe("quern.results/1", () => {
  it("the shipped JSON Schema is the one that the types come from", () => {
    const text = `${JSON.stringify(resultsSchema, null, 2)}\n`;
    if (process.env["QUERN_BLESS"] === "1") writeFileSync(shipped, text);
    expect(existsSync(shipped), "nothing shipped: QUERN_BLESS=1 writes it").toBe(true);
    expect(JSON.parse(readFileSync(shipped, "utf8"))).toEqual(JSON.parse(text));
  });

  it("accepts a result file, before and after JSON", () => {
    validate(sampleResults());
    expect(validate.errors).toBeNull();
    expect(validate(JSON.parse(JSON.stringify(sampleResults())))).toBe(true);
  });

  it.each([
    ["another version", ["schema"], "quern.results/2"],
    ["no machine", ["machine"], undefined],
    ["no date", ["createdAt"], "yesterday"],
    ["a ratio as text", ["comparisons", 0, "ratio"], "2×"],
    ["an unknown phase", ["results", 0, "phase"], "warm"],
    ["an unknown precision", ["results", 0, "precision"], "exact"],
    ["samples that are no numbers", ["results", 0, "samples"], [null]],
    ["no verification", ["results", 0, "verified"], undefined],
    ["half a thread", ["results", 0, "threads"], 1.5],
  ])("refuses %s", (_, path, value) => {
    expect(validate(changed(sampleResults(), path, value))).toBe(false);
  });

  describe("a gate run whose builds are the same, or loaded what is not theirs", () => {
    const gate = sampleGate();
    const identical = {
      ...gate,
      run: { ...gate.run, identical: true },
      benches: [],
      summary: { verdict: "IDENTICAL", exitCode: 0, geomean: null },
    };
    const withFiles = (foreignFiles: unknown): unknown => ({
      ...gate,
      environment: { ...gate.environment, foreignFiles },
    });

    it("is accepted", () => {
      const allNew = {
        ...identical,
        run: { ...gate.run, allNew: true },
        summary: { ...identical.summary, verdict: "NEW" },
      };
      for (const results of [gate, identical, allNew, withFiles(["head loaded a file of base: /x"])]) {
        validate(results);
        expect(validate.errors).toBeNull();
      }
    });

    it("is refused where a member has another type", () => {
      expect(validate({ ...identical, run: { ...gate.run, identical: "yes" } })).toBe(false);
      expect(validate({ ...identical, run: { ...gate.run, allNew: "yes" } })).toBe(false);
      expect(validate(withFiles("/x"))).toBe(false);
      expect(validate(withFiles([1]))).toBe(false);
    });
  });

  it("allows members that later versions add", () => {
    expect(validate(changed(sampleResults(), ["results", 0, "energy"], null))).toBe(true);
  });
});
