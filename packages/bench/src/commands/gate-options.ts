/** Options that `gate` and `ab` share. The settings among them come from their records (`define/settings.ts`). */

import { Option, type Command } from "commander";
import { SETTINGS, SETTING_KEYS, type SettingKey } from "../define/settings.ts";
import type { Flags } from "../define/resolve-config.ts";
import { OUTPUT_FORMATS } from "./outputs.ts";

export interface GateFlags {
  readonly base: string;
  readonly head: string;
  readonly exact?: boolean;
  readonly filter?: readonly string[];
  readonly config?: string;
  readonly acceptFrom?: string;
  readonly advisory?: boolean;
  readonly output?: readonly string[];
  readonly json?: string;
  readonly dryRun?: boolean;
  readonly dumpConfig?: boolean;
  readonly jsonSummary?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly calibration?: string;
  readonly allowIdentical?: boolean;
  readonly identical?: "error" | "neutral";
}

const WHAT: { readonly [Key in SettingKey]: string } = {
  profile: "quick (advisory), ci or rigorous: how many pairs",
  delta: "smallest change that matters",
  delta0: "margin of the null hypothesis",
  q: "false discovery rate of the confirmation",
  fdr: "correction for many suspects: bh, or by for any dependence",
  pairs:
    "process pairs of screening and confirmation, as 16,48; a third number: of an extension for what stays open (default: as many)",
  rounds: "rounds in each pair",
  sliceMs: "length of a slice",
  pin: "processors that pairs are timed on: auto, none, or a list",
  threads: "threads that a bench may use",
  seed: "seed of orders and inputs",
  budgetS: "longest time of the whole run, as 8m",
  strict: "an inconclusive bench fails the run",
  timeoutS: "longest wait for a process",
};

/** Parser of an option that may be given several times. */
export function collect(text: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), text];
}

/** Name under which commander keeps an option: "--slice" is `slice`. */
function nameOf(flag: string): string {
  return flag.slice(2).replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

export interface SettingChoice {
  readonly without?: readonly SettingKey[];
  /** Where a setting means something else than to a gate. */
  readonly what?: { readonly [Key in SettingKey]?: string };
  /** The command reads no variables. */
  readonly noVariables?: boolean;
}

/** Adds the options of settings; their text is read where they are merged with file and environment. */
export function addSettings(command: Command, choice: SettingChoice = {}): Command {
  const { without = [], what = {}, noVariables = false } = choice;
  for (const key of SETTING_KEYS) {
    if (without.includes(key)) continue;
    const { flag, env } = SETTINGS[key];
    const value = key === "strict" ? "" : " <value>";
    const short = key === "threads" ? "-t, " : "";
    const text = `${what[key] ?? WHAT[key]}${noVariables ? "" : ` (${env})`}`;
    command.addOption(new Option(`${short}${flag}${value}`, text));
  }
  return command;
}

/** The settings among the options that were given. */
export function settingFlags(options: Readonly<Record<string, unknown>>): Flags {
  const given = SETTING_KEYS.flatMap((key) => {
    const value = options[nameOf(SETTINGS[key].flag)];
    return value === undefined ? [] : [[key, value] as const];
  });
  return Object.fromEntries(given) as Flags;
}

export function addGateOptions(command: Command): Command {
  command
    .requiredOption("--base <what>", "git reference, directory or npm:package@version to compare with")
    .option("--head <what>", "what is judged, likewise", ".")
    .option("--exact", "the base itself, not its merge base with the head")
    .option("-f, --filter <terms>", "benches by name or parameter, as 'gemm/*' dtype=f32 '!slow/*'", collect)
    .option("--config <file>", "configuration; default: quern.bench.config.ts here or above");
  addSettings(command);
  return command
    .option("-o, --output <format[=file]>", `report, repeatable: ${OUTPUT_FORMATS.join(", ")}`, collect)
    .option("--json <file>", "the same as -o json=<file>")
    .option("--calibration <file>", "floors of benches from `calibrate`", "bench.calibration.json")
    .option("--allow-identical", "the arms may be the same: what differs then is noise")
    .option("--dry-run", "show the plan, how long it takes and what it would find")
    .option("--dump-config", "show the configuration that counts, and where it came from")
    .option("--json-summary", "one line of JSON last on standard output")
    .option("-q, --quiet", "no progress")
    .option("-v, --verbose", "more of each bench");
}
