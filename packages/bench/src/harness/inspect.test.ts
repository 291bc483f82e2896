import { InternalError, UserError } from "@quern/core";
import { describe, expect, it } from "vitest";
import type { ModelValue } from "../cases/model.ts";
import { engineNamed } from "../engines/index.ts";
import { inspectInputs, modelRefusal } from "./inspect.ts";

const inputs: readonly ModelValue[] = [{ name: "x", dtype: "f32", shape: [1, "n"] }];

/** Asks engines of which those in `failing` cannot read the model; out: who was asked, and what was found. */
async function inspect(
  names: readonly string[],
  failing: readonly string[],
): Promise<{ readonly asked: readonly string[]; readonly found: readonly ModelValue[] }> {
  const asked: string[] = [];
  const found = await inspectInputs(names, "/models/net.onnx", async (engine) => {
    asked.push(engine);
    if (failing.includes(engine)) throw new UserError(`${engine} has no such op`);
    return inputs;
  });
  return { asked, found };
}

describe("the inputs of a model", () => {
  it("are those that the first engine says", async () => {
    expect(await inspect(["onnxruntime", "quern"], [])).toEqual({ asked: ["onnxruntime"], found: inputs });
  });

  it("are those of the next engine where the first one cannot read it", async () => {
    expect(await inspect(["onnxruntime", "quern"], ["onnxruntime"])).toEqual({
      asked: ["onnxruntime", "quern"],
      found: inputs,
    });
  });

  it("are not asked of engines without models, nor twice of one engine at other settings", async () => {
    const names = ["javascript", "openblas", "onnxruntime-defaults", "onnxruntime", "onnxruntime-webgpu", "quern"];
    const { asked } = await inspect(names, ["onnxruntime", "onnxruntime-webgpu"]);
    expect(asked).toEqual(["onnxruntime", "onnxruntime-webgpu", "quern"]);
  });

  it("that no engine can read are an error with what each of them says", async () => {
    await expect(inspect(["quern"], ["quern"])).rejects.toThrow(/^quern has no such op$/);
    await expect(inspect(["quern", "onnxruntime"], ["quern", "onnxruntime"])).rejects.toThrow(
      /no engine can read[^]*quern: quern has no such op[^]*onnxruntime: onnxruntime has no such op[^]*net\.onnx/,
    );
    await expect(inspect(["javascript"], [])).rejects.toThrow(/none of the engines runs this model[^]*--engines/);
  });

  it("through a defect are an error at once", async () => {
    const lost = inspectInputs(["quern", "onnxruntime"], "m.onnx", async (engine) => {
      if (engine === "quern") throw new InternalError("lost");
      return inputs;
    });
    await expect(lost).rejects.toThrow("lost");
  });
});

describe("an engine without models", () => {
  it.each([
    ["javascript", "plain loops are for matrix products and ops"],
    ["openblas", "it has matrix products only"],
    ["transformers.js", "transformers.js loads models with a config.json"],
    ["onnxruntime", undefined],
    ["quern", undefined],
  ])("%s: %s", (name, reason) => {
    expect(modelRefusal(engineNamed(name), "/nowhere/net.onnx")).toBe(reason);
  });
});
