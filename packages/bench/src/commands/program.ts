/** The `quern-bench` command: gate, compare and report any two builds, without an inference engine in sight. */

import { Command } from "commander";
import { addAskedCommands, benchCommands, loadBenchDoctor, loadUrl, runProgram } from "./index.ts";
import { packageVersion } from "./tool.ts";

const program = new Command("quern-bench")
  .description("Compares the speed of two builds of the same benches, and fails on a confirmed regression.")
  .version(packageVersion());
await addAskedCommands(program, {
  ...benchCommands,
  url: loadUrl,
  doctor: async () => (await loadBenchDoctor()).addBenchDoctor,
});
await runProgram(program);
