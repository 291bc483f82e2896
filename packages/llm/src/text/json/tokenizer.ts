/**
 * A tokenizer from a Hugging Face tokenizer.json. Text to ids is the work of `@huggingface/tokenizers`. Ids to text and special
 * tokens around texts are done here: the library has no streams, decodes some files otherwise than the original, and takes an
 * empty second text for none.
 */
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { UnsupportedError, UserError } from "@quern/core";
import { decodeAll, TextStream, type Detokenizer, type StreamOptions, type StreamSource } from "../text-stream.ts";
import {
  SPECIAL_ROLES,
  type DecodeOptions,
  type EncodedPair,
  type EncodeOptions,
  type SpecialRole,
  type SpecialTokens,
  type TokenIds,
  type Tokenizer,
} from "../tokenizer.ts";
import { compileDecoder, type DecoderConfig } from "./decoders.ts";
import { compilePostProcessor, fill, type Template } from "./post-processor.ts";

export interface JsonTokenizerOptions {
  /** The parsed tokenizer_config.json, which says which token has which role. Without it roles are guessed from names. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/** The parts of the file that are read here. */
interface TokenizerFile {
  readonly added_tokens: readonly AddedToken[];
  readonly model: {
    readonly [key: string]: unknown;
    readonly vocab: unknown;
    readonly type?: unknown;
    readonly unk_token?: unknown;
  };
  readonly decoder?: DecoderConfig | null;
  readonly post_processor?: Readonly<Record<string, unknown>> | null;
}

/** What the library computes. Old files of BPE models name no type. */
const MODEL_TYPES: readonly unknown[] = ["BPE", "WordPiece", "Unigram"];

/** Names of special tokens by role, where no configuration says which is which. */
const USUAL_NAMES: Readonly<Record<SpecialRole, readonly string[]>> = {
  bos: ["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"],
  eos: ["</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"],
  unk: ["<unk>", "[UNK]"],
  pad: ["<pad>", "[PAD]"],
  sep: ["[SEP]"],
  cls: ["[CLS]"],
  mask: ["[MASK]", "<mask>"],
  eot: ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"],
  eom: ["<|eom_id|>"],
};

/** Keys of tokenizer_config.json. */
const CONFIG_KEYS: Readonly<Partial<Record<SpecialRole, string>>> = {
  bos: "bos_token",
  eos: "eos_token",
  unk: "unk_token",
  pad: "pad_token",
  sep: "sep_token",
  cls: "cls_token",
  mask: "mask_token",
};

/**
 * Makes the tokenizer of a tokenizer.json, given as text or parsed. Throws `UserError` when it is none, and
 * `UnsupportedError` when its decoder cannot be run as a stream.
 */
export function tokenizerFromJson(source: string | object, options: JsonTokenizerOptions = {}): Tokenizer {
  const file = readFile(source);
  return new JsonTokenizer(file, options.config ?? {});
}

function readFile(source: string | object): TokenizerFile {
  let parsed: unknown = source;
  if (typeof source === "string") {
    try {
      parsed = JSON.parse(source);
    } catch (error) {
      throw new UserError("tokenizer.json is not valid JSON", { hint: String((error as Error).message), cause: error });
    }
  }
  const file = parsed as Partial<TokenizerFile> | null;
  const model = file?.model;
  if (typeof file !== "object" || file === null || typeof model !== "object" || model === null) {
    throw new UserError("tokenizer.json has no model", { hint: "Expected a file written by Hugging Face tokenizers." });
  }
  if (typeof model.vocab !== "object" || model.vocab === null)
    throw new UserError("tokenizer.json: the model has no vocab");
  const { type } = model;
  if (type !== undefined && !MODEL_TYPES.includes(type)) {
    const reason = `the known ones are ${MODEL_TYPES.join(", ")}`;
    throw new UnsupportedError({ op: `model ${JSON.stringify(type)}`, where: "tokenizer.json", reason });
  }
  const added = file.added_tokens ?? [];
  const wrong = Array.isArray(added) ? added.findIndex((each) => !isAddedToken(each)) : 0;
  if (wrong !== -1) throw new UserError(`tokenizer.json: the added token at index ${wrong} has no id and content`);
  return { ...file, model, added_tokens: added };
}

function isAddedToken(token: unknown): boolean {
  const { id, content } = (token ?? {}) as Partial<AddedToken>;
  return Number.isInteger(id) && id! >= 0 && typeof content === "string";
}

/** Runs library code, whose own errors say nothing of the file. */
function guarded<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`tokenizer.json: ${what}: ${(error as Error).message}`, { cause: error });
  }
}

function makeLibrary(file: TokenizerFile): Library {
  return guarded("it cannot be loaded", () => new Library(file, {}));
}

/**
 * The file without its special tokens, so that text cannot spell one. They are still in the vocabulary of the model, under
 * names that no text has. The unknown token keeps its name: the model looks it up.
 */
function withoutSpecial(file: TokenizerFile): TokenizerFile {
  const hidden = new Set(file.added_tokens.filter((each) => each.special === true).map((each) => each.content));
  if (typeof file.model.unk_token === "string") hidden.delete(file.model.unk_token);
  // Text is made well formed first, so a lone surrogate is in no text.
  const rename = (name: string): string => (hidden.has(name) ? `\uD800${name}` : name);
  const { vocab } = file.model;
  const renamed = Array.isArray(vocab)
    ? (vocab as [string, number][]).map(([name, score]) => [rename(name), score])
    : Object.fromEntries(Object.entries(vocab as object).map(([name, id]) => [rename(name), id as unknown]));
  return {
    ...file,
    added_tokens: file.added_tokens.filter((each) => each.special !== true),
    model: { ...file.model, vocab: renamed },
  };
}

function namedRoles(file: TokenizerFile, config: Readonly<Record<string, unknown>>, library: Library): SpecialTokens {
  const special = new Set(file.added_tokens.filter((each) => each.special === true).map((each) => each.content));
  const roles: Partial<Record<SpecialRole, number>> = {};
  for (const role of SPECIAL_ROLES) {
    const given = config[CONFIG_KEYS[role] ?? ""];
    const name = typeof given === "string" ? given : (given as { content?: unknown } | null | undefined)?.content;
    const found = typeof name === "string" ? name : USUAL_NAMES[role].find((each) => special.has(each));
    const id = found === undefined ? undefined : library.token_to_id(found);
    if (id !== undefined) roles[role] = id;
  }
  return roles;
}

class JsonTokenizer implements Tokenizer, StreamSource {
  readonly vocabularySize: number;
  readonly special: SpecialTokens;
  readonly #file: TokenizerFile;
  /** Takes special tokens from text by name. */
  readonly #parsing: Library;
  /** Does not; made when it is first needed. */
  #plain: Library | undefined;
  readonly #template: Template;
  readonly #specialIds: ReadonlySet<number>;
  readonly #decoder: (tokenOf: (id: number) => string) => Detokenizer;

  constructor(file: TokenizerFile, config: Readonly<Record<string, unknown>>) {
    this.#file = file;
    this.#parsing = makeLibrary(file);
    this.#decoder = guarded("its decoder cannot be loaded", () => compileDecoder(file.decoder));
    this.#template = guarded("its post_processor cannot be loaded", () => compilePostProcessor(file.post_processor));
    this.#specialIds = new Set(file.added_tokens.filter((each) => each.special === true).map((each) => each.id));
    this.special = namedRoles(file, config, this.#parsing);
    let highest = -1;
    for (const id of this.#parsing.get_vocab(true).values()) highest = Math.max(highest, id);
    this.vocabularySize = highest + 1;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const ids = this.#encode(text, options.parseSpecial === true);
    return options.special === true ? fill(this.#template.single, ids, []).ids : ids;
  }

  encodePair(first: string, second: string, options: Pick<EncodeOptions, "parseSpecial"> = {}): EncodedPair {
    const parse = options.parseSpecial === true;
    return fill(this.#template.pair, this.#encode(first, parse), this.#encode(second, parse));
  }

  #encode(text: string, parseSpecial: boolean): number[] {
    const library = parseSpecial ? this.#parsing : (this.#plain ??= makeLibrary(withoutSpecial(this.#file)));
    const { ids } = guarded("a text cannot be encoded", () =>
      library.encode(text.toWellFormed(), { add_special_tokens: false }),
    );
    // Where there is no unknown token the library leaves a hole for what it cannot write.
    return ids.filter((id: number | undefined) => id !== undefined);
  }

  decode(ids: TokenIds, options?: DecodeOptions): string {
    return decodeAll(this, ids, options);
  }

  stream(options?: StreamOptions): TextStream {
    return new TextStream(this, options);
  }

  idOf(token: string): number | undefined {
    return this.#parsing.token_to_id(token);
  }

  tokenOf(id: number): string | undefined {
    return this.#parsing.id_to_token(id);
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  detokenizer(): Detokenizer {
    return this.#decoder((id) => this.tokenOf(id) ?? "");
  }
}
