/**
 * The debug registry: every environment variable of the stack, in one table.
 *
 * Each is also an API option, so tests never set the environment. Core has no Node types: the process environment is
 * reached through one locally typed accessor and is simply absent in browsers.
 */

export type EnvName =
  | "QUERN_DEBUG"
  | "QUERN_KERNEL"
  | "QUERN_DUMP"
  | "QUERN_VERIFY"
  | "QUERN_CHECK"
  | "QUERN_TRACE"
  | "QUERN_BLESS"
  | "QUERN_FEATURES";

export interface EnvVariable {
  readonly name: EnvName;
  readonly values: string;
  readonly meaning: string;
}

export const ENV_VARIABLES: readonly EnvVariable[] = [
  {
    name: "QUERN_DEBUG",
    values: "0..6",
    meaning:
      "Levels add up: 1 what ran, 2 a line per launch, 3 decisions, 4 generated code, 5 IR after each pass that changed it, 6 every rewrite rule that fired.",
  },
  { name: "QUERN_KERNEL", values: "glob", meaning: "Restricts levels 3 to 6 to kernels whose name matches." },
  { name: "QUERN_DUMP", values: "folder", meaning: "Writes numbered files of each stage of every compilation." },
  { name: "QUERN_VERIFY", values: "0|1", meaning: "Verifies the IR between all passes instead of only at the ends." },
  {
    name: "QUERN_CHECK",
    values: "0|1",
    meaning: "Runs every launch also on the reference interpreter and reports the first element beyond tolerance.",
  },
  { name: "QUERN_TRACE", values: "file", meaning: "Writes passes and launches as Chrome trace JSON." },
  { name: "QUERN_BLESS", values: "0|1", meaning: "Rewrites golden files in place (tests)." },
  {
    name: "QUERN_FEATURES",
    values: "avx2|avx512|avx512+vnni|+amx|-name",
    meaning: "Masks CPU features, as the option `features`.",
  },
];

/** The value of a variable, or `undefined` where it is unset or there is no environment. */
export function readEnv(name: EnvName): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  const value = process?.env?.[name];
  return value === "" ? undefined : value;
}

export function envFlag(name: EnvName): boolean {
  const value = readEnv(name);
  return value !== undefined && value !== "0";
}

let level: number | undefined;

/** The debug level; reading it costs one comparison when it is 0. */
export function debugLevel(): number {
  level ??= Number(readEnv("QUERN_DEBUG") ?? 0) || 0;
  return level;
}

/** Sets the level for this process (API form of `QUERN_DEBUG`). */
export function setDebugLevel(value: number): void {
  level = value;
}

/** Writes a line to standard error when the level is at least `minimum`; the text is made only then. */
export function debug(minimum: number, text: () => string): void {
  if (debugLevel() < minimum) return;
  const { console } = globalThis as unknown as { console: { error(text: string): void } };
  console.error(text());
}
