/** What was compared, how, and where, in lines that every report of a gate run shows. */

import type { ArmRecord, Results } from "../results/schema.ts";
import { digits, formatChange } from "./format.ts";

/** "main 1a2b3c4d5e6f (changed files)": what an arm was made from. */
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
  return [
    `profile ${policy.profile}`,
    `changes from ${digits(100 * policy.delta)} %`,
    `${policy.screenPairs} pairs, suspects ${policy.confirmPairs} more`,
    `${policy.rounds} rounds of ${digits(policy.sliceMs)} ms`,
    `q ${policy.q} (${policy.fdr === "bh" ? "Benjamini–Hochberg" : "Benjamini–Yekutieli"})`,
    `seed ${run?.seed ?? settings.seed}`,
  ].join(", ");
}

export function machineLine({ machine, environment }: Results): string {
  const of = environment === undefined ? "" : `, class ${environment.before.class}`;
  return `${machine.cpu.brand}, ${machine.cpu.cores} cores, ${machine.os} ${machine.kernel}, node ${machine.node} (machine ${machine.fingerprint}${of})`;
}

/** What moved the machine while it was measured; empty where nothing did. */
export function disturbances({ environment }: Results): string[] {
  if (environment === undefined) return [];
  return [
    ...(environment.disturbances ?? []),
    ...(environment.changed.length === 0 ? [] : [`changed during the run: ${environment.changed.join(", ")}`]),
    ...environment.controls
      .filter(({ moved }) => moved)
      .map(
        ({ id, estimate }) => `control ${id} moved${estimate === null ? "" : ` by ${formatChange(estimate.ratio)}`}`,
      ),
  ];
}

/** The command that repeats the run; undefined where the file does not say. */
export function reproduceCommand({ run, settings }: Results): string | undefined {
  if (run === undefined) return settings.command;
  const words = run.argv.includes("--seed") ? run.argv : [...run.argv, "--seed", String(run.seed)];
  return [run.tool.name, ...words].map(shellWord).join(" ");
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Benches that one of the arms does not have. */
export function missingLines({ skipped }: Results): string[] {
  return skipped.map(({ case: name, engine, reason }) => `${name} not measured in ${engine}: ${reason}`);
}
