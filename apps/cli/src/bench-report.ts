/** What every benchmark does with its results: files, the table, the exit code. */

import { renderHtml, renderTerminal, type Results } from "@quern/bench";
import { writeWhole } from "./write-file.ts";

export interface ReportFiles {
  readonly json: string | undefined;
  readonly html: string | undefined;
}

/** Sets exit code 1 where an output differs or an engine failed. */
export function reportBench(results: Results, { json, html }: ReportFiles): void {
  if (json !== undefined) writeWhole(json, `${JSON.stringify(results, null, 2)}\n`);
  if (html !== undefined) writeWhole(html, renderHtml(results));
  if (json !== "-") {
    const written = [json, html].filter((file) => file !== undefined).map((file) => `wrote ${file}\n`);
    process.stdout.write([renderTerminal(results), ...written].join(""));
  }
  const wrong =
    results.results.some((row) => row.verified === false) || results.skipped.some((row) => row.failed === true);
  if (wrong) process.exitCode = 1;
}
