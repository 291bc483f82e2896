/**
 * Runs a command line to its end: one shape of error, one exit code each.
 *
 * What the user gave wrong is one message without a stack; `QUERN_DEBUG=1` adds the stack. Errors that have an exit code of
 * their own keep it.
 */

import { CommanderError, Option, type Command } from "commander";
import { debugLevel } from "@quern/core";
import { UserError } from "@quern/core/errors";
import { EXIT, exitCodeOfError } from "../gate/exit-codes.ts";
import { plainText } from "../report/escape.ts";

/** Prints the error and gives the exit code that it stands for. */
export function reportError(error: unknown, name: string): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message; asking for help or the version is no error.
    return error.exitCode === 0 ? EXIT.pass : EXIT.usage;
  }
  const given = error instanceof Error ? error : new Error(String(error));
  const expected = given instanceof UserError;
  const details = !expected || debugLevel() > 0;
  const said = details ? (given.stack ?? given.message) : given.message;
  // It may quote a file, or a program, of anyone: no error commands the terminal.
  const text = said.split("\n").map(plainLine).join("\n");
  process.stderr.write(`${name}: ${expected ? "" : `this is a defect of ${name}: `}${text}\n`);
  return exitCodeOfError(given);
}

/** Indented as it was. */
function plainLine(line: string): string {
  const indent = /^ */.exec(line)?.[0] ?? "";
  return indent + plainText(line.slice(indent.length));
}

/** Commands take over settings when they are made only, and those of the program are made before it runs. */
function settle(command: Command, hint: string): void {
  command
    .showHelpAfterError(hint)
    // Commands within commands have options of their own, by the same names as those above them.
    .enablePositionalOptions()
    // Scripts give it to every tool; nothing here is ever coloured.
    .addOption(new Option("--no-color").hideHelp())
    .exitOverride();
  for (const inner of command.commands) settle(inner, hint);
}

export async function runProgram(program: Command): Promise<void> {
  // A reader that has seen enough (`… | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.pass : EXIT.internal),
  );
  settle(program, `(${program.name()} --help shows how it is used)`);
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    process.exitCode = reportError(error, program.name());
  }
}
