/**
 * The tokenizer part of GGUF metadata, `tokenizer.ggml.*`, checked: what comes out has the right types, lengths and ranges.
 * The values are untrusted and may come from any reader: arrays or typed arrays, numbers or bigints. All problems are
 * reported at once.
 */
import { UserError } from "@quern/core";
import { GgufStrings } from "@quern/importers/gguf";
import { SPECIAL_ROLES, type SpecialRole, type SpecialTokens } from "../tokenizer.ts";

/**
 * GGUF key/value pairs; other keys are ignored. Values are plain data or, as readers that keep the type give them, objects with
 * the data in `value`.
 */
export type MetadataSource = ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>;

/** Token types as GGUF numbers them. */
export const KIND = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Settings that a file may leave to the tokenizer model. */
export const FLAGS = [
  "add_bos_token",
  "add_eos_token",
  "add_sep_token",
  "add_space_prefix",
  "remove_extra_whitespaces",
] as const;
export type Flags = Readonly<Partial<Record<(typeof FLAGS)[number], boolean>>>;

export interface TokenizerMetadata {
  /** `tokenizer.ggml.model`. */
  readonly model: string;
  /** `tokenizer.ggml.pre`. */
  readonly pre: string | undefined;
  readonly tokens: GgufStrings;
  /** One per token, finite. */
  readonly scores: ArrayLike<number> | undefined;
  /** One of `KIND` per token. */
  readonly kinds: ArrayLike<number>;
  readonly merges: GgufStrings | undefined;
  readonly special: SpecialTokens;
  readonly flags: Flags;
  /** `precompiled_charsmap`. */
  readonly charsmap: Uint8Array | undefined;
}

const PREFIX = "tokenizer.ggml.";

/** The keys under which each role may be stored. The misspelt one is what files have. */
const ROLE_KEYS: Readonly<Record<SpecialRole, readonly string[]>> = {
  bos: ["bos_token_id"],
  eos: ["eos_token_id"],
  unk: ["unknown_token_id"],
  pad: ["padding_token_id"],
  sep: ["seperator_token_id", "separator_token_id"],
  cls: ["cls_token_id"],
  mask: ["mask_token_id"],
  eot: ["eot_token_id"],
  eom: ["eom_token_id"],
};

/** How files say that there is no such token: -1, as it reads unsigned too. */
const NO_TOKEN: ReadonlySet<number> = new Set([-1, 0xffff_ffff]);

const PROBLEMS_SHOWN = 8;

function describe(value: unknown): string {
  if (value === null) return "null";
  if (ArrayBuffer.isView(value) || Array.isArray(value) || value instanceof GgufStrings) return "an array";
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return `${typeof value} ${value}`;
  if (value === undefined) return "undefined";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** The elements of an array, a typed array or a list of strings, or undefined. */
function listOf(value: unknown): ArrayLike<unknown> | undefined {
  if (Array.isArray(value)) return value;
  if (value instanceof GgufStrings) return [...value];
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? (value as Uint8Array) : undefined;
}

/** A number that a reader may have given as a bigint. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === "bigint") return Number(value);
  return typeof value === "number" ? value : undefined;
}

/** Typed arrays whose elements are all integers. */
const INTEGER_ARRAYS = [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array] as const;

class MetadataReader {
  readonly problems: string[] = [];
  readonly #get: (key: string) => unknown;

  constructor(source: MetadataSource) {
    const isMap = source instanceof Map;
    const record = source as Readonly<Record<string, unknown>>;
    this.#get = isMap ? (key) => source.get(key) : (key) => (Object.hasOwn(record, key) ? record[key] : undefined);
  }

  value(key: string): unknown {
    const value = this.#get(PREFIX + key);
    const isObject = typeof value === "object" && value !== null && listOf(value) === undefined;
    return isObject && Object.hasOwn(value, "value") ? (value as { readonly value: unknown }).value : value;
  }

  problem(key: string, text: string): undefined {
    this.problems.push(`${PREFIX}${key} ${text}`);
    return undefined;
  }

  /** An optional value that must pass `check`. */
  scalar<T>(key: string, expected: string, check: (value: unknown) => T | undefined): T | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    const result = check(value);
    return result === undefined ? this.problem(key, `is ${describe(value)}, not ${expected}`) : result;
  }

  /** An optional array whose elements must all pass `check`. Reports the first that does not. */
  list<T>(key: string, expected: string, check: (value: unknown) => T | undefined): T[] | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    const elements = listOf(value);
    if (elements === undefined) return this.problem(key, `is ${describe(value)}, not an array`);
    const result: T[] = [];
    for (let index = 0; index < elements.length; index++) {
      const element = check(elements[index]);
      if (element === undefined) {
        return this.problem(key, `has ${describe(elements[index])} at index ${index}, not ${expected}`);
      }
      result.push(element);
    }
    return result;
  }

  /** An optional list of strings. One that is read of a file is taken as it is. */
  strings(key: string): GgufStrings | undefined {
    const value = this.value(key);
    if (value instanceof GgufStrings) return value;
    const strings = this.list(key, "a string", string);
    return strings === undefined ? undefined : GgufStrings.from(strings);
  }

  /** As `list`, for numbers. A typed array of the right ones is taken as it is. */
  numbers(key: string, expected: string, check: (value: unknown) => number | undefined): ArrayLike<number> | undefined {
    const value = this.value(key);
    if (INTEGER_ARRAYS.some((type) => value instanceof type)) return value as Int32Array;
    if (value instanceof Float32Array && value.every((item) => check(item) !== undefined)) return value;
    return this.list(key, expected, check);
  }
}

const string = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
const boolean = (value: unknown): boolean | undefined => (typeof value === "boolean" ? value : undefined);
const finite = (value: unknown): number | undefined => {
  const number = numberOf(value);
  return Number.isFinite(number) ? number : undefined;
};
const integer = (value: unknown): number | undefined => {
  const number = numberOf(value);
  return Number.isInteger(number) ? number : undefined;
};
/** Stored as i8 by most writers, so -1 is 255. */
const byte = (value: unknown): number | undefined => {
  const number = integer(value);
  return number !== undefined && number >= -128 && number <= 255 ? number & 0xff : undefined;
};

function readSpecial(reader: MetadataReader, size: number): SpecialTokens {
  const special: Partial<Record<SpecialRole, number>> = {};
  for (const role of SPECIAL_ROLES) {
    for (const key of ROLE_KEYS[role]) {
      const id = reader.scalar(key, "a token id", integer);
      if (id === undefined || NO_TOKEN.has(id)) continue;
      if (id >= 0 && id < size) special[role] ??= id;
      else reader.problem(key, `is ${id}, but there are ${size} tokens`);
    }
  }
  return special;
}

function readFlags(reader: MetadataReader): Flags {
  const flags: Partial<Record<(typeof FLAGS)[number], boolean>> = {};
  for (const key of FLAGS) {
    const value = reader.scalar(key, "a boolean", boolean);
    if (value !== undefined) flags[key] = value;
  }
  return flags;
}

/** Throws one `UserError` that lists what is wrong. */
export function readTokenizerMetadata(source: MetadataSource): TokenizerMetadata {
  if (typeof source !== "object" || source === null) {
    throw new UserError(`tokenizer metadata: expected a map of keys to values, not ${describe(source)}`);
  }
  const reader = new MetadataReader(source);
  for (const key of ["model", "tokens"]) if (reader.value(key) === undefined) reader.problem(key, "is missing");
  const tokens = reader.strings("tokens") ?? GgufStrings.from([]);
  const scores = reader.numbers("scores", "a finite number", finite);
  const kinds = reader.numbers("token_type", "a token type", integer);
  if (reader.problems.length === 0 && tokens.length === 0) reader.problem("tokens", "is empty");
  for (const [key, list] of [["scores", scores] as const, ["token_type", kinds] as const]) {
    if (list === undefined || list.length === tokens.length || reader.problems.length > 0) continue;
    reader.problem(key, `has ${list.length} elements for ${tokens.length} tokens`);
  }
  const metadata: TokenizerMetadata = {
    model: reader.scalar("model", "a string", string) ?? "",
    pre: reader.scalar("pre", "a string", string),
    tokens,
    scores,
    kinds: kinds ?? new Uint8Array(tokens.length).fill(KIND.normal),
    merges: reader.strings("merges"),
    special: readSpecial(reader, tokens.length),
    flags: readFlags(reader),
    charsmap: toBytes(reader.list("precompiled_charsmap", "a byte", byte)),
  };
  throwIfAny(reader.problems);
  return metadata;
}

function toBytes(list: readonly number[] | undefined): Uint8Array | undefined {
  return list === undefined ? undefined : Uint8Array.from(list);
}

/** Throws a `UserError` with the first problems when there are any. */
export function throwIfAny(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const more = problems.length - PROBLEMS_SHOWN;
  const lines = problems.slice(0, PROBLEMS_SHOWN).map((problem) => `\n  ${problem}`);
  throw new UserError(
    `the tokenizer metadata is not valid:${lines.join("")}${more > 0 ? `\n  and ${more} more problems` : ""}`,
  );
}
