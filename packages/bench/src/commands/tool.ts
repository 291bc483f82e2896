/** Which program runs, and with which words: for the record. */

import { readFileSync } from "node:fs";
import type { Command } from "commander";

export interface ToolCall {
  readonly tool: { readonly name: string; readonly version: string };
  /** Without the program. */
  readonly argv: readonly string[];
}

export function toolOf(command: Command): ToolCall {
  let top = command;
  while (top.parent !== null) top = top.parent;
  return { tool: { name: top.name(), version: top.version() ?? packageVersion() }, argv: process.argv.slice(2) };
}

/** The version of this package, from its own package.json (two folders above, in `src` and `dist` alike). */
export function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
