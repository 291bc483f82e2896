/**
 * The `post_processor` of a tokenizer.json: which special tokens stand around one text and between two. A record per type; all
 * become the same template.
 */
import { UnsupportedError, UserError } from "@quern/core";
import type { EncodedPair } from "../tokenizer.ts";

/** Special ids, or the place of the first or second text. `typeId` marks which text a place belongs to. */
interface Part {
  readonly place: readonly number[] | "first" | "second";
  readonly typeId: number;
}

export interface Template {
  readonly single: readonly Part[];
  readonly pair: readonly Part[];
}

type Config = Readonly<Record<string, unknown>>;

const first: Part = { place: "first", typeId: 0 };
const second: Part = { place: "second", typeId: 1 };
const plain: Template = { single: [first], pair: [first, second] };

function wrong(type: unknown, what: string): never {
  throw new UserError(`tokenizer.json: the post_processor ${String(type)} ${what}`);
}

/** `["[SEP]", 102]` */
function namedId(config: Config, key: string): number {
  const value = config[key];
  const id: unknown = Array.isArray(value) ? value[1] : undefined;
  return typeof id === "number" ? id : wrong(config["type"], `has no ${key}`);
}

function special(id: number, typeId: number): Part {
  return { place: [id], typeId };
}

const templates: Readonly<Record<string, (config: Config) => Template>> = {
  ByteLevel: () => plain,

  BertProcessing: (config) => {
    const [cls, sep] = [namedId(config, "cls"), namedId(config, "sep")];
    const single = [special(cls, 0), first, special(sep, 0)];
    return { single, pair: [...single, second, special(sep, 1)] };
  },

  // RoBERTa has one segment: all type ids are 0.
  RobertaProcessing: (config) => {
    const [cls, sep] = [namedId(config, "cls"), namedId(config, "sep")];
    const single = [special(cls, 0), first, special(sep, 0)];
    return { single, pair: [...single, special(sep, 0), { place: "second", typeId: 0 }, special(sep, 0)] };
  },

  TemplateProcessing: (config) => {
    const tokens = (config["special_tokens"] ?? {}) as Readonly<Record<string, { readonly ids?: unknown }>>;
    const part = (item: unknown): Part => {
      const { SpecialToken, Sequence } = (item ?? {}) as Readonly<Record<string, { id?: unknown; type_id?: unknown }>>;
      const typeId = Number((SpecialToken ?? Sequence)?.type_id ?? 0);
      if (Sequence !== undefined) return { place: Sequence.id === "B" ? "second" : "first", typeId };
      const name = String(SpecialToken?.id);
      const ids = Object.hasOwn(tokens, name) ? tokens[name]!.ids : undefined;
      return Array.isArray(ids)
        ? { place: ids as number[], typeId }
        : wrong("TemplateProcessing", `does not define ${name}`);
    };
    const parts = (key: string): Part[] => {
      const list = config[key];
      return Array.isArray(list) ? list.map(part) : wrong("TemplateProcessing", `has no ${key}`);
    };
    return { single: parts("single"), pair: parts("pair") };
  },

  // Each processor of a sequence works on what the ones before gave; only one of them adds tokens in any known file.
  Sequence: (config) => {
    const list = config["processors"];
    if (!Array.isArray(list)) return wrong("Sequence", "has no processors");
    const adding = list.map((each) => compilePostProcessor(each as Config)).filter((each) => each !== plain);
    if (adding.length > 1) {
      const reason = "more than one of its processors adds tokens";
      throw new UnsupportedError({ op: "post_processor Sequence", where: "tokenizer.json", reason });
    }
    return adding[0] ?? plain;
  },
};

export function compilePostProcessor(config: Config | null | undefined): Template {
  if (config === null || config === undefined) return plain;
  const type = String(config["type"]);
  const make = Object.hasOwn(templates, type) ? templates[type] : undefined;
  if (make !== undefined) return make(config);
  throw new UnsupportedError({ op: `post_processor ${type}`, where: "tokenizer.json", reason: "it is not known" });
}

/** Puts the ids of the texts into their places. */
export function fill(parts: readonly Part[], firstIds: readonly number[], secondIds: readonly number[]): EncodedPair {
  const ids: number[] = [];
  const typeIds: number[] = [];
  for (const { place, typeId } of parts) {
    for (const id of place === "first" ? firstIds : place === "second" ? secondIds : place) {
      ids.push(id);
      typeIds.push(typeId);
    }
  }
  return { ids, typeIds };
}
