/** What is read of a language model without loading it; what cannot be understood is said in the place of what it would tell. */

import { closeSync, openSync, readSync } from "node:fs";
import { UserError } from "@quern/core";
import { type GgufFile, readGgufFile } from "@quern/importers/gguf";
import { nativeHost } from "@quern/kernels-cpu";
import { type CacheFormat, type Hyperparameters, tokenizerFromGguf } from "@quern/llm";

/** By its first bytes, whatever its name. */
export function isGguf(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    const head = Buffer.alloc(4);
    return readSync(fd, head) === 4 && ["GGUF", "FUGG"].includes(head.toString("latin1"));
  } finally {
    closeSync(fd);
  }
}

/** Mappings are never undone: what is read are views on them. */
export function openGguf(path: string): GgufFile {
  return readGgufFile(path, { read: (part) => new Uint8Array(nativeHost().mapFile(part).buffer) });
}

/** Bytes of an element of the cache. */
const CACHE_BYTES: Readonly<Record<CacheFormat, number>> = { f32: 4, f16: 2, bf16: 2, q8_0: 34 / 32 };

export type Outcome<T> = { readonly value: T } | { readonly problem: string };

export function attempt<T>(make: () => T): Outcome<T> {
  try {
    return { value: make() };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { problem: error.message };
  }
}

export interface TokenizerFacts {
  readonly model: string;
  readonly pre: string;
  readonly tokens?: number;
  /** Names of tokens by their roles. */
  readonly special?: Readonly<Record<string, string>>;
  readonly problem?: string;
}

export function tokenizerFacts(file: GgufFile): TokenizerFacts {
  const { metadata } = file;
  const found = attempt(() => tokenizerFromGguf(metadata.values));
  const kind = { model: metadata.string("tokenizer.ggml.model", ""), pre: metadata.string("tokenizer.ggml.pre", "") };
  if ("problem" in found) return { ...kind, problem: found.problem };
  const { vocabularySize, special } = found.value;
  const names = Object.entries(special).map(([role, id]) => [role, found.value.tokenOf(id) ?? String(id)] as const);
  return { ...kind, tokens: vocabularySize, special: Object.fromEntries(names) };
}

/** Bytes that a token takes in the cache, all layers together. */
export function cachePerToken({ layers, kvHeads, headDim }: Hyperparameters): Record<CacheFormat, number> {
  const bytes = (format: CacheFormat): number => 2 * layers * kvHeads * headDim * CACHE_BYTES[format];
  return { f32: bytes("f32"), f16: bytes("f16"), bf16: bytes("bf16"), q8_0: bytes("q8_0") };
}
