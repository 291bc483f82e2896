/** The engines that `quern bench llm` knows, one record each. */

import { UserError } from "@quern/core";
import { llamaCppAuto, llamaCppDefaults, llamaCppPlain } from "./llama-cpp.ts";
import type { LlmEngine } from "./llm-engine.ts";
import { quernLlm, quernLlmDefaults } from "./quern-llm.ts";

export const llmEngines: readonly LlmEngine[] = [
  quernLlm,
  quernLlmDefaults,
  llamaCppAuto,
  llamaCppPlain,
  llamaCppDefaults,
];

/** The engines named, each followed by the record of its default settings where there is one. */
export function withLlmDefaults(names: readonly string[]): string[] {
  return names.flatMap((name) => [
    name,
    ...llmEngines.filter((engine) => engine.variantOf === name && !names.includes(engine.name)).map((one) => one.name),
  ]);
}

export function llmEngineNamed(name: string): LlmEngine {
  const found = llmEngines.find((engine) => engine.name === name);
  if (found !== undefined) return found;
  const names = llmEngines.map((engine) => engine.name).join(", ");
  throw new UserError(`there is no engine "${name}" for language models`, {
    where: "--engines",
    hint: `Choose from: ${names}.`,
  });
}
