/** Which records of a history are asked for. */

import { UserError } from "@quern/core/errors";
import { meantInstead } from "../define/nearest.ts";
import { patternMatcher } from "../define/pattern.ts";
import type { HistoryRecord } from "./record.ts";

export interface Selection {
  /** Patterns of identifiers; all without one. */
  readonly bench?: readonly string[] | undefined;
  /** Class of machine. */
  readonly class?: string | undefined;
  /** Milliseconds since 1970; records before are left out. */
  readonly since?: number | undefined;
}

/** Throws a `UserError` where a pattern or a class names nothing: a misspelt name must not look like "no change". */
export function selectRecords(
  records: readonly HistoryRecord[],
  { bench = [], class: machine, since = -Infinity }: Selection,
): HistoryRecord[] {
  const classes = [...new Set(records.map((record) => record.class))].sort();
  if (machine !== undefined && !classes.includes(machine))
    throw new UserError(`the history has no class "${machine}"`, {
      where: "--class",
      hint: meantInstead(machine, classes),
    });
  const names = [...new Set(records.map((record) => record.bench))].sort();
  const tests = bench.map((pattern) => {
    const matches = patternMatcher(pattern);
    if (!names.some(matches))
      throw new UserError(`the history has no bench like "${pattern}"`, {
        where: "--bench",
        hint: meantInstead(pattern, names),
      });
    return matches;
  });
  return records.filter(
    (record) =>
      (machine === undefined || record.class === machine) &&
      (tests.length === 0 || tests.some((matches) => matches(record.bench))) &&
      Date.parse(record.at) >= since,
  );
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

/** A moment: a date (`2026-11-01`, with a time if wanted), or how long ago (`36h`, `30d`, `8w`). In milliseconds since 1970. */
export function parseMoment(text: string, option: string, now: number = Date.now()): number {
  const age = /^(\d{1,6}(?:\.\d+)?)([hdw])$/.exec(text);
  if (age !== null) return now - Number(age[1]) * (UNITS[age[2] as string] as number);
  const date = /^\d{4}-\d\d-\d\d([T ].*)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(date)) return date;
  throw new UserError(`"${text}" is neither a date nor an age`, {
    where: option,
    hint: "For instance 2026-11-01, or 30d for thirty days ago.",
  });
}

/**
 * The one class of the records. Throws a `UserError` where they are of several, for what cannot say which number is of which
 * machine.
 */
export function onlyClass(records: readonly HistoryRecord[]): string | undefined {
  const classes = [...new Set(records.map((record) => record.class))].sort();
  if (classes.length <= 1) return classes[0];
  throw new UserError(`the history has records of ${classes.length} classes of machines, which are not mixed`, {
    where: "--class",
    hint: `Choose one: ${classes.join(", ")}.`,
  });
}
