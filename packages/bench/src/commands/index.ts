/**
 * Commands of the gate, one file each: shared by `quern` and by this package's own `quern-bench`. What a command needs is
 * loaded when it is asked for, so that the others start at once.
 */

import type { Command } from "commander";

export { interruptible, untilInterrupted } from "./interrupt.ts";
export { numberOption } from "./number-option.ts";
export type { Output } from "./outputs.ts";
export { reportError, runProgram } from "./run-program.ts";
export { toolOf, type ToolCall } from "./tool.ts";
export { requireWritable, writeJson, writeWhole } from "./write-file.ts";

export type AddCommand = (program: Command) => void;
export type CommandLoaders = Readonly<Record<string, () => Promise<AddCommand>>>;

/** In the order of the help. */
export const benchCommands: CommandLoaders = {
  gate: async () => (await import("./gate.ts")).addGate,
  ab: async () => (await import("./gate.ts")).addAb,
  report: async () => (await import("./report.ts")).addReport,
  history: async () => (await import("./history.ts")).addHistory,
  bisect: async () => (await import("./bisect.ts")).addBisect,
  calibrate: async () => (await import("./calibrate.ts")).addCalibrate,
  selftest: async () => (await import("./selftest.ts")).addSelftest,
};

/** What `quern` has elsewhere: commands below `bench`, the reports that those write, and part of its own `doctor`. */
export const loadList = async (): Promise<AddCommand> => (await import("./list.ts")).addList;
export const loadRun = async (): Promise<AddCommand> => (await import("./run.ts")).addRunOwn;
export const loadUrl = async (): Promise<AddCommand> => (await import("./url.ts")).addUrl;
export const loadOutputs = async (): Promise<typeof import("./outputs.ts")> => import("./outputs.ts");
export const loadBenchDoctor = async (): Promise<typeof import("./doctor.ts")> => import("./doctor.ts");

/** Adds the command that the arguments begin with; all of them where they begin with none, for the help. */
export async function addAskedCommands(program: Command, commands: CommandLoaders): Promise<void> {
  const [, , name] = process.argv;
  const asked = Object.entries(commands).filter(([each]) => each === name);
  const loaders = asked.length > 0 ? asked : Object.entries(commands);
  for (const add of await Promise.all(loaders.map(([, load]) => load()))) add(program);
}
