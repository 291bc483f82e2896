/** Every architecture that a step graph can be built of. */

import { UserError } from "@quern/core";
import type { Architecture } from "./architecture.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3moe } from "./qwen3moe.ts";

export const architectures: readonly Architecture[] = [llama, qwen2, qwen3, qwen3moe, gemma2, gemma3, phi3, gpt2];

/** The architecture called `name`, one of `more` first. Throws a `UserError` that lists the known ones when there is none. */
export function findArchitecture(name: string, where?: string, more: readonly Architecture[] = []): Architecture {
  const known = [...more, ...architectures];
  const found = known.find((architecture) => architecture.name === name);
  if (found !== undefined) return found;
  throw new UserError(`architecture ${JSON.stringify(name)} is not supported`, {
    where,
    hint: `supported are ${known.map((each) => each.name).join(", ")}`,
  });
}
