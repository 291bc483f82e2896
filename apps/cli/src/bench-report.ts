/** What every benchmark does with its results: files, the table, the exit code. */

import type { Command } from "commander";
import { renderTerminal, type Results } from "@quern/bench";
import { loadOutputs, toolOf, untilInterrupted, type Output } from "@quern/bench/commands";
import { DEFAULT_SETTINGS, measureRoofline, type BenchSettings } from "@quern/bench/engines";
import { INTERRUPTED } from "./interrupt.ts";
import type { ProgressLine } from "./progress.ts";

type Forms = Awaited<ReturnType<typeof loadOutputs>>;

const forms: Forms = await loadOutputs();
/** The option `-o`. */
export const outputOption: Forms["outputOption"] = forms.outputOption;

/** What the options of a benchmark say about its reports. */
export interface ReportOptions {
  readonly output?: readonly string[];
  readonly json?: string;
  readonly html?: string;
}

/** What the options of a benchmark say about how it measures. */
export interface MeasureOptions {
  readonly seed: number;
  /** Timed seconds per engine and case. */
  readonly time: number;
  readonly processes: number;
  /** Seconds. */
  readonly timeout: number;
}

/** Where the reports go; throws before anything is measured where one cannot be written. */
export function reportOutputs({ output = [], json, html }: ReportOptions): Output[] {
  return forms.parseOutputs([...output, ...(html === undefined ? [] : [`html=${html}`])], json);
}

/**
 * Runs a benchmark and reports it. After Ctrl-C what was measured as a whole is reported, marked as interrupted, with exit code
 * 130; nothing is written where there is none.
 */
export async function measureAndReport(
  command: Command,
  outputs: readonly Output[],
  progress: ProgressLine,
  { seed, time, processes, timeout }: MeasureOptions,
  measure: (settings: BenchSettings) => Promise<Results>,
): Promise<void> {
  const { tool, argv } = toolOf(command);
  const settings = {
    seed,
    secondsPerEngine: time,
    processes,
    sliceMs: DEFAULT_SETTINGS.sliceMs,
    timeoutMs: timeout * 1000,
    call: { tool, argv },
    measureRoofline,
  };
  const results = await untilInterrupted(tool.name, progress, (signal) => measure({ ...settings, signal }));
  if (results === undefined) return;
  reportBench(results, outputs);
  if (results.run?.aborted === true) process.exitCode = INTERRUPTED;
}

/** Sets exit code 1 where an output differs or an engine failed. */
function reportBench(results: Results, outputs: readonly Output[]): void {
  // Standard output may be a report itself.
  const text = outputs.every(({ path }) => path !== "-");
  // Before the files: a full disk must not hide what was found.
  if (text) process.stdout.write(renderTerminal(results));
  const written: string[] = [];
  try {
    forms.writeOutputs(results, outputs, written);
  } finally {
    if (text) process.stdout.write(written.map((file) => `wrote ${file}\n`).join(""));
  }
  const wrong =
    results.results.some((row) => row.verified === false) || results.skipped.some((row) => row.failed === true);
  if (wrong) process.exitCode = 1;
}
