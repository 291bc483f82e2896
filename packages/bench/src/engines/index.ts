/** The engines that `quern bench` knows, one record each. */

import { UserError } from "@quern/core";
import { cublas } from "./cublas.ts";
import type { Engine } from "./engine.ts";
import { javascript } from "./javascript.ts";
import { onnxruntimeWeb, onnxruntimeWebDefaults } from "./onnxruntime-web.ts";
import { onnxruntimeWebgpu, onnxruntimeWebgpuDefaults } from "./onnxruntime-webgpu.ts";
import { onnxruntime, onnxruntimeDefaults } from "./onnxruntime.ts";
import { openblas, openblasDefaults } from "./openblas.ts";
import { quern, quernDefaults, quernGpu, quernReference } from "./quern.ts";
import { transformersJs, transformersJsDefaults } from "./transformers.ts";

export const engines: readonly Engine[] = [
  quern,
  quernDefaults,
  quernReference,
  quernGpu,
  onnxruntime,
  onnxruntimeDefaults,
  onnxruntimeWebgpu,
  onnxruntimeWebgpuDefaults,
  onnxruntimeWeb,
  onnxruntimeWebDefaults,
  transformersJs,
  transformersJsDefaults,
  openblas,
  openblasDefaults,
  cublas,
  javascript,
];

export function engineNamed(name: string): Engine {
  const found = engines.find((engine) => engine.name === name);
  if (found !== undefined) return found;
  const names = engines.map((engine) => engine.name).join(", ");
  throw new UserError(`there is no engine "${name}"`, { where: "--engines", hint: `Choose from: ${names}.` });
}

/** The engines named, each followed by the record of its default settings where there is one. */
export function withDefaults(names: readonly string[]): string[] {
  return names.flatMap((name) => [
    name,
    ...engines.filter((engine) => engine.variantOf === name && !names.includes(engine.name)).map((one) => one.name),
  ]);
}
