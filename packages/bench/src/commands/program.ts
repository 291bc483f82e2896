/** The `quern-bench` command: gate, compare and report any two builds, without an inference engine in sight. */

import { Command } from "commander";
import { addBenchCommands, addBenchDoctor, addUrl } from "./index.ts";
import { runProgram } from "./run-program.ts";
import { packageVersion } from "./tool.ts";

const program = new Command("quern-bench")
  .description("Compares the speed of two builds of the same benches, and fails on a confirmed regression.")
  .version(packageVersion());
addBenchCommands(program);
addUrl(program);
addBenchDoctor(program);
await runProgram(program);
