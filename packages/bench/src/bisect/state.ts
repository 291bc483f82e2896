/**
 * The file that an interrupted bisection goes on from: the question and every comparison so far. It is replaced as a whole
 * after each comparison, so that it never holds half of one.
 */

import { existsSync, readFileSync } from "node:fs";
import { UserError } from "@quern/core/errors";
import { writeJson } from "../commands/write-file.ts";
import { Refusal, saysDiskFull } from "../paired/arms/refusal.ts";
import type { Probe, Rules } from "./probes.ts";

const STATE_SCHEMA = "quern.bisect/1";

export interface BisectState {
  readonly schema: typeof STATE_SCHEMA;
  readonly bench: string;
  readonly good: string;
  /** Sources of the builds after the good one. */
  readonly after: readonly string[];
  /** How builds were measured. */
  readonly measured: string;
  readonly rules: Rules;
  readonly probes: readonly Probe[];
}

export type Question = Omit<BisectState, "schema" | "probes">;

/** Comparisons made before for the same question; none where there is no file. Throws for a file of another question. */
export function readState(file: string, question: Question): readonly Probe[] {
  if (!existsSync(file)) return [];
  const state = parse(file);
  for (const key of ["bench", "good", "after", "rules", "measured"] as const) {
    if (JSON.stringify(state[key]) === JSON.stringify(question[key])) continue;
    const what = key === "measured" ? "settings, or which bench files run, differ" : `its "${key}" differs`;
    throw new UserError(`the file belongs to another bisection: ${what}`, {
      where: file,
      hint: "Name another file by --state, or begin anew with --restart.",
    });
  }
  return state.probes;
}

export function writeState(file: string, question: Question, probes: readonly Probe[]): void {
  const state: BisectState = { schema: STATE_SCHEMA, ...question, probes };
  try {
    writeJson(file, state);
  } catch (error) {
    if (!(error instanceof UserError) || !saysDiskFull(String(error.cause))) throw error;
    throw new Refusal("disk-full", "the state of the bisection cannot be written: the disk is full", {
      where: file,
      hint: "Free some space: the same call goes on from the comparison before.",
      cause: error,
    });
  }
}

function parse(file: string): BisectState {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new UserError(`the state of the bisection cannot be read (${(cause as Error).message})`, {
      where: file,
      hint: "Begin anew with --restart.",
      cause,
    });
  }
  const wrong = faultOf(value);
  if (wrong === undefined) return value as BisectState;
  throw new UserError(`this is no state of a bisection: ${wrong}`, {
    where: file,
    hint: "Name another file by --state, or begin anew with --restart.",
  });
}

function faultOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return "it is no object";
  const state = value as Partial<Record<keyof BisectState, unknown>>;
  if (state.schema !== STATE_SCHEMA) return `its schema is ${JSON.stringify(state.schema)}, not "${STATE_SCHEMA}"`;
  if (!Array.isArray(state.after)) return "it lists no builds";
  if (!Array.isArray(state.probes)) return "it lists no comparisons";
  const count = state.after.length;
  const at = state.probes.findIndex((probe: unknown) => !isProbe(probe, count));
  return at === -1 ? undefined : `comparison ${at + 1} is malformed`;
}

function isProbe(value: unknown, count: number): value is Probe {
  if (typeof value !== "object" || value === null) return false;
  const { index, pairs, ratio, low, high, verdict } = value as Record<keyof Probe, unknown>;
  const isRatio = (given: unknown): boolean =>
    given === null || (typeof given === "number" && given >= 0 && Number.isFinite(given));
  return (
    Number.isInteger(index) &&
    (index as number) >= 0 &&
    (index as number) < count &&
    Number.isInteger(pairs) &&
    [ratio, low, high].every(isRatio) &&
    ["measured", "invalid", "error"].includes(String(verdict))
  );
}
