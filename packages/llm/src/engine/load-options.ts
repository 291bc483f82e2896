/** How a model is loaded, checked before anything is read. */

import type { GgufFile } from "@quern/importers/gguf";
import { type Device, type MatmulPrecision, UserError } from "@quern/core";
import type { CacheFormat } from "../architectures/index.ts";

export interface LoadOptions {
  /** Where it runs. */
  readonly device: Device;
  /** Longest sequence, prompt included, in tokens; at most that of the model. Default: that of the model, at most 4096. */
  readonly contextLength?: number | undefined;
  /** Tokens that the cache holds, of all sequences together; at least `contextLength`, the default. */
  readonly cacheTokens?: number | undefined;
  /** How keys and values are kept. Default: "f16". */
  readonly kv?: CacheFormat | undefined;
  /** Tokens of a page of the cache, a multiple of 16. Default: 64. */
  readonly pageSize?: number | undefined;
  /** Sequences that are computed together; others wait. Default: 8. */
  readonly maxSequences?: number | undefined;
  /** Most tokens in one step: longer prompts are computed in pieces, between which others go on. Default: 512. */
  readonly stepTokens?: number | undefined;
  /** Keeps what was computed for the beginnings of sequences and finds it again. Default: true. */
  readonly sharePrefixes?: boolean | undefined;
  /**
   * Precision of matrix products. Default: "medium", which computes on weights in blocks as they are stored; for files whose
   * weights are all floats "high", which rounds them no further.
   */
  readonly matmulPrecision?: MatmulPrecision | undefined;
  /** How the file is brought into memory. Default: mapped where the device can, else read. */
  readonly read?: ((path: string) => Uint8Array) | undefined;
}

/** `LoadOptions` with every value set. */
export interface LoadSettings {
  readonly device: Device;
  readonly contextLength: number;
  readonly cacheTokens: number;
  readonly kv: CacheFormat;
  readonly pageSize: number;
  readonly maxSequences: number;
  readonly stepTokens: number;
  readonly sharePrefixes: boolean;
  readonly matmulPrecision: MatmulPrecision;
}

const KNOWN: ReadonlySet<string> = new Set<keyof LoadOptions>([
  "device",
  "contextLength",
  "cacheTokens",
  "kv",
  "pageSize",
  "maxSequences",
  "stepTokens",
  "sharePrefixes",
  "matmulPrecision",
  "read",
]);
const CACHE_FORMATS: readonly CacheFormat[] = ["f32", "f16", "bf16", "q8_0"];
const PRECISIONS: readonly MatmulPrecision[] = ["highest", "high", "medium"];
const MOST_TOKENS_BY_DEFAULT = 4096;

/** True where a matrix of the file is stored in blocks. */
export function hasBlocks({ tensors }: GgufFile): boolean {
  return [...tensors.values()].some(({ shape, type }) => shape.length > 1 && type.blockWeights > 1);
}

/**
 * Checks options and sets what is missing, for a model made for `trained` tokens. `inBlocks`: its weights are stored in
 * blocks. Throws one `UserError` with all that is wrong.
 */
export function loadSettings(options: LoadOptions, trained: number, inBlocks: boolean): LoadSettings {
  const problems: string[] = [];
  const size = (name: keyof LoadOptions, otherwise: number, least = 1): number => {
    const value = options[name] ?? otherwise;
    if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
    problems.push(
      `${name} must be an integer of at least ${least}, not ${typeof value === "number" ? value : typeof value}`,
    );
    return otherwise;
  };
  const oneOf = <T extends string>(name: keyof LoadOptions, values: readonly T[], otherwise: T): T => {
    const value = (options[name] as T | undefined) ?? otherwise;
    if (!values.includes(value))
      problems.push(`${name} must be one of ${values.join(", ")}, not ${JSON.stringify(value)}`);
    return value;
  };
  for (const name of Object.keys(options)) if (!KNOWN.has(name)) problems.push(`there is no option "${name}"`);
  if (typeof options.device?.compile !== "function")
    problems.push("device must be given, for instance cpu() of @quern/kernels-cpu");
  const contextLength = size("contextLength", Math.min(trained, MOST_TOKENS_BY_DEFAULT));
  const settings: LoadSettings = {
    device: options.device,
    contextLength,
    cacheTokens: size("cacheTokens", contextLength, contextLength),
    kv: oneOf("kv", CACHE_FORMATS, "f16"),
    pageSize: size("pageSize", 64),
    maxSequences: size("maxSequences", 8),
    stepTokens: size("stepTokens", 512),
    sharePrefixes: options.sharePrefixes ?? true,
    matmulPrecision: oneOf("matmulPrecision", PRECISIONS, inBlocks ? "medium" : "high"),
  };
  if (contextLength > trained)
    problems.push(`contextLength must be at most ${trained}, which the model was made for, not ${contextLength}`);
  if (settings.pageSize % 16 !== 0) problems.push(`pageSize must be a multiple of 16, not ${settings.pageSize}`);
  if (problems.length > 0) {
    const unknown = problems.some((problem) => problem.startsWith("there is no"));
    const hint = unknown ? `the options are ${[...KNOWN].join(", ")}` : undefined;
    throw new UserError(`options of loadModel: ${problems.join("; ")}`, { hint });
  }
  return settings;
}
