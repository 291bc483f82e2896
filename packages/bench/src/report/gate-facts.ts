/** What was compared, how, and where, in lines that every report of a gate run shows. */

import { reasonsOf } from "../gate/disturbance.ts";
import { POLICIES } from "../gate/policy.ts";
import type { ArmRecord, Results } from "../results/schema.ts";
import { digits } from "./format.ts";

/** "main 1a2b3c4d5e6f with changes": what an arm was made from. */
export function armText({ source, commit, dirty }: ArmRecord): string {
  return [
    source,
    ...(commit === undefined || commit === source ? [] : [commit.slice(0, 12)]),
    ...(dirty === true ? ["with changes"] : []),
  ].join(" ");
}

export function armsLine({ arms = [] }: Results): string {
  return arms.map((arm) => `${arm.name}: ${armText(arm)}`).join(" · ");
}

export function policyLine({ run, settings }: Results): string {
  const policy = run?.policy;
  if (policy === undefined) return `seed ${settings.seed}`;
  const { extensionPairs = 0 } = policy;
  const extension = extensionPairs === 0 ? "" : `, those left open another ${extensionPairs}`;
  const { screenPairs, screenAtLeast = 0 } = policy;
  const pairs = screenAtLeast === 0 ? `${screenPairs}` : `${screenAtLeast} to ${screenPairs}`;
  return [
    `profile ${policy.profile}`,
    `changes from ${digits(100 * policy.delta)} %`,
    `${pairs} pairs, suspects ${policy.confirmPairs} more${extension}`,
    `${policy.rounds} rounds of ${digits(policy.sliceMs)} ms`,
    `q ${policy.q} (${policy.fdr === "bh" ? "Benjamini–Hochberg" : "Benjamini–Yekutieli"})`,
    `seed ${run?.seed ?? settings.seed}`,
  ].join(", ");
}

export function machineLine({ machine, environment }: Results): string {
  const of = environment === undefined ? "" : `, class ${environment.before.class}`;
  const unused = environment?.foreignCalibration === true ? "; calibration of another class of machine, not used" : "";
  return `${machine.cpu.brand}, ${machine.cpu.cores} cores, ${machine.os} ${machine.kernel}, node ${machine.node} (machine ${machine.fingerprint}${of})${unused}`;
}

/** What makes the numbers of a run worthless: a file that is none of the arm's, a machine that moved. Empty where nothing does. */
export function disturbances({ environment, run }: Results): string[] {
  if (environment === undefined) return [];
  return [...(environment.foreignFiles ?? []), ...reasonsOf(environment, { ...POLICIES.ci, ...run?.policy })];
}

/** What a refusal says below its first line: where, what to do, the end of a build's output. */
export function refusalDetails({ run }: Results): string[] {
  const [, ...details] = (run?.refused ?? "").split("\n");
  return details.filter((line) => line.trim() !== "");
}

/** The command that repeats the run; undefined where the file does not say. Where its reports went is left out, and what was accepted. */
export function reproduceCommand({ run, settings }: Results): string | undefined {
  if (run === undefined) return settings.command;
  const words = withoutOutputs(run.argv);
  // A refused run has drawn nothing from a seed.
  const seed = run.refused !== undefined || words.includes("--seed") ? [] : ["--seed", String(run.seed)];
  return commandLine([run.tool.name, ...words, ...seed]);
}

/** Options with files that nobody else has: of reports, of the text of a pull request; and those without a file. */
const FILE_OPTIONS = new Set(["-o", "--output", "--json", "--html", "--keep", "--accept-from"]);
const SILENT_OPTIONS = new Set(["-q", "--quiet", "-v", "--verbose", "--json-summary"]);

function withoutOutputs(argv: readonly string[]): string[] {
  return argv.filter((word, i) => {
    const name = word.split("=", 1)[0] as string;
    return !FILE_OPTIONS.has(name) && !SILENT_OPTIONS.has(word) && !FILE_OPTIONS.has(argv[i - 1] ?? "");
  });
}

/** Words as a shell reads them. */
export function commandLine(words: readonly string[]): string {
  return words.map(shellWord).join(" ");
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Benches that one of the arms does not have, or that were left out. */
export function missingLines({ skipped }: Pick<Results, "skipped">): string[] {
  return skipped.map(({ case: name, engine, reason }) => `${name} not measured in ${engine}: ${reason}`);
}

/** Those among them that fail in the base, and have passed nothing. */
export function failingInBase({ skipped }: Results): string[] {
  return missingLines({ skipped: skipped.filter(({ failed }) => failed === true) });
}
