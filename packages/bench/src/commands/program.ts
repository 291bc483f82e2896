/** The `quern-bench` command: gate, compare and report any two builds, without an inference engine in sight. */

import { Command } from "commander";
import { packageVersion } from "../version.ts";
import { addAskedCommands, benchCommands, loadBenchDoctor, loadList, loadRun, loadUrl, runProgram } from "./index.ts";

const program = new Command("quern-bench")
  .description("Compares the speed of two builds of the same benches, and fails on a confirmed regression.")
  .version(packageVersion());
await addAskedCommands(program, {
  list: loadList,
  run: loadRun,
  ...benchCommands,
  url: loadUrl,
  doctor: async () => (await loadBenchDoctor()).addBenchDoctor,
});
await runProgram(program);
