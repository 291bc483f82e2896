import { describe, expect, it } from "vitest";
import { llmEngineNamed, llmEngines } from "../engines/llm-engines.ts";
import { judgeLogits } from "./judge-logits.ts";

const right = Float32Array.of(1, -2, 3, 0.5);
const wrong = Float32Array.of(-3, 2, -1, 4);

/** Who is held against whom, and whether they agree. The engines named in `astray` computed something else. */
function judged(engines: readonly string[], ...astray: readonly string[]): string[] {
  const shown = engines.map((engine) => ({ engine, rows: [astray.includes(engine) ? wrong : right] }));
  return judgeLogits(shown)
    .map(({ engine, against, differs }) => `${engine} ${differs === undefined ? "=" : "≠"} ${against}`)
    .toSorted();
}

describe("judgeLogits", () => {
  it("holds others against the baseline, wherever it is named, and the baseline agrees with those", () => {
    for (const engines of [
      ["quern", "llama.cpp"],
      ["llama.cpp", "quern"],
    ]) {
      expect(judged(engines)).toEqual(["llama.cpp = quern", "quern = llama.cpp"]);
      expect(judged(engines, "quern")).toEqual(["quern ≠ llama.cpp"]);
      expect(judged(engines, "llama.cpp")).toEqual(["quern ≠ llama.cpp"]);
    }
  });

  it.each([[["quern", "quern-defaults"]], [["llama.cpp", "llama.cpp-no-fa", "llama.cpp-defaults"]], [["quern"]], [[]]])(
    "%j run the same code: that they agree proves nothing",
    (engines) => {
      expect(judged(engines)).toEqual([]);
      expect(judged(engines, ...engines)).toEqual([]);
    },
  );

  it("the same code with other results is wrong", () => {
    expect(judged(["quern", "quern-defaults"], "quern-defaults")).toEqual(["quern-defaults ≠ quern"]);
    expect(judged(["quern", "llama.cpp", "llama.cpp-defaults"], "quern", "llama.cpp-defaults")).toEqual([
      "llama.cpp-defaults ≠ llama.cpp",
      "quern ≠ llama.cpp",
    ]);
  });

  it("holds the baseline's family against an engine of another one that agrees with the baseline", () => {
    const engines = ["quern", "quern-defaults", "llama.cpp", "llama.cpp-defaults"];
    expect(judged(engines)).toEqual([
      "llama.cpp = quern",
      "llama.cpp = quern-defaults",
      "llama.cpp-defaults = quern",
      "quern = llama.cpp",
      "quern-defaults = llama.cpp",
    ]);
    expect(judged(engines, "quern")).toEqual([
      "llama.cpp = quern-defaults",
      "llama.cpp-defaults = quern-defaults",
      "quern ≠ llama.cpp",
      "quern-defaults = llama.cpp",
    ]);
    expect(judged(engines, "quern", "quern-defaults")).toEqual(["quern ≠ llama.cpp", "quern-defaults ≠ llama.cpp"]);
  });

  it("trusts the family of the baseline where the baseline is missing", () => {
    expect(judged(["quern", "llama.cpp-defaults"], "quern")).toEqual(["quern ≠ llama.cpp-defaults"]);
  });
});

it("a record of default settings is of the family of the best ones", () => {
  for (const { name, family, variantOf = name } of llmEngines) {
    expect(llmEngineNamed(variantOf).family, name).toBe(family);
  }
});
