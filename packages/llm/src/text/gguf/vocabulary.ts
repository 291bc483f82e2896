/**
 * The tokens of a GGUF vocabulary by name, sorted by what may be found where: in ordinary text only tokens that ordinary
 * text can be made of, so that text cannot spell a control token.
 */
import type { SpecialRole, SpecialTokens } from "../tokenizer.ts";
import { KIND, type TokenizerMetadata } from "./metadata.ts";

/** Names under which models end a turn or a message, for files that do not say which token does. */
const NAMES_OF_ROLES: Readonly<Partial<Record<SpecialRole, readonly string[]>>> = {
  eot: ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>"],
  eom: ["<|eom_id|>"],
};

export class Vocabulary {
  readonly tokens: readonly string[];
  readonly kinds: readonly number[];
  /** Every token by name; the first of equal names. */
  readonly ids: ReadonlyMap<string, number>;
  /** Tokens that text can be made of: neither control, unknown nor byte tokens. */
  readonly ordinary: ReadonlyMap<string, number>;
  /** Tokens that are always taken from text by name before it is tokenized. */
  readonly userDefined: ReadonlyMap<string, number>;
  /** `userDefined` and the tokens that only `parseSpecial` takes. */
  readonly parsable: ReadonlyMap<string, number>;
  readonly special: SpecialTokens;

  /** `defaults` are the roles that hold where the file is silent; ids beyond the vocabulary are left out. */
  constructor(metadata: TokenizerMetadata, defaults: SpecialTokens) {
    this.tokens = metadata.tokens;
    this.kinds = metadata.kinds;
    const [ids, ordinary, userDefined, parsable] = Array.from({ length: 4 }, () => new Map<string, number>()) as [
      Map<string, number>,
      Map<string, number>,
      Map<string, number>,
      Map<string, number>,
    ];
    for (let id = 0; id < this.tokens.length; id++) {
      const [token, kind] = [this.tokens[id] as string, this.kinds[id]];
      if (token === "") continue;
      const add = (to: Map<string, number>): void => {
        if (!to.has(token)) to.set(token, id);
      };
      add(ids);
      const reserved = kind === KIND.control || kind === KIND.unknown;
      if (!reserved && kind !== KIND.byte) add(ordinary);
      if (kind === KIND.userDefined) add(userDefined);
      if (kind === KIND.userDefined || reserved) add(parsable);
    }
    [this.ids, this.ordinary, this.userDefined, this.parsable] = [ids, ordinary, userDefined, parsable];
    const known = Object.entries(defaults).filter(([, id]) => id < this.size);
    this.special = { ...Object.fromEntries(known), ...this.#namedRoles(), ...metadata.special };
  }

  get size(): number {
    return this.tokens.length;
  }

  /** Control and unknown tokens stand for no text. */
  isSpecial(id: number): boolean {
    const kind = this.kinds[id];
    return kind === KIND.control || kind === KIND.unknown;
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

/** The ids of the tokens `<0x00>` to `<0xFF>`, where the vocabulary has them. */
export function byteTokens(vocabulary: Vocabulary): readonly (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) => {
    return vocabulary.ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  });
}

/** The byte that a token such as `<0x0A>` stands for, or undefined. */
export function byteOfToken(token: string): number | undefined {
  const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return hex === undefined ? undefined : Number.parseInt(hex, 16);
}
