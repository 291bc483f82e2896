/**
 * Regressions that a person accepts: lines `Bench-Accept: <id or pattern> +4% <reason>` in the commit messages of a
 * branch or the text of its pull request. They are reviewed with the change, echoed in the report and kept in results.
 *
 * A line that looks like one and is none is an error: an acceptance that nobody reads would fail a build in silence.
 */

import { readFileSync } from "node:fs";
import { UserError } from "@quern/core/errors";
import { meantInstead } from "../define/nearest.ts";
import { isPattern, patternMatcher } from "../define/pattern.ts";
import { percentShare } from "../define/settings.ts";

export interface Acceptance {
  /** Identifier of a bench, or a pattern. */
  readonly pattern: string;
  /** Largest slow-down that is accepted, as a share: 0.04 for +4%. */
  readonly limit: number;
  readonly reason: string;
  /** The line as it was written. */
  readonly trailer: string;
  /** Where it was written: a commit, a file and its line. */
  readonly where: string;
}

const KEY = "Bench-Accept";
const EXAMPLE = `${KEY}: sort/1e4 +4% exact sums need a second pass`;
const TRAILER = /^\s*bench-accept\s*:\s*(.*?)\s*$/i;
/** Spellings that somebody would use who means the trailer. */
const NEARLY = /^\s*bench[-_ ]?accept(s|ed|ance)?\s*(:|=|\s+\S+\s+[+-]?\d)/i;
const VALUE = /^(\S+)\s+\+(\d+(?:\.\d+)?)\s?%\s+(\S.*)$/;
const MOST = 10;

/** Comments of HTML show nowhere: what they hold, a template's example say, was not reviewed. Lines keep their numbers. */
function withoutComments(text: string): string {
  return text.replace(/<!--.*?(-->|$)/gs, (comment) => comment.replace(/[^\n]/g, ""));
}

/** All acceptances of a text. `where` names it. Throws a `UserError` with the line that is malformed. */
export function parseAcceptances(text: string, where: string): Acceptance[] {
  return withoutComments(text)
    .split(/\r?\n/)
    .flatMap((line, index) => {
      const at = `${where}, line ${index + 1}`;
      const match = TRAILER.exec(line);
      if (match === null) {
        if (!NEARLY.test(line)) return [];
        throw new UserError(`"${line.trim()}" is no ${KEY} line`, { where: at, hint: `For instance: ${EXAMPLE}` });
      }
      return [parseValue(match[1] ?? "", line.trim(), at)];
    });
}

function parseValue(value: string, trailer: string, where: string): Acceptance {
  const [, pattern, percent, reason] = VALUE.exec(value) ?? [];
  const hint = `For instance: ${EXAMPLE}`;
  if (pattern === undefined || percent === undefined || reason === undefined) {
    throw new UserError(`"${trailer}" is malformed: ${whatIsWrong(value)}`, { where, hint });
  }
  const limit = percentShare(Number(percent));
  if (!(limit > 0 && limit <= MOST)) {
    throw new UserError(`"${trailer}" is malformed: the limit lies above 0% and up to ${100 * MOST}%`, { where, hint });
  }
  return { pattern, limit, reason, trailer, where };
}

function whatIsWrong(value: string): string {
  const [pattern = "", limit = "", ...reason] = value.split(/\s+/);
  if (pattern === "") return "it names no bench";
  if (/^[+-]?\d/.test(pattern)) return "the bench comes first";
  if (limit === "") return "it has no limit";
  if (limit.startsWith("-")) return "only slow-downs need accepting";
  if (!/^\+\d+(\.\d+)?(%|$)/.test(limit)) return `"${limit}" is no limit such as +4%`;
  if (!limit.includes("%") && reason[0] !== "%") return `"${limit}" has no per cent sign`;
  return "it gives no reason";
}

export interface AcceptanceSources {
  /** Messages of the commits between base and head. */
  readonly commits?: readonly { readonly commit: string; readonly message: string }[];
  /** Path given by `--accept-from`: the text of a pull request. */
  readonly file?: string | undefined;
  /** Text of the variable BENCH_ACCEPT. */
  readonly environment?: string | undefined;
}

const SHORT = 10;

/** Acceptances of all sources: commits oldest first, the file, the environment. */
export function collectAcceptances({ commits = [], file, environment }: AcceptanceSources): Acceptance[] {
  return [
    ...commits.flatMap(({ commit, message }) => parseAcceptances(message, `message of ${commit.slice(0, SHORT)}`)),
    ...(file === undefined ? [] : parseAcceptances(readText(file), file)),
    ...(environment === undefined ? [] : parseAcceptances(environment, "BENCH_ACCEPT")),
  ];
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new UserError(`the file cannot be read (${(cause as Error).message})`, {
      where: `--accept-from ${file}`,
      cause,
    });
  }
}

/**
 * The acceptance that speaks of a bench, or undefined: one that names the bench itself before a pattern, among equals
 * the largest limit (two commits of a branch may each accept their part).
 */
export function acceptanceFor(id: string, acceptances: readonly Acceptance[]): Acceptance | undefined {
  const fitting = acceptances.filter(({ pattern }) => patternMatcher(pattern)(id));
  const named = fitting.filter(({ pattern }) => pattern === id);
  return (named.length > 0 ? named : fitting).reduce<Acceptance | undefined>(
    (most, one) => (most === undefined || one.limit > most.limit ? one : most),
    undefined,
  );
}

/** Throws a `UserError` for an acceptance that speaks of no bench: it is misspelt, or the bench is gone. */
export function requireKnownBenches(acceptances: readonly Acceptance[], ids: readonly string[]): void {
  for (const { pattern, trailer, where } of acceptances) {
    if (ids.some(patternMatcher(pattern))) continue;
    const hint = isPattern(pattern) ? `Benches: ${ids.slice(0, 12).join(", ")}.` : meantInstead(pattern, ids);
    throw new UserError(`"${trailer}" speaks of no bench`, { where, hint });
  }
}
