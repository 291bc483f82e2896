/**
 * The `quern` command: one file per sub-command, one shape of error, three exit codes.
 *
 * 0: fine. 1: the answer is no (an output differs, an engine failed). 2: wrong use or bad input. 70: a defect of
 * ours. What the user gave wrong is one message without a stack; QUERN_DEBUG=1 adds the stack.
 */

import { Command, CommanderError } from "commander";
import { UserError, debugLevel } from "@quern/core";
import { addBench } from "./commands/bench.ts";
import { addChat } from "./commands/chat.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addGenerate } from "./commands/generate.ts";
import { addInspect } from "./commands/inspect.ts";
import { addPerplexity } from "./commands/perplexity.ts";
import { addQuantize } from "./commands/quantize.ts";
import { addRun } from "./commands/run.ts";
import { addSynth } from "./commands/synth.ts";
import { packageVersion } from "./version.ts";

const WRONG_USE = 2;
const INTERNAL = 70;

function reportError(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message; asking for help or the version is no error.
    return error.exitCode === 0 ? 0 : WRONG_USE;
  }
  const given = error instanceof Error ? error : new Error(String(error));
  const expected = given instanceof UserError;
  const details = !expected || debugLevel() > 0;
  const text = details ? (given.stack ?? given.message) : given.message;
  process.stderr.write(`quern: ${expected ? "" : "this is a defect of quern: "}${text}\n`);
  return expected ? WRONG_USE : INTERNAL;
}

/** npm runs scripts in the repository's root: paths on the command line mean the folder the user is in. */
function enterUserFolder(): void {
  const { npm_lifecycle_event: script, INIT_CWD: folder } = process.env;
  if (folder !== undefined && (script === "quern" || script === "bench")) process.chdir(folder);
}

async function main(): Promise<void> {
  enterUserFolder();
  // A reader that has seen enough (`quern … | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : INTERNAL));
  const program = new Command("quern")
    .description("Benchmarks, runs, inspects and diagnoses models.")
    .version(packageVersion())
    .showHelpAfterError("(quern --help shows how it is used)")
    // Commands within commands have options of their own, by the same names as those above them.
    .enablePositionalOptions()
    .exitOverride();
  for (const add of [
    addBench,
    addRun,
    addInspect,
    addDoctor,
    addSynth,
    addQuantize,
    addPerplexity,
    addGenerate,
    addChat,
  ])
    add(program);
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    process.exitCode = reportError(error);
  }
}

await main();
