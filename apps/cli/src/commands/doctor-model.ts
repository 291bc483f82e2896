/** `quern doctor MODEL`: the diagnosis of a language model as text or JSON, and the exit code that goes with it. */

import { UserError } from "@quern/core";
import { formatBytes } from "@quern/bench/format";
import { isGguf } from "../gguf-facts.ts";
import { requireLanguageModel } from "../language-model-options.ts";
import { type Condition, type DiagnosisOptions, type ModelDiagnosis, diagnoseModel } from "../model-diagnosis.ts";
import { forTerminal } from "../text-output.ts";
import { requireWritable, writeJson } from "../write-file.ts";

const SIGNS: Readonly<Record<Condition, string>> = { fine: "✓", slow: "!", missing: "–", broken: "✗" };

export interface DoctorModelOptions extends DiagnosisOptions {
  readonly json?: string | undefined;
}

/** Sets exit code 1 where the model does not run. */
export function doctorModel(path: string, { json, ...options }: DoctorModelOptions): void {
  if (json !== undefined) requireWritable(json, "--json");
  requireLanguageModel(path);
  if (!isGguf(path))
    throw new UserError("the file is no GGUF file", {
      where: path,
      hint: "quern inspect shows models of other formats; quern doctor without a file shows the machine.",
    });
  const diagnosis = diagnoseModel(path, options);
  if (!diagnosis.runs) process.exitCode = 1;
  if (json !== undefined) {
    writeJson(json, diagnosis);
    if (json === "-") return;
  }
  process.stdout.write(`${forTerminal(lines(diagnosis).join("\n"))}\n`);
}

function lines({
  file,
  name,
  architecture,
  parameters,
  quant,
  tensorBytes,
  runs,
  findings,
  hints,
}: ModelDiagnosis): string[] {
  const size = `${(parameters / 1e6).toFixed(1)} million weights`;
  const title = [name, architecture, size, quant ?? "", formatBytes(tensorBytes)].filter((part) => part !== "");
  return [
    `${file}: ${title.join(", ")}`,
    runs ? "✓ runs on this build" : "✗ does not run on this build",
    "",
    ...findings.flatMap((finding) => {
      const [first = "", ...rest] = finding.detail.split("\n");
      return [
        `  ${SIGNS[finding.condition]} ${finding.name.padEnd(16)} ${first}`,
        ...rest.map((line) => `    ${"".padEnd(16)} ${line.trim()}`),
      ];
    }),
    ...(hints.length === 0 ? [] : ["", "hints", ...hints.map((hint) => `  ${hint}`)]),
  ];
}
