/** Commands of the gate, one file each: shared by `quern` and by this package's own `quern-bench`. */

import type { Command } from "commander";
import { addBisect } from "./bisect.ts";
import { addCalibrate } from "./calibrate.ts";
import { addAb, addGate } from "./gate.ts";
import { addHistory } from "./history.ts";
import { addReport } from "./report.ts";
import { addSelftest } from "./selftest.ts";

export { addBenchDoctor, doctorBench } from "./doctor.ts";
export { addUrl } from "./url.ts";

export { reportError, runProgram } from "./run-program.ts";
export { requireWritable, writeWhole } from "./write-file.ts";

export function addBenchCommands(program: Command): void {
  for (const add of [addGate, addAb, addReport, addHistory, addBisect, addCalibrate, addSelftest]) add(program);
}
