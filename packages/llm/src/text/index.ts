/** Text to token ids and back, and conversations to prompts. */
export { renderChat, type ChatMessage, type ChatOptions } from "./chat/render.ts";
export { tokenizerFromGguf } from "./gguf/tokenizer.ts";
export { preTokenizerNames } from "./gguf/pre-tokenizers.ts";
export type { MetadataSource } from "./gguf/metadata.ts";
export { tokenizerFromJson, type JsonTokenizerOptions } from "./json/tokenizer.ts";
export type { StreamOptions, TextStream } from "./text-stream.ts";
export type {
  DecodeOptions,
  EncodedPair,
  EncodeOptions,
  SpecialRole,
  SpecialTokens,
  Tokenizer,
  TokenIds,
} from "./tokenizer.ts";
