/**
 * A tokenizer from GGUF metadata. What is common to all models is here: tokens found by name, special tokens around a text,
 * look-ups. What differs is a record per value of `tokenizer.ggml.model`.
 */
import { UnsupportedError } from "@quern/core";
import { decodeAll, TextStream, type Detokenizer, type StreamOptions, type StreamSource } from "../text-stream.ts";
import { TokenSplitter } from "../token-splitter.ts";
import type { DecodeOptions, EncodedPair, EncodeOptions, SpecialTokens, TokenIds, Tokenizer } from "../tokenizer.ts";
import { bpe } from "./bpe.ts";
import { readTokenizerMetadata, type Flags, type MetadataSource } from "./metadata.ts";
import type { PreparedModel, TokenizerModel } from "./model.ts";
import { spm } from "./spm.ts";
import { ugm } from "./ugm.ts";
import { Vocabulary } from "./vocabulary.ts";
import { wpm } from "./wpm.ts";

const models: readonly TokenizerModel[] = [spm, bpe, wpm, ugm];

/**
 * Makes the tokenizer that GGUF metadata describes. Takes the key/value pairs as any reader gives them: strings, numbers or
 * bigints, booleans, arrays or typed arrays.
 *
 * Throws one `UserError` that lists what is missing, of a wrong type or contradictory, and `UnsupportedError` for a tokenizer
 * model or pre-tokenizer that is not known.
 */
export function tokenizerFromGguf(source: MetadataSource): Tokenizer {
  const metadata = readTokenizerMetadata(source);
  const model = models.find((each) => each.name === metadata.model);
  if (model === undefined) {
    throw new UnsupportedError({
      op: `tokenizer model "${metadata.model}"`,
      where: "tokenizer.ggml.model",
      reason: `the known ones are ${models.map((each) => each.name).join(", ")}`,
    });
  }
  const flags = { ...model.flags(metadata), ...metadata.flags };
  const vocabulary = new Vocabulary(metadata, model.special);
  return new GgufTokenizer(model.name, vocabulary, flags, model.prepare(metadata, vocabulary, flags));
}

class GgufTokenizer implements Tokenizer, StreamSource {
  readonly vocabularySize: number;
  readonly special: SpecialTokens;
  readonly #name: string;
  readonly #vocabulary: Vocabulary;
  readonly #model: PreparedModel;
  readonly #plain: TokenSplitter;
  readonly #parsing: TokenSplitter;
  readonly #prefix: readonly number[];
  readonly #suffix: readonly number[];

  constructor(name: string, vocabulary: Vocabulary, flags: Flags, model: PreparedModel) {
    this.#name = name;
    this.#vocabulary = vocabulary;
    this.#model = model;
    this.vocabularySize = vocabulary.size;
    this.special = vocabulary.special;
    this.#plain = new TokenSplitter(vocabulary.userDefined);
    this.#parsing = new TokenSplitter(vocabulary.parsable);
    const { bos, cls, eos, sep } = vocabulary.special;
    const present = (wanted: boolean | undefined, id: number | undefined): number[] =>
      wanted === true && id !== undefined ? [id] : [];
    this.#prefix = present(flags.add_bos_token, name === "bert" ? (cls ?? bos) : (bos ?? cls));
    this.#suffix = [...present(flags.add_eos_token, eos), ...present(flags.add_sep_token, sep)];
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const ids: number[] = options.special === true ? [...this.#prefix] : [];
    const splitter = options.parseSpecial === true ? this.#parsing : this.#plain;
    let afterToken = true;
    for (const fragment of splitter.split(text.toWellFormed())) {
      if (typeof fragment === "number") ids.push(fragment);
      else this.#model.encode(fragment, afterToken, ids);
      afterToken = typeof fragment === "number";
    }
    if (options.special === true) ids.push(...this.#suffix);
    return ids;
  }

  encodePair(first: string, second: string, options: Pick<EncodeOptions, "parseSpecial"> = {}): EncodedPair {
    if (this.#name !== "bert") {
      throw new UnsupportedError({
        op: "encodePair",
        where: `tokenizer model "${this.#name}"`,
        reason: "GGUF metadata says how two texts are joined only for BERT",
      });
    }
    const parts = [
      [...this.#prefix, ...this.encode(first, options), ...this.#suffix],
      [...this.encode(second, options), ...this.#suffix],
    ];
    return { ids: parts.flat(), typeIds: parts.flatMap((part, index) => part.map(() => index)) };
  }

  decode(ids: TokenIds, options?: DecodeOptions): string {
    return decodeAll(this, ids, options);
  }

  stream(options?: StreamOptions): TextStream {
    return new TextStream(this, options);
  }

  idOf(token: string): number | undefined {
    return this.#vocabulary.idOf(token);
  }

  tokenOf(id: number): string | undefined {
    return this.#vocabulary.nameOf(id);
  }

  isSpecial(id: number): boolean {
    return this.#vocabulary.isSpecial(id);
  }

  detokenizer(): Detokenizer {
    return this.#model.detokenizer();
  }
}
