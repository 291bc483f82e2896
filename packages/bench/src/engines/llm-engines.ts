/** The engines that `quern bench llm` knows, one record each. */

import { UserError } from "@quern/core";
import { llamaCppAuto, llamaCppPlain } from "./llama-cpp.ts";
import type { LlmEngine } from "./llm-engine.ts";
import { quernLlm } from "./quern-llm.ts";

export const llmEngines: readonly LlmEngine[] = [quernLlm, llamaCppAuto, llamaCppPlain];

export function llmEngineNamed(name: string): LlmEngine {
  const found = llmEngines.find((engine) => engine.name === name);
  if (found !== undefined) return found;
  const names = llmEngines.map((engine) => engine.name).join(", ");
  throw new UserError(`there is no engine "${name}" for language models`, {
    where: "--engines",
    hint: `Choose from: ${names}.`,
  });
}
