/**
 * The `quern` command: one file per sub-command, one shape of error (`runProgram`).
 *
 * Exit code 0: fine. 1: the answer is no (an output differs, an engine failed, a build is slower). 2: wrong use or bad input.
 * 70: a defect of ours. The commands of the gate, which `@quern/bench` brings, have further ones.
 */

import { Command } from "commander";
import {
  type CommandLoaders,
  addAskedCommands,
  benchCommands,
  loadList,
  loadRun,
  loadUrl,
  runProgram,
} from "@quern/bench/commands";
import { packageVersion } from "./version.ts";

/** npm runs scripts in the repository's root: paths on the command line mean the folder the user is in. */
function enterUserFolder(): void {
  const { npm_lifecycle_event: script, INIT_CWD: folder } = process.env;
  if (folder !== undefined && (script === "quern" || script === "bench")) process.chdir(folder);
}

/** In the order of the help. */
const commands: CommandLoaders = {
  bench: async () => {
    const [{ addBench }, ...further] = await Promise.all([
      import("./commands/bench.ts"),
      loadUrl(),
      loadList(),
      loadRun(),
    ]);
    return (program) => {
      const command = addBench(program);
      for (const add of further) add(command);
    };
  },
  ...benchCommands,
  run: async () => (await import("./commands/run.ts")).addRun,
  inspect: async () => (await import("./commands/inspect.ts")).addInspect,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
  synth: async () => (await import("./commands/synth.ts")).addSynth,
  quantize: async () => (await import("./commands/quantize.ts")).addQuantize,
  perplexity: async () => (await import("./commands/perplexity.ts")).addPerplexity,
  generate: async () => (await import("./commands/generate.ts")).addGenerate,
  chat: async () => (await import("./commands/chat.ts")).addChat,
};

enterUserFolder();
const program = new Command("quern")
  .description("Benchmarks, runs, inspects and diagnoses models; gates the speed of any code.")
  .version(packageVersion());
await addAskedCommands(program, commands);
await runProgram(program);
