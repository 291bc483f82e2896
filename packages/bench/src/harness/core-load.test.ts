import { expect, it } from "vitest";
import { engineNamed } from "../engines/index.ts";
import { llmEngines } from "../engines/llm-engines.ts";
import { coreFact, coreLoadOf, noteCoreLoad } from "./core-load.ts";

it("the core counts to loading the engines that are made with it, and to no other", () => {
  expect(() => coreLoadOf({ madeWithCore: true })).toThrow("was not timed");
  noteCoreLoad(12);
  for (const name of ["quern", "quern-defaults", "quern-reference", "quern-gpu"]) {
    expect(coreLoadOf(engineNamed(name)), name).toBe(12);
  }
  for (const name of ["onnxruntime", "onnxruntime-defaults", "openblas", "javascript"]) {
    expect(coreLoadOf(engineNamed(name)), name).toBe(0);
  }
  const llm = llmEngines.map((engine) => [engine.name.startsWith("quern"), coreLoadOf(engine)]);
  expect(coreFact("load", engineNamed("quern"))).toEqual({ coreIncluded: true });
  expect([coreFact("load", engineNamed("onnxruntime")), coreFact("compile", engineNamed("quern"))]).toEqual([{}, {}]);
  expect(llm.filter(([ours, ms]) => ms !== (ours === true ? 12 : 0))).toEqual([]);
});
