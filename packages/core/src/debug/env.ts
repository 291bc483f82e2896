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
  | "QUERN_CACHE"
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
  {
    name: "QUERN_KERNEL",
    values: "glob",
    meaning:
      "Restricts levels 3 to 6 to kernels whose name matches (`*` stands for anything, `?` for one character); lines about no kernel in particular are left out.",
  },
  { name: "QUERN_DUMP", values: "folder", meaning: "Writes numbered files of each stage of every compilation." },
  { name: "QUERN_VERIFY", values: "0|1", meaning: "Verifies the IR between all passes instead of only at the ends." },
  {
    name: "QUERN_CHECK",
    values: "0|1",
    meaning:
      "Runs launch by launch on one thread and compares with the reference interpreter: reports the first element beyond tolerance. On CPUs every storage lies between guard pages; a write beside it, or (on Linux) a fault of generated code, is reported with kernel, node, instruction and storage.",
  },
  { name: "QUERN_TRACE", values: "file", meaning: "Writes passes and launches as Chrome trace JSON." },
  {
    name: "QUERN_CACHE",
    values: "0|1|folder",
    meaning:
      "Where compiled kernels are kept for later processes: 0 nowhere, 1 (the default) the user's cache folder. Not read at debug level 3 and above, with QUERN_CHECK, QUERN_DUMP or QUERN_VERIFY.",
  },
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

let kernelFilter: RegExp | null | undefined;

/** Restricts levels 3 to 6 to matching kernels (API form of `QUERN_KERNEL`); `undefined` lifts the restriction. */
export function setDebugKernel(glob: string | undefined): void {
  const pattern = glob
    ?.replace(/[\\^$.+()[\]{}|]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  kernelFilter = pattern === undefined ? null : new RegExp(`^${pattern}$`, "s");
}

function passesFilter(kernels: readonly string[]): boolean {
  if (kernelFilter === undefined) setDebugKernel(readEnv("QUERN_KERNEL"));
  const filter = kernelFilter;
  return filter === null || filter === undefined || kernels.some((kernel) => filter.test(kernel));
}

/**
 * Writes a line to standard error when the level is at least `minimum`; the text is made only then. From level 3 on,
 * `kernels` are the names of those that the line is about: see `QUERN_KERNEL`.
 */
export function debug(minimum: number, text: () => string, kernels: readonly string[] = []): void {
  if (debugLevel() < minimum) return;
  if (minimum >= 3 && !passesFilter(kernels)) return;
  const { console } = globalThis as unknown as { console: { error(text: string): void } };
  console.error(text());
}
