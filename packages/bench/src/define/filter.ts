/**
 * The language of `--filter`. A term is a pattern of identifiers (`gemm/*`, `sort`) or a condition on a parameter
 * (`dtype=f32`, `threads=1,2`, `n=1??`); `!` before a pattern and `!=` exclude. A bench is chosen when it matches one
 * of the identifier patterns, if there are any, every condition, and no exclusion. A filter that chooses nothing is an
 * error: a gate that measured nothing must not be green.
 */

import { UserError } from "@quern/core";
import { meantInstead } from "./nearest.ts";
import { patternMatcher } from "./pattern.ts";

/** What a filter looks at. */
export interface Filterable {
  readonly id: string;
  readonly params?: Readonly<Record<string, string | number>> | undefined;
}

type Term =
  | {
      readonly kind: "id";
      readonly text: string;
      readonly excludes: boolean;
      readonly matches: (id: string) => boolean;
    }
  | {
      readonly kind: "param";
      readonly text: string;
      readonly excludes: boolean;
      readonly key: string;
      readonly matches: (value: string) => boolean;
    };

const WHERE = "--filter";

function splitValues(text: string): string[] {
  // Commas within braces belong to a pattern.
  return text.split(/,(?![^{]*\})/).map((part) => part.trim());
}

function valueMatcher(text: string): (value: string) => boolean {
  const tests = splitValues(text).map((value) => {
    const matches = patternMatcher(value);
    const number = value === "" ? Number.NaN : Number(value);
    return (given: string): boolean => matches(given) || (!Number.isNaN(number) && Number(given) === number);
  });
  return (value) => tests.some((test) => test(value));
}

function parseTerm(text: string): Term {
  const condition = /^([A-Za-z_][\w.-]*)(!?)=(.*)$/su.exec(text);
  if (condition !== null) {
    const [, key = "", negation, value = ""] = condition;
    if (splitValues(value).includes("")) {
      throw new UserError(`"${text}" names no value`, { where: WHERE, hint: "For instance: dtype=f32 or n=64,128." });
    }
    return { kind: "param", text, excludes: negation === "!", key, matches: valueMatcher(value) };
  }
  const excludes = text.startsWith("!");
  const pattern = excludes ? text.slice(1) : text;
  if (pattern === "" || pattern.startsWith("!")) {
    throw new UserError(`"${text}" is no filter`, { where: WHERE, hint: "For instance: 'gemm/*/f32' or '!slow/*'." });
  }
  return { kind: "id", text, excludes, matches: patternMatcher(pattern) };
}

function requireKnownKeys(terms: readonly Term[], benches: readonly Filterable[]): void {
  const known = [...new Set(benches.flatMap(({ params }) => Object.keys(params ?? {})))].sort();
  for (const term of terms) {
    if (term.kind !== "param" || known.includes(term.key)) continue;
    throw new UserError(`no bench has a parameter "${term.key}"`, {
      where: `${WHERE} ${term.text}`,
      hint: meantInstead(term.key, known),
    });
  }
}

function valuesOf(params: Filterable["params"], key: string): string[] {
  const value = params?.[key];
  return value === undefined ? [] : [`${key}=${value}`];
}

/** A term of the filter names what exists, or the filter is misspelt: alone it would hide in a list of others. */
function requireUse(terms: readonly Term[], benches: readonly Filterable[]): void {
  for (const term of terms) {
    const used = benches.some((bench) => meets(term, bench));
    if (used) continue;
    const what = term.kind === "id" ? `no bench is named like "${term.text}"` : `no bench has ${term.text}`;
    const known =
      term.kind === "id"
        ? benches.map(({ id }) => id)
        : [...new Set(benches.flatMap(({ params }) => valuesOf(params, term.key)))].sort();
    throw new UserError(what, { where: WHERE, hint: meantInstead(term.text.replace(/^!/, ""), known) });
  }
}

/** Whether the bench is what the term speaks of, be it to choose or to exclude. */
function meets(term: Term, bench: Filterable): boolean {
  if (term.kind === "id") return term.matches(bench.id);
  const value = bench.params?.[term.key];
  return value !== undefined && term.matches(String(value));
}

/** The terms of one or several filter texts, which spaces separate. */
function filterTerms(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(/\s+/)).filter((term) => term !== "");
}

/** The benches that the terms choose, in their order; perhaps none. */
function chosenBy<B extends Filterable>(benches: readonly B[], terms: readonly Term[]): B[] {
  const excluding = terms.filter((term) => term.excludes);
  const named = terms.filter((term) => term.kind === "id" && !term.excludes);
  const conditions = terms.filter((term) => term.kind === "param" && !term.excludes);
  return benches.filter(
    (bench) =>
      (named.length === 0 || named.some((term) => meets(term, bench))) &&
      conditions.every((term) => meets(term, bench)) &&
      !excluding.some((term) => meets(term, bench)),
  );
}

/** As `filterBenches`, of a list that need not have what the filter speaks of: it may be that of one build of two. */
export function filterPart<B extends Filterable>(benches: readonly B[], filter: readonly string[]): B[] {
  return chosenBy(benches, filterTerms(filter).map(parseTerm));
}

/**
 * The benches that the filter chooses, in their order; all of them without a filter. Throws a `UserError` for a term
 * that speaks of no bench and when nothing is left.
 */
export function filterBenches<B extends Filterable>(benches: readonly B[], filter: readonly string[]): B[] {
  const terms = filterTerms(filter).map(parseTerm);
  if (terms.length === 0) {
    if (filter.length > 0) throw new UserError("the filter is empty", { where: WHERE });
    return [...benches];
  }
  requireKnownKeys(terms, benches);
  requireUse(terms, benches);
  const chosen = chosenBy(benches, terms);
  if (chosen.length === 0) {
    throw new UserError("the filter leaves no bench", {
      where: `${WHERE} ${terms.map(({ text }) => text).join(" ")}`,
      hint: "Patterns of identifiers add up; conditions on parameters must all hold.",
    });
  }
  return chosen;
}
