/**
 * The settings of a gate, one record each: its key in the configuration file, its environment variable, how text is read
 * and what values are possible. Flags, variables, file and the report of where a value came from are derived from the
 * records.
 */

import { processorsOf, type Pinning } from "../paired/pinning.ts";

export const PROFILES = ["quick", "ci", "rigorous"] as const;
export type Profile = (typeof PROFILES)[number];

export const CORRECTIONS = ["bh", "by"] as const;

export interface Settings {
  /** Which preset fills in what is not set. */
  readonly profile: Profile;
  /** Practical threshold: a slow-down of this share matters. */
  readonly delta: number;
  /** Null margin of the test: a slow-down of this share does not count as one. */
  readonly delta0: number;
  /** False discovery rate of the confirmation. */
  readonly q: number;
  /** "bh": Benjamini and Hochberg; "by": Benjamini and Yekutieli, for any dependence. */
  readonly fdr: (typeof CORRECTIONS)[number];
  /** Process pairs of the screening, of the confirmation, and of an extension for what this leaves open: as many; 0: none. */
  readonly pairs: readonly [screen: number, confirm: number, extension?: number];
  /** In each pair. */
  readonly rounds: number;
  /** Length of a slice in ms. */
  readonly sliceMs: number;
  /** Processors that pairs are timed on. */
  readonly pin: Pinning;
  /** Threads that a bench may use. */
  readonly threads: number;
  readonly seed: number;
  /** Seconds that the whole run may take; null: as long as it needs. */
  readonly budgetS: number | null;
  /** Inconclusive benches fail the run. */
  readonly strict: boolean;
  /** Seconds after which a process that does not answer is ended. */
  readonly timeoutS: number;
}

export type SettingKey = keyof Settings;

export interface Setting<Value> {
  readonly env: string;
  /** Long option of the command line. */
  readonly flag: string;
  /** What the values are, to complete "… is not". */
  readonly takes: string;
  /** Of text; undefined where the text is no such value. */
  parse(text: string): Value | undefined;
  /** Of a value in the file. */
  accepts(value: unknown): boolean;
}

function numeric(text: string): number | undefined {
  const value = Number(text);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(value) ? value : undefined;
}

function choice<const V extends string>(values: readonly V[]): Pick<Setting<V>, "takes" | "parse" | "accepts"> {
  return {
    takes: `one of ${values.join(", ")}`,
    parse: (text) => values.find((value) => value === text),
    accepts: (value) => (values as readonly unknown[]).includes(value),
  };
}

function whole(least: number, most: number): Pick<Setting<number>, "takes" | "parse" | "accepts"> {
  const accepts = (value: unknown): boolean =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
  return {
    takes: `a whole number from ${least} to ${most}`,
    parse: (text) => [numeric(text)].find(accepts),
    accepts,
  };
}

/** A share written as a number below one or in per cent. */
function share(least: number, most: number): Pick<Setting<number>, "takes" | "parse" | "accepts"> {
  const accepts = (value: unknown): boolean => typeof value === "number" && value >= least && value <= most;
  return {
    takes: `a share from ${least} to ${most}, such as 0.025 or 2.5%`,
    parse: (text) => {
      const percent = text.endsWith("%");
      const value = numeric(percent ? text.slice(0, -1) : text);
      return [value === undefined ? undefined : percent ? percentShare(value) : value].find(accepts);
    },
    accepts,
  };
}

/** 2.5 % as 0.025 and not 0.025000000000000001: the nearest number to what was written. */
export function percentShare(percent: number): number {
  const [mantissa, exponent = "0"] = String(percent).split("e");
  return Number(`${mantissa}e${Number(exponent) - 2}`);
}

const SECONDS: Readonly<Record<string, number>> = { ms: 1e-3, s: 1, m: 60, min: 60, h: 3600 };

/** A duration with a unit; a bare number is in `unit`. Values are in `unit`. */
function duration(unit: "ms" | "s", least: number, most: number): Pick<Setting<number>, "takes" | "parse" | "accepts"> {
  const accepts = (value: unknown): boolean => typeof value === "number" && value >= least && value <= most;
  return {
    takes: `a duration from ${least} ${unit} to ${most} ${unit}`,
    parse: (text) => {
      const match = /^([\d.e+-]+?)\s*([a-z]*)$/i.exec(text);
      const value = numeric(match?.[1] ?? "");
      const seconds = SECONDS[match?.[2] || unit];
      if (value === undefined || seconds === undefined) return undefined;
      return [(value * seconds) / (SECONDS[unit] as number)].find(accepts);
    },
    accepts,
  };
}

const MAX_PROCESSOR = 4095;

function listedProcessors(text: string): readonly number[] | undefined {
  if (!/^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$/.test(text)) return undefined;
  const parts = text.split(",").map(processorsOf);
  // A range that runs backwards names none.
  if (parts.some((part) => part.length === 0)) return undefined;
  return [parts.flat()].find(isProcessorList);
}

/** Each processor once: one that is listed twice would be drawn twice as often. */
function isProcessorList(list: readonly unknown[]): boolean {
  const possible = (item: unknown): boolean =>
    Number.isInteger(item) && Number(item) >= 0 && Number(item) <= MAX_PROCESSOR;
  return list.length > 0 && list.every(possible) && new Set(list).size === list.length;
}

const MAX_PAIRS = 1000;

/** Fewest pairs that a test can use: three values have two degrees of freedom. */
export const FEWEST_PAIRS = 3;

const pair = whole(FEWEST_PAIRS, MAX_PAIRS);

const extension = whole(0, MAX_PAIRS);

const budget = duration("s", 1, 7 * 86_400);

const YES: Readonly<Record<string, boolean>> = {
  "": true,
  1: true,
  true: true,
  yes: true,
  0: false,
  false: false,
  no: false,
};

export const SETTINGS: { readonly [Key in SettingKey]: Setting<Settings[Key]> } = {
  profile: { env: "BENCH_PROFILE", flag: "--profile", ...choice(PROFILES) },
  delta: { env: "BENCH_DELTA", flag: "--delta", ...share(0.001, 10) },
  delta0: { env: "BENCH_DELTA0", flag: "--delta0", ...share(0, 1) },
  q: { env: "BENCH_Q", flag: "--q", ...share(1e-6, 0.5) },
  fdr: { env: "BENCH_FDR", flag: "--fdr", ...choice(CORRECTIONS) },
  pairs: {
    env: "BENCH_PAIRS",
    flag: "--pairs",
    takes: `two whole numbers from ${FEWEST_PAIRS} to ${MAX_PAIRS}, such as 16,48, or three with those of the extension, such as 16,48,0`,
    parse: (text) => {
      const [first = "", second = "", third, ...more] = text.split(",").map((part) => part.trim());
      const [screen, confirm] = [pair.parse(first), pair.parse(second)];
      if (screen === undefined || confirm === undefined || more.length > 0) return undefined;
      if (third === undefined) return [screen, confirm];
      const further = extension.parse(third);
      return further === undefined ? undefined : [screen, confirm, further];
    },
    accepts: (value) => {
      if (!Array.isArray(value) || value.length < 2 || value.length > 3) return false;
      const [screen, confirm, further = 0] = value as unknown[];
      return pair.accepts(screen) && pair.accepts(confirm) && extension.accepts(further);
    },
  },
  rounds: { env: "BENCH_ROUNDS", flag: "--rounds", ...whole(1, 1000) },
  sliceMs: { env: "BENCH_SLICE", flag: "--slice", ...duration("ms", 0.1, 1000) },
  pin: {
    env: "BENCH_PIN",
    flag: "--pin",
    takes: "auto, none, or a list of processors such as 0,2-3 ([0, 2, 3] in a file)",
    parse: (text) => (text === "auto" || text === "none" ? text : listedProcessors(text)),
    accepts: (value) => value === "auto" || value === "none" || (Array.isArray(value) && isProcessorList(value)),
  },
  threads: { env: "BENCH_THREADS", flag: "--threads", ...whole(1, 1024) },
  seed: { env: "BENCH_SEED", flag: "--seed", ...whole(0, 2 ** 31 - 1) },
  budgetS: {
    env: "BENCH_BUDGET",
    flag: "--budget",
    takes: `${budget.takes}, such as 8m, or none`,
    parse: (text) => (text === "none" ? null : budget.parse(text)),
    accepts: (value) => value === null || budget.accepts(value),
  },
  strict: {
    env: "BENCH_STRICT",
    flag: "--strict",
    takes: "true or false",
    parse: (text) => YES[text.toLowerCase()],
    accepts: (value) => typeof value === "boolean",
  },
  timeoutS: { env: "BENCH_TIMEOUT", flag: "--timeout", ...duration("s", 1, 86_400) },
};

export const SETTING_KEYS: readonly SettingKey[] = Object.keys(SETTINGS) as SettingKey[];
