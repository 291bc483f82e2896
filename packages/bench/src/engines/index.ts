/** The engines that `quern bench` knows, one record each. */

import { UserError } from "@quern/core";
import type { Engine } from "./engine.ts";
import { onnxruntime } from "./onnxruntime.ts";
import { quern, quernGpu, quernReference } from "./quern.ts";

export const engines: readonly Engine[] = [quern, quernReference, quernGpu, onnxruntime];

export function engineNamed(name: string): Engine {
  const found = engines.find((engine) => engine.name === name);
  if (found !== undefined) return found;
  const names = engines.map((engine) => engine.name).join(", ");
  throw new UserError(`there is no engine "${name}"`, { where: "--engines", hint: `Choose from: ${names}.` });
}
