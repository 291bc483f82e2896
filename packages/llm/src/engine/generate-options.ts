/** What a caller can ask of a generation, checked before anything runs. */

import { UserError } from "@quern/core";
import { randomSeed } from "./sampling/random.ts";
import type { SamplingSettings } from "./sampling/samplers.ts";

export interface SamplingOptions {
  /** Divides the logits; 0 takes the most probable token always. Default: 0.8. */
  readonly temperature?: number | undefined;
  /** Keeps this many of the most probable tokens; 0 keeps all. Default: 40. */
  readonly topK?: number | undefined;
  /** Keeps the fewest most probable tokens that have this probability together. Default: 0.95. */
  readonly topP?: number | undefined;
  /** Drops tokens less probable than this share of the most probable one. Default: 0.05. */
  readonly minP?: number | undefined;
  /** Keeps the tokens of the most typical information content that have this probability together. Default: 1, off. */
  readonly typicalP?: number | undefined;
  /** Divides positive logits of tokens that occurred and multiplies negative ones. Default: 1, off. */
  readonly repetitionPenalty?: number | undefined;
  /** Subtracted from the logits of tokens that occurred. Default: 0. */
  readonly presencePenalty?: number | undefined;
  /** Subtracted for each time that a token occurred. Default: 0. */
  readonly frequencyPenalty?: number | undefined;
  /** How many of the last tokens, prompt included, the penalties look at; Infinity for all. Default: 64. */
  readonly penaltyWindow?: number | undefined;
  /** Added to logits by token id; −Infinity excludes a token. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>> | undefined;
  /** Any integer within ±2^53. The same seed gives the same choices. Default: random; the summary names it. */
  readonly seed?: number | undefined;
}

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate. Default: as many as the context has room for. */
  readonly maxTokens?: number | undefined;
  /** Texts that end the generation. They are not part of the text. */
  readonly stop?: string | readonly string[] | undefined;
  /** Tokens that end the generation besides those that the model has for it. */
  readonly stopTokens?: readonly number[] | undefined;
  /** Goes on after tokens that end a text or a turn, for benchmarks. Default: false. */
  readonly ignoreEnd?: boolean | undefined;
  /** Gives the log-probability of every token, and the most probable alternatives, this many. */
  readonly logProbabilities?: number | undefined;
  /** Keeps control tokens in the text. Default: false. */
  readonly specialText?: boolean | undefined;
  /** Takes the names of control tokens in a prompt string for these tokens. Default: false. */
  readonly parseSpecial?: boolean | undefined;
  /** Jinja source that renders messages in place of the model's own chat template. */
  readonly chatTemplate?: string | undefined;
  /** Further variables of the chat template, and `tools`. Only with messages. */
  readonly template?: Readonly<Record<string, unknown>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `GenerateOptions` with every value set and valid. */
export interface GenerateSettings extends SamplingSettings {
  readonly seed: number;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly stopTokens: readonly number[];
  readonly ignoreEnd: boolean;
  readonly logProbabilities: number | undefined;
  readonly specialText: boolean;
  readonly parseSpecial: boolean;
  readonly chatTemplate: string | undefined;
  readonly template: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal | undefined;
}

interface Option {
  readonly otherwise: unknown;
  /** Completes "NAME must be …". */
  readonly expected: string;
  readonly valid: (value: unknown, vocabularySize: number) => boolean;
}

type Check = (value: number) => boolean;
const number =
  (check: Check): Option["valid"] =>
  (value) =>
    typeof value === "number" && check(value);
const finite: Check = (value) => Number.isFinite(value);
const share: Check = (value) => value > 0 && value <= 1;
const integerFrom = (least: number): Check => {
  return (value) => Number.isSafeInteger(value) && value >= least;
};
const flag: Option = { otherwise: false, expected: "a boolean", valid: (value) => typeof value === "boolean" };

function isToken(value: unknown, vocabularySize: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < vocabularySize;
}

function isBias(value: unknown, vocabularySize: number): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return biasEntries(value).every(
    ([token, bias]) => isToken(token, vocabularySize) && typeof bias === "number" && bias < Infinity,
  );
}

function biasEntries(value: object): [number, number][] {
  if (value instanceof Map) return [...(value as Map<number, number>)];
  return Object.entries(value as Record<string, number>).map(([token, bias]) => [Number(token), bias]);
}

const options: Readonly<Record<keyof GenerateSettings, Option>> = {
  temperature: { otherwise: 0.8, expected: "0 or a positive number", valid: number((v) => finite(v) && v >= 0) },
  topK: { otherwise: 40, expected: "0 or a positive integer", valid: number(integerFrom(0)) },
  topP: { otherwise: 0.95, expected: "above 0 and at most 1", valid: number(share) },
  minP: { otherwise: 0.05, expected: "between 0 and 1", valid: number((v) => v >= 0 && v <= 1) },
  typicalP: { otherwise: 1, expected: "above 0 and at most 1", valid: number(share) },
  repetitionPenalty: { otherwise: 1, expected: "a positive number", valid: number((v) => finite(v) && v > 0) },
  presencePenalty: { otherwise: 0, expected: "a number", valid: number(finite) },
  frequencyPenalty: { otherwise: 0, expected: "a number", valid: number(finite) },
  penaltyWindow: {
    otherwise: 64,
    expected: "0, a positive integer or Infinity",
    valid: number((v) => v === Infinity || integerFrom(0)(v)),
  },
  logitBias: { otherwise: {}, expected: "a map from token ids to numbers below Infinity", valid: isBias },
  seed: { otherwise: undefined, expected: "an integer within ±2^53", valid: number(Number.isSafeInteger) },
  maxTokens: {
    otherwise: Infinity,
    expected: "a positive integer",
    valid: number((v) => v === Infinity || integerFrom(1)(v)),
  },
  stop: {
    otherwise: [],
    expected: "a text, or a list of texts, none of them empty",
    valid: (value) => [value].flat().every((item) => typeof item === "string" && item !== ""),
  },
  stopTokens: {
    otherwise: [],
    expected: "a list of token ids of the vocabulary",
    valid: (value, size) => Array.isArray(value) && value.every((item) => isToken(item, size)),
  },
  ignoreEnd: flag,
  logProbabilities: { otherwise: undefined, expected: "0 or a positive integer", valid: number(integerFrom(0)) },
  specialText: flag,
  parseSpecial: flag,
  chatTemplate: { otherwise: undefined, expected: "Jinja source", valid: (value) => typeof value === "string" },
  template: {
    otherwise: {},
    expected: "a record of variables",
    valid: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  },
  signal: { otherwise: undefined, expected: "an AbortSignal", valid: (value) => value instanceof AbortSignal },
};

/** Checks options and sets what is missing. Throws one `UserError` with everything that is wrong. */
export function generateSettings(given: GenerateOptions, vocabularySize: number): GenerateSettings {
  const problems: string[] = [];
  const settings: Record<string, unknown> = {};
  for (const [name, { otherwise, expected, valid }] of Object.entries(options)) {
    const value = (given as Record<string, unknown>)[name];
    settings[name] = value ?? otherwise;
    if (value !== undefined && !valid(value, vocabularySize))
      problems.push(`${name} must be ${expected}, not ${shown(value)}`);
  }
  for (const name of Object.keys(given))
    if (!Object.hasOwn(options, name)) problems.push(`there is no option "${name}"`);
  if (problems.length > 0) {
    const known = Object.keys(options).join(", ");
    const hint = problems.some((problem) => problem.startsWith("there is no")) ? `the options are ${known}` : undefined;
    throw new UserError(`options of generate: ${problems.join("; ")}`, { hint });
  }
  return {
    ...(settings as unknown as GenerateSettings),
    seed: given.seed ?? randomSeed(),
    stop: [settings["stop"] as string].flat(),
    logitBias: new Map(biasEntries(settings["logitBias"] as object)),
  };
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? typeof value).slice(0, 60);
}
