/**
 * The tokens of a GGUF vocabulary by name, sorted by what may be found where: in ordinary text only tokens that ordinary
 * text can be made of, so that text cannot spell a control token. Names stay bytes; only those that are looked for in text
 * before it is tokenized are strings.
 */
import type { GgufStrings } from "@quern/importers/gguf";
import type { SpecialRole, SpecialTokens } from "../tokenizer.ts";
import { KIND, type TokenizerMetadata } from "./metadata.ts";
import { TokenTable } from "./token-table.ts";

const utf8 = new TextEncoder();

/** Names under which models end a turn or a message, for files that do not say which token does. */
const NAMES_OF_ROLES: Readonly<Partial<Record<SpecialRole, readonly string[]>>> = {
  eot: ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>"],
  eom: ["<|eom_id|>"],
};

export class Vocabulary {
  readonly names: GgufStrings;
  readonly kinds: ArrayLike<number>;
  /** Bytes of the longest name among the tokens that text can be made of. */
  readonly longest: number;
  /** Tokens that are always taken from text by name before it is tokenized. */
  readonly userDefined: ReadonlyMap<string, number>;
  /** `userDefined` and the tokens that only `parseSpecial` takes. */
  readonly parsable: ReadonlyMap<string, number>;
  readonly special: SpecialTokens;
  /** Every token by name; the first of equal names. */
  readonly #table: TokenTable;
  /** The ordinary token of the same name, for the first ones that are not ordinary. */
  readonly #ordinaryTwins = new Map<number, number>();

  /** `defaults` are the roles that hold where the file is silent; ids beyond the vocabulary are left out. */
  constructor(metadata: TokenizerMetadata, defaults: SpecialTokens) {
    const { tokens: names, kinds } = metadata;
    const table = new TokenTable(names);
    const [userDefined, parsable] = [new Map<string, number>(), new Map<string, number>()];
    let longest = 0;
    for (let id = 0; id < names.length; id++) {
      const bytes = names.end(id) - names.start(id);
      if (bytes === 0) continue;
      const first = table.add(id);
      const kind = kinds[id]!;
      if (isOrdinary(kind)) {
        longest = Math.max(longest, bytes);
        if (first !== id && !isOrdinary(kinds[first]!) && !this.#ordinaryTwins.has(first))
          this.#ordinaryTwins.set(first, id);
      }
      if (kind !== KIND.userDefined && !isReserved(kind)) continue;
      const name = names.at(id)!;
      if (kind === KIND.userDefined && !userDefined.has(name)) userDefined.set(name, id);
      if (!parsable.has(name)) parsable.set(name, id);
    }
    [this.names, this.kinds, this.longest] = [names, kinds, longest];
    [this.#table, this.userDefined, this.parsable] = [table, userDefined, parsable];
    const known = Object.entries(defaults).filter(([, id]) => id < this.size);
    this.special = { ...Object.fromEntries(known), ...this.#namedRoles(), ...metadata.special };
  }

  get size(): number {
    return this.names.length;
  }

  /** Any token by its name; the first of equal names. */
  idOf(name: string): number | undefined {
    const bytes = utf8.encode(name);
    return this.#table.find(bytes, 0, bytes.length);
  }

  nameOf(id: number): string | undefined {
    return Number.isInteger(id) && id >= 0 ? this.names.at(id) : undefined;
  }

  /** As `idOf`, for the bytes from `start` to `end`. */
  find(bytes: Uint8Array, start: number, end: number): number | undefined {
    return this.#table.find(bytes, start, end);
  }

  /** As `idOf`, for the bytes from `start` to `middle` and from `next` to `end`. */
  findJoined(bytes: Uint8Array, start: number, middle: number, next: number, end: number): number | undefined {
    return this.#table.findJoined(bytes, start, middle, next, end);
  }

  /** The token that text can be made of whose name is the bytes from `start` to `end`. */
  findOrdinary(bytes: Uint8Array, start: number, end: number): number | undefined {
    const id = this.#table.find(bytes, start, end);
    return id === undefined ? undefined : this.ordinaryOf(id);
  }

  /** The token that text can be made of with the name of `id`, which `idOf` or `find` gave. */
  ordinaryOf(id: number): number | undefined {
    return isOrdinary(this.kinds[id]!) ? id : this.#ordinaryTwins.get(id);
  }

  /** The tokens that text can be made of, by name. */
  ordinaryByName(): Map<string, number> {
    const ids = new Map<string, number>();
    for (let id = this.size - 1; id >= 0; id--) if (isOrdinary(this.kinds[id]!)) ids.set(this.names.at(id)!, id);
    ids.delete("");
    return ids;
  }

  /** Control and unknown tokens stand for no text. */
  isSpecial(id: number): boolean {
    return isReserved(this.kinds[id]!);
  }

  #namedRoles(): SpecialTokens {
    const roles: Partial<Record<SpecialRole, number>> = {};
    for (const [role, names] of Object.entries(NAMES_OF_ROLES)) {
      const name = names.find((each) => this.parsable.has(each));
      if (name !== undefined) roles[role as SpecialRole] = this.parsable.get(name)!;
    }
    return roles;
  }
}

function isReserved(kind: number): boolean {
  return kind === KIND.control || kind === KIND.unknown;
}

/** Whether text can be made of tokens of this kind. */
function isOrdinary(kind: number): boolean {
  return !isReserved(kind) && kind !== KIND.byte;
}

/** The ids of the tokens `<0x00>` to `<0xFF>`, where the vocabulary has them. */
export function byteTokens(vocabulary: Vocabulary): readonly (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) => {
    return vocabulary.idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  });
}

/** The byte that a token such as `<0x0A>` stands for, or undefined. */
export function byteOfToken(token: string): number | undefined {
  const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return hex === undefined ? undefined : Number.parseInt(hex, 16);
}
