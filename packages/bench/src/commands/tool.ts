/** Which program runs, and with which words: for the record. */

import type { Command } from "commander";
import { packageVersion } from "../version.ts";

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

/** How a command is typed: `quern bench` of a command below the program, `quern-bench` of the program. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
