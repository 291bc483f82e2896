/**
 * `quern-bench doctor`, which is also `quern doctor --bench`: whether times measured here can be trusted, and what would mend
 * what stands in the way.
 */

import type { Command } from "commander";
import { type Diagnosis, diagnoseMachine } from "../doctor/diagnose.ts";
import type { Condition } from "../doctor/finding.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { plainText } from "../report/escape.ts";
import { numberOption } from "./number-option.ts";
import { requireWritable, writeJson } from "./write-file.ts";

export interface BenchDoctorOptions {
  readonly json?: string | undefined;
  /** Seconds of measurement. Default: 1. */
  readonly seconds?: number | undefined;
}

const SIGNS: Readonly<Record<Condition, string>> = { fine: "✓", note: "·", warning: "!", unfit: "✗" };

/** For the program of this package; `quern` has a `doctor` of its own. */
export function addBenchDoctor(program: Command): void {
  program
    .command("doctor")
    .description("Say whether times measured on this machine can be trusted, and what would mend it.")
    .option("--seconds <count>", "how long to measure", numberOption("--seconds", 0.1, 600), 1)
    .option("--json <file>", "write the findings as JSON; - is standard output")
    .addHelpText("after", `\nExit code: 0 fit, 2 wrong use, ${EXIT.invalid} unfit for a gate.`)
    .action(doctorBench);
}

/** Sets the exit code for an invalid environment where the machine is unfit. */
export function doctorBench({ json, seconds: length = 1 }: BenchDoctorOptions): void {
  if (json !== undefined) requireWritable(json, "--json");
  const diagnosis = diagnoseMachine(length);
  if (!diagnosis.fit) process.exitCode = EXIT.invalid;
  if (json !== undefined) {
    writeJson(json, diagnosis);
    if (json === "-") return;
  }
  process.stdout.write(`${doctorLines(diagnosis).join("\n")}\n`);
}

export function doctorLines({ fit, class: machine, fingerprint, findings, facts }: Diagnosis): string[] {
  const { cpu = "unknown", kernel = "unknown", node = "unknown", memory = "unknown" } = facts;
  const warnings = findings.filter(({ condition }) => condition === "warning").length;
  const verdict = fit
    ? `✓ fit for a gate${warnings === 0 ? "" : `, with ${warnings} ${warnings === 1 ? "warning" : "warnings"}`}`
    : "✗ unfit for a gate: its verdicts could not be trusted here";
  return [
    plainText(`${cpu}, ${memory}, kernel ${kernel}, node ${node}`),
    plainText(`class ${machine}, fingerprint ${fingerprint}`),
    verdict,
    "",
    ...findings.flatMap(({ name, condition, detail, fix }) => [
      `  ${SIGNS[condition]} ${name.padEnd(14)} ${plainText(detail)}`,
      ...(fix === undefined ? [] : [`    ${"".padEnd(14)} → ${fix}`]),
    ]),
  ];
}
