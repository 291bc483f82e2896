/**
 * The `decoder` of a tokenizer.json: tokens to text, one token at a time. A record per decoder type. Decoders of a sequence
 * hand strings on to each other until `ByteFallback` has made bytes or `Fuse` has joined all into one text; what comes after
 * `Fuse` sees the text as a whole, of which only the start can be changed without waiting for the end.
 */
import { UnsupportedError, UserError } from "@quern/core";
import { fromByteAlphabet } from "../byte-alphabet.ts";
import type { Detokenizer } from "../text-stream.ts";
import { byteOfToken } from "../gguf/vocabulary.ts";
import { cleanUpWordPiece } from "../word-piece-clean-up.ts";

/** A decoder as the file describes it; other fields depend on the type. */
export type DecoderConfig = Readonly<Record<string, unknown>> & { readonly type?: unknown };

/** One step for one stream. `first`: no token came before. */
type Step = (token: string | Uint8Array, first: boolean) => string | Uint8Array;
type StepMaker = (config: DecoderConfig) => () => Step;

const utf8 = new TextEncoder();

/** A step that looks only at tokens that are still strings and keeps nothing. */
function onStrings(change: (token: string, first: boolean) => string | Uint8Array): () => Step {
  return () => (token, first) => (typeof token === "string" ? change(token, first) : token);
}

function text(config: DecoderConfig, key: string, missing?: string): string {
  const value = config[key] ?? missing;
  if (typeof value === "string") return value;
  throw new UserError(`tokenizer.json: the decoder ${String(config.type)} has no ${key}`);
}

function count(config: DecoderConfig, key: string): number {
  const value = config[key] ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw new UserError(`tokenizer.json: the decoder ${String(config.type)} has a wrong ${key}`);
}

function unsupported(op: string, reason: string): never {
  throw new UnsupportedError({ op: `decoder ${op}`, where: "tokenizer.json", reason });
}

/** `{ "String": … }` as a string, `{ "Regex": … }` as a regular expression. */
function replacePattern(config: DecoderConfig): string | RegExp {
  const pattern = config["pattern"] as { readonly String?: unknown; readonly Regex?: unknown } | undefined;
  if (typeof pattern?.String === "string") return pattern.String;
  if (typeof pattern?.Regex !== "string") throw new UserError("tokenizer.json: the decoder Replace has no pattern");
  try {
    return new RegExp(pattern.Regex, "gu");
  } catch {
    return unsupported("Replace", `its regular expression ${JSON.stringify(pattern.Regex)} is none in JavaScript`);
  }
}

/** Strips up to `limit` of `content` from the start of a text. */
function stripStart(token: string, content: string, limit: number): string {
  let at = 0;
  for (let stripped = 0; stripped < limit && token.startsWith(content, at); stripped++) at += content.length;
  return token.slice(at);
}

const steps: Readonly<Record<string, StepMaker>> = {
  ByteLevel: () => onStrings(fromByteAlphabet),

  ByteFallback: () =>
    onStrings((token) => {
      const byte = byteOfToken(token);
      return byte === undefined ? token : Uint8Array.of(byte);
    }),

  Fuse: () => onStrings((token) => token),

  Replace: (config) => {
    const pattern = replacePattern(config);
    const content = text(config, "content");
    return onStrings((token) => token.replaceAll(pattern, () => content));
  },

  Strip: (config) => {
    const content = text(config, "content", " ");
    const start = count(config, "start");
    const stop = count(config, "stop");
    return onStrings((token) => {
      const stripped = stripStart(token, content, start);
      let end = stripped.length;
      for (let left = stop; left > 0 && content !== "" && stripped.endsWith(content, end); left--)
        end -= content.length;
      return stripped.slice(0, end);
    });
  },

  Metaspace: (config) => {
    const replacement = text(config, "replacement", "\u2581");
    const scheme = config["prepend_scheme"] ?? (config["add_prefix_space"] === false ? "never" : "always");
    return onStrings((token, first) => {
      const stripped = first && scheme !== "never" ? stripStart(token, replacement, 1) : token;
      return stripped.replaceAll(replacement, " ");
    });
  },

  WordPiece: (config) => {
    const prefix = text(config, "prefix", "##");
    const cleanUp = config["cleanup"] !== false;
    return onStrings((token, first) => {
      const joined = first ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return cleanUp ? cleanUpWordPiece(joined) : joined;
    });
  },

  BPEDecoder: (config) => {
    const suffix = text(config, "suffix", "</w>");
    return () => {
      // The end of a word is a space only when another token follows.
      let space = "";
      return (token) => {
        if (typeof token !== "string") return token;
        const before = space;
        space = token.endsWith(suffix) ? " " : "";
        return before + token.replaceAll(suffix, "");
      };
    };
  },
};

/** `Strip` after `Fuse`: takes from the start of the whole text. */
function stripWhole(config: DecoderConfig): () => Step {
  const content = text(config, "content", " ");
  if (count(config, "stop") > 0) unsupported("Strip", "a stream cannot strip the end of a text");
  return () => {
    let left = count(config, "start");
    return (token) => {
      if (token.length === 0 || left === 0) return token;
      const fragment = typeof token === "string" ? token : new TextDecoder("latin1").decode(token);
      const stripped = stripStart(fragment, content, left);
      const taken = fragment.length - stripped.length;
      left = stripped === "" ? left - taken / content.length : 0;
      return token.slice(taken);
    };
  };
}

function stepsOf(config: DecoderConfig): (() => Step)[] {
  const list = config.type === "Sequence" ? config["decoders"] : [config];
  if (!Array.isArray(list)) throw new UserError("tokenizer.json: the decoder Sequence has no decoders");
  let fused = false;
  return (list as DecoderConfig[]).map((each) => {
    const type = String(each?.type);
    const maker = Object.hasOwn(steps, type) ? steps[type]! : unsupported(type, "it is not known");
    if (fused && type !== "Strip") unsupported(type, "after Fuse only Strip can be done in a stream");
    fused ||= type === "Fuse";
    return fused && type === "Strip" ? stripWhole(each) : maker(each);
  });
}

/** Makes the decoder of one stream after the other. Without a decoder tokens are joined by spaces. */
export function compileDecoder(
  config: DecoderConfig | null | undefined,
): (tokenOf: (id: number) => string) => Detokenizer {
  const separated = (): Step => (token, first) => (first ? token : ` ${token as string}`);
  const makers = config === null || config === undefined ? [separated] : stepsOf(config);
  return (tokenOf) => {
    const chain = makers.map((make) => make());
    let first = true;
    return {
      push(id) {
        let piece: string | Uint8Array = tokenOf(id);
        for (const step of chain) piece = step(piece, first);
        first = false;
        return typeof piece === "string" ? utf8.encode(piece) : piece;
      },
    };
  };
}
