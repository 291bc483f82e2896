/** The forms of a report and where they go: `-o md=report.md -o junit=report.xml -o csv`. */

import { gzipSync } from "node:zlib";
import { UserError } from "@quern/core/errors";
import { renderCsv, renderJsonLines } from "../report/csv.ts";
import { renderHtml } from "../report/html.ts";
import { renderJunit } from "../report/junit.ts";
import { SUMMARY_BYTES, renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import type { Results } from "../results/schema.ts";
import { requireWritable, writeWhole } from "./write-file.ts";

const RENDERERS: Readonly<Record<string, (results: Results) => string>> = {
  json: (results) => `${JSON.stringify(results, null, 2)}\n`,
  md: (results) => renderMarkdown(results),
  summary: (results) => renderMarkdown(results, { limit: SUMMARY_BYTES }),
  html: renderHtml,
  csv: renderCsv,
  jsonl: renderJsonLines,
  junit: renderJunit,
  text: (results) => renderTerminal(results),
};

export const OUTPUT_FORMATS: readonly string[] = Object.keys(RENDERERS);

export interface Output {
  readonly format: string;
  /** "-": standard output. */
  readonly path: string;
}

/** Reads the values of `-o`; checks that every file can be written. */
export function parseOutputs(texts: readonly string[], json?: string): Output[] {
  const outputs = texts.map((text): Output => {
    const at = text.indexOf("=");
    const format = at === -1 ? text : text.slice(0, at);
    const path = at === -1 ? "-" : text.slice(at + 1);
    if (!Object.hasOwn(RENDERERS, format)) {
      throw new UserError(`there is no report in the form "${format}"`, {
        where: `-o ${text}`,
        hint: `Choose from: ${OUTPUT_FORMATS.join(", ")}.`,
      });
    }
    if (path === "") throw new UserError("the name of the file is missing", { where: `-o ${text}` });
    return { format, path };
  });
  if (json !== undefined) outputs.push({ format: "json", path: json });
  for (const { format, path } of outputs) requireWritable(path, `-o ${format}`);
  const toStdout = outputs.filter(({ path }) => path === "-");
  if (toStdout.length > 1) {
    throw new UserError("only one report can go to standard output", {
      where: toStdout.map(({ format }) => `-o ${format}`).join(" "),
    });
  }
  return outputs;
}

/** Writes every report; a name that ends in `.gz` is compressed. Says which files there are now. */
export function writeOutputs(results: Results, outputs: readonly Output[]): string[] {
  const written: string[] = [];
  for (const { format, path } of outputs) {
    const text = (RENDERERS[format] as (results: Results) => string)(results);
    writeWhole(path, path.endsWith(".gz") ? gzipSync(text, { level: 9 }) : text);
    if (path !== "-") written.push(path);
  }
  return written;
}
