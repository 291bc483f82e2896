/** A vocabulary of bytes for tiny models, enough for other engines to load their files. */

import type { GgufValue } from "@quern/importers/gguf";
import type { Changes } from "./tiny-files.test-support.ts";
import { type TinyModel, WIDTH } from "./tiny-models.test-support.ts";

/** Three special tokens, 256 bytes, and some that no text has. */
const TOKENS = 300;
const FIRST_BYTE = 3;
const BYTES_END = FIRST_BYTE + 256;
const TYPES = { normal: 1, unknown: 2, control: 3, byte: 6 };

const u32 = (value: number): GgufValue => ({ type: "u32", value });

/** What `model` needs to have the vocabulary. */
export function byteVocabulary(model: TinyModel): Required<Pick<Changes, "metadata" | "shapes">> {
  const ids = Array.from({ length: TOKENS }, (_, id) => id);
  const head: Record<string, readonly number[]> =
    model.shapes["output.weight"] === undefined ? {} : { "output.weight": [TOKENS, WIDTH] };
  return {
    shapes: { "token_embd.weight": [TOKENS, WIDTH], ...head },
    metadata: {
      "tokenizer.ggml.model": { type: "string", value: "llama" },
      "tokenizer.ggml.tokens": { type: "array", element: "string", value: ids.map(textOf) },
      "tokenizer.ggml.scores": { type: "array", element: "f32", value: Float32Array.from(ids, (id) => -id) },
      "tokenizer.ggml.token_type": { type: "array", element: "i32", value: Int32Array.from(ids, typeOf) },
      "tokenizer.ggml.bos_token_id": u32(1),
      "tokenizer.ggml.eos_token_id": u32(2),
    },
  };
}

function textOf(id: number): string {
  if (id < FIRST_BYTE) return ["<unk>", "<s>", "</s>"][id]!;
  if (id >= BYTES_END) return `word${id}`;
  return `<0x${(id - FIRST_BYTE).toString(16).toUpperCase().padStart(2, "0")}>`;
}

function typeOf(id: number): number {
  if (id === 0) return TYPES.unknown;
  if (id < FIRST_BYTE) return TYPES.control;
  return id < BYTES_END ? TYPES.byte : TYPES.normal;
}
