/** The inputs of a model file, from the first engine that can read it. */

import { UserError } from "@quern/core";
import type { ModelValue } from "../cases/model.ts";
import type { Workload } from "../cases/workload.ts";
import type { Engine } from "../engines/engine.ts";
import { engineNamed } from "../engines/index.ts";

/** Why an engine has no models, or not this one: it is for matrix products, for instance. Undefined where it can try. */
export function modelRefusal(engine: Engine, modelPath: string): string | undefined {
  // A model of which nothing is known yet.
  const workload: Workload = {
    id: "model",
    kind: "model",
    dtype: "f32",
    shape: "",
    modelPath,
    inputs: [],
    sets: 1,
    check: { kind: "files", directory: "", oracle: "" },
    flops: null,
    bytes: null,
  };
  return engine.supports(workload, { threads: 1, precision: "highest", idle: "blocked" });
}

/**
 * Asks the engines of these names in their order. Another engine may read what one of them cannot, and is measured then. Throws
 * a `UserError` with what each of them said where none can.
 */
export async function inspectInputs(
  names: readonly string[],
  modelPath: string,
  ask: (engine: string) => Promise<readonly ModelValue[]>,
): Promise<readonly ModelValue[]> {
  const failures: { readonly name: string; readonly error: UserError }[] = [];
  for (const name of names) {
    const engine = engineNamed(name);
    // With other settings it reads the same.
    const asked = engine.variantOf !== undefined && names.includes(engine.variantOf);
    if (asked || modelRefusal(engine, modelPath) !== undefined) continue;
    try {
      return await ask(name);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push({ name, error });
    }
  }
  const [first, ...others] = failures;
  if (first === undefined) {
    throw new UserError("none of the engines runs this model", {
      where: modelPath,
      hint: "Name one in --engines that does: quern, or onnxruntime.",
    });
  }
  if (others.length === 0) throw first.error;
  const said = failures.map(({ name, error }) => `${name}: ${error.message}`);
  throw new UserError(["no engine can read the model", ...said].join("\n  "), { where: modelPath, cause: first.error });
}
