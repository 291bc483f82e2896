/**
 * `quern doctor`: what this machine has, which devices open, which engines are installed. Always exit code 0: what is
 * missing is an answer, not an error.
 */

import { totalmem } from "node:os";
import type { Command } from "commander";
import { ENV_VARIABLES, readEnv } from "@quern/core";
import {
  DEVICE_KINDS,
  describeMachine,
  engines,
  formatBytes,
  llmEngineNamed,
  openDevice,
  type DeviceKind,
} from "@quern/bench";
import { packageVersion } from "../version.ts";
import { writeWhole } from "../write-file.ts";

interface Finding {
  readonly name: string;
  readonly found: boolean;
  readonly detail: string;
}

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("Show the machine, the devices and the engines that quern finds.")
    .option("--json <file>", "write the findings as JSON; - is standard output")
    .addHelpText("after", "\nExamples:\n  quern doctor\n  quern doctor --json -")
    .action(doctor);
}

async function attempt(name: string, describe: () => Promise<string>): Promise<Finding> {
  try {
    return { name, found: true, detail: await describe() };
  } catch (error) {
    return { name, found: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

const OPEN_OPTIONS = { threads: 1, precision: "highest", idle: "blocked" } as const;

function findDevice(kind: DeviceKind): Promise<Finding> {
  return attempt(kind, async () => {
    const device = await openDevice(kind, OPEN_OPTIONS);
    const { name } = device;
    device.dispose();
    return name;
  });
}

/** Where compiled kernels are kept, and how much there is. */
async function findKernels(): Promise<Finding> {
  return attempt("kernel cache", async () => {
    const { kernelDisk } = await import("@quern/kernels-cpu");
    const disk = kernelDisk(undefined);
    if (disk === undefined) return "off (QUERN_CACHE=0)";
    const { entries, bytes } = disk.folder.size();
    return `${disk.folder.path}, ${entries} entries, ${formatBytes(bytes)}`;
  });
}

async function doctor(options: { readonly json?: string }): Promise<void> {
  const machine = describeMachine();
  const devices: Finding[] = [];
  for (const kind of DEVICE_KINDS) devices.push(await findDevice(kind));
  const kernels = await findKernels();
  const installed: Finding[] = [];
  const llama = llmEngineNamed("llama.cpp");
  const languageOptions = { ...OPEN_OPTIONS, contextLength: 256, sequences: 1, cache: "f16" } as const;
  const described = [
    ...engines.map((engine) => ({ engine, describe: () => engine.describe(OPEN_OPTIONS) })),
    { engine: llama, describe: () => llama.describe(languageOptions) },
  ];
  for (const { engine, describe } of described) {
    const { name, about } = engine;
    installed.push(
      await attempt(name, async () => {
        const { version, library, sha256 } = await describe();
        return `${version}, ${about}${sha256 === null ? "" : ` (${library} sha256 ${sha256.slice(0, 12)}…)`}`;
      }),
    );
  }
  if (options.json !== undefined) {
    writeWhole(
      options.json,
      `${JSON.stringify({ version: packageVersion(), machine, devices, kernels, engines: installed }, null, 2)}\n`,
    );
    if (options.json === "-") return;
  }
  const { cpu } = machine;
  const lines = [
    `quern ${packageVersion()}, node ${machine.node}, ${machine.os} ${machine.kernel} (${machine.arch})`,
    "",
    "machine",
    `  ${cpu.brand}, ${cpu.cores} cores, ${formatBytes(totalmem())} memory${cpu.hypervisor === true ? ", virtual" : ""}`,
    `  features  ${cpu.features.join(" ") || "unknown"}`,
    `  caches    ${cpu.caches.map((cache) => `L${cache.level} ${cache.type} ${formatBytes(cache.bytes)}`).join(", ") || "unknown"}`,
    `  fingerprint ${machine.fingerprint}`,
    "",
    "devices",
    ...devices.flatMap(findingLines),
    ...findingLines(kernels),
    "",
    "engines",
    ...installed.flatMap(findingLines),
    "",
    "environment",
    ...ENV_VARIABLES.map(({ name, values, meaning }) => `  ${name}=${readEnv(name) ?? values}  ${meaning}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function findingLines({ name, found, detail }: Finding): string[] {
  const [first = "", ...rest] = detail.split("\n");
  return [
    `  ${found ? "✓" : "–"} ${name.padEnd(16)} ${first}`,
    ...rest.map((line) => `    ${"".padEnd(16)} ${line.trim()}`),
  ];
}
