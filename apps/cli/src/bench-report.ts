/** What every benchmark does with its results: files, the table, the exit code. */

import { renderTerminal, type Results } from "@quern/bench";
import { loadOutputs, type Output } from "@quern/bench/commands";

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

/** Where the reports go; throws before anything is measured where one cannot be written. */
export function reportOutputs({ output = [], json, html }: ReportOptions): Output[] {
  return forms.parseOutputs([...output, ...(html === undefined ? [] : [`html=${html}`])], json);
}

/** Sets exit code 1 where an output differs or an engine failed. */
export function reportBench(results: Results, outputs: readonly Output[]): void {
  const written = forms.writeOutputs(results, outputs);
  // Standard output may be a report itself.
  if (outputs.every(({ path }) => path !== "-")) {
    process.stdout.write([renderTerminal(results), ...written.map((file) => `wrote ${file}\n`)].join(""));
  }
  const wrong =
    results.results.some((row) => row.verified === false) || results.skipped.some((row) => row.failed === true);
  if (wrong) process.exitCode = 1;
}
