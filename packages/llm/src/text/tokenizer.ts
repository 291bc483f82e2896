/**
 * What a tokenizer is, whatever file it came from. Text in: JavaScript strings, in which a lone surrogate counts as
 * U+FFFD. Ids out: plain numbers, the row of the embedding table.
 */
import type { StreamOptions, TextStream } from "./text-stream.ts";

/** Ids in any form a model gives or takes them. */
export type TokenIds = Iterable<number>;

/** Roles a token can have. `eot` ends a turn, `eom` a message that waits for a tool. */
export const SPECIAL_ROLES = ["bos", "eos", "unk", "pad", "sep", "cls", "mask", "eot", "eom"] as const;
export type SpecialRole = (typeof SPECIAL_ROLES)[number];

/** The id of each role that the vocabulary fills. */
export type SpecialTokens = Readonly<Partial<Record<SpecialRole, number>>>;

export interface EncodeOptions {
  /** Adds what the model expects around a text, such as BOS and EOS. Default: false. */
  readonly special?: boolean | undefined;
  /**
   * Takes the names of control tokens in the text for these tokens. Leave it off for text that others wrote: it could
   * end a turn or forge one. Added tokens that are not control tokens are always taken. Default: false.
   */
  readonly parseSpecial?: boolean | undefined;
}

export interface DecodeOptions {
  /** Leaves control tokens out. Default: false. */
  readonly skipSpecial?: boolean | undefined;
}

/** Two texts as one input with the special tokens between them. `typeIds` says for each id which text it belongs to. */
export interface EncodedPair {
  readonly ids: number[];
  readonly typeIds: number[];
}

export interface Tokenizer {
  /** One more than the highest id. */
  readonly vocabularySize: number;
  readonly special: SpecialTokens;
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Encodes two texts for a model that compares them, with special tokens. Throws `UnsupportedError` where the source does
   * not say how the two are joined.
   */
  encodePair(first: string, second: string, options?: Pick<EncodeOptions, "parseSpecial">): EncodedPair;
  /**
   * The text of the ids: what a stream gives for them, joined. Bytes that are not UTF-8 become U+FFFD. Throws `UserError`
   * for an id outside the vocabulary.
   */
  decode(ids: TokenIds, options?: DecodeOptions): string;
  /** Decodes one token at a time, for generation. */
  stream(options?: StreamOptions): TextStream;
  /** The id of a token by its name in the vocabulary, or undefined. */
  idOf(token: string): number | undefined;
  /** The name of a token in the vocabulary, or undefined for an id that has none. */
  tokenOf(id: number): string | undefined;
  /** Whether `skipSpecial` leaves this token out. */
  isSpecial(id: number): boolean;
}
