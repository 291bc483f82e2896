/**
 * Token ids to text, one id at a time. A character may be spread over several tokens; a stream gives it out once it is
 * whole, so that the pieces can be printed as they come. `decode` of every tokenizer is such a stream from start to end.
 */
import { UserError } from "@quern/core";
import type { DecodeOptions, TokenIds } from "./tokenizer.ts";

export interface StreamOptions extends DecodeOptions {
  /**
   * The ids before the first one pushed, a prompt for instance. They give no text, but the stream goes on after them: the
   * first word keeps its space, and a character that they began is completed.
   */
  readonly after?: TokenIds | undefined;
}

/** The bytes of tokens in order. Holds whatever depends on earlier tokens, such as whether a word is the first. */
export interface Detokenizer {
  push(id: number): Uint8Array;
}

/** What a stream has to know of a vocabulary. */
export interface StreamSource {
  readonly vocabularySize: number;
  isSpecial(id: number): boolean;
  detokenizer(): Detokenizer;
}

/** Throws `UserError` unless `id` is an index into the vocabulary. */
export function checkId(id: number, vocabularySize: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabularySize) return;
  throw new UserError(`token id ${id} is not in the vocabulary of ${vocabularySize} tokens`);
}

/** Made by `Tokenizer.stream`. */
export class TextStream {
  readonly #source: StreamSource;
  readonly #skipSpecial: boolean;
  readonly #tokens: Detokenizer;
  /** Holds the bytes of a character that has begun. */
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #ended = false;

  constructor(source: StreamSource, options: StreamOptions = {}) {
    this.#source = source;
    this.#skipSpecial = options.skipSpecial ?? false;
    this.#tokens = source.detokenizer();
    for (const id of options.after ?? []) this.push(id);
  }

  /** The text that is complete with this token; may be empty. */
  push(id: number): string {
    if (this.#ended)
      throw new UserError("this text stream has ended", { hint: "Start another with tokenizer.stream()." });
    checkId(id, this.#source.vocabularySize);
    if (this.#skipSpecial && this.#source.isSpecial(id)) return "";
    return this.#utf8.decode(this.#tokens.push(id), { stream: true });
  }

  /** Ends the stream: U+FFFD for a character that never became complete, else nothing. */
  end(): string {
    if (this.#ended) return "";
    this.#ended = true;
    return this.#utf8.decode();
  }
}

/** The text of all ids. */
export function decodeAll(source: StreamSource, ids: TokenIds, options?: DecodeOptions): string {
  const stream = new TextStream(source, options);
  const parts: string[] = [];
  for (const id of ids) parts.push(stream.push(id));
  parts.push(stream.end());
  return parts.join("");
}
