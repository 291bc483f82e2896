/**
 * The `quern` command: one file per sub-command, one shape of error (`runProgram`).
 *
 * Exit code 0: fine. 1: the answer is no (an output differs, an engine failed, a build is slower). 2: wrong use or bad input.
 * 70: a defect of ours. The commands of the gate, which `@quern/bench` brings, have further ones.
 */

import { Command } from "commander";
import { addBenchCommands, runProgram } from "@quern/bench/commands";
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

/** npm runs scripts in the repository's root: paths on the command line mean the folder the user is in. */
function enterUserFolder(): void {
  const { npm_lifecycle_event: script, INIT_CWD: folder } = process.env;
  if (folder !== undefined && (script === "quern" || script === "bench")) process.chdir(folder);
}

enterUserFolder();
const program = new Command("quern")
  .description("Benchmarks, runs, inspects and diagnoses models; gates the speed of any code.")
  .version(packageVersion());
for (const add of [
  addBench,
  addBenchCommands,
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
await runProgram(program);
