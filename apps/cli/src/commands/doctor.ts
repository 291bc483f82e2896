/**
 * `quern doctor`: what this machine has, which devices open, which engines are installed. Exit code 0 there: what is
 * missing is an answer, not an error. With a model, whether it runs here.
 */

import { totalmem } from "node:os";
import { type Command, Option } from "commander";
import { ENV_VARIABLES, UserError, readEnv } from "@quern/core";
import { describeMachine } from "@quern/bench";
import { formatBytes } from "@quern/bench/format";
import { loadBenchDoctor } from "@quern/bench/commands";
import { DEVICE_KINDS, engines, llmEngineNamed, openDevice, type DeviceKind } from "@quern/bench/engines";
import type { CacheFormat } from "@quern/llm";
import { count, parseCacheFormat } from "../language-model-options.ts";
import { packageVersion } from "../version.ts";
import { writeJson } from "../write-file.ts";
import { doctorModel } from "./doctor-model.ts";

interface Finding {
  readonly name: string;
  readonly found: boolean;
  readonly detail: string;
}

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description(
      "Show the machine, the devices and the engines that quern finds; or whether a language model runs here.",
    )
    .argument("[model]", "a .gguf file to look into, or the first of a split model")
    .option("-c, --context <tokens>", "of a model: memory for so many tokens", count("--context", 1))
    .option("--kv <format>", "of a model: how keys and values are kept (default: f16)", parseCacheFormat)
    .addOption(
      new Option("--bench", "whether times measured on this machine can be trusted").conflicts(["context", "kv"]),
    )
    .option("--json <file>", "write the findings as JSON; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(doctor);
}

const EXAMPLES = `
Examples:
  quern doctor
  quern doctor --json -
  quern doctor --bench
  quern doctor model.gguf --context 8192

Exit code: 0 fine, 1 the model does not run, 2 wrong use or bad input, 3 unfit for a gate (--bench).`;

interface DoctorOptions {
  readonly context?: number;
  readonly kv?: CacheFormat;
  readonly bench?: boolean;
  readonly json?: string;
}

async function doctor(model: string | undefined, options: DoctorOptions): Promise<void> {
  if (options.bench === true) {
    if (model !== undefined)
      throw new UserError("--bench is about the machine, not about a model", { where: "--bench" });
    (await loadBenchDoctor()).doctorBench(options);
    return;
  }
  if (model !== undefined) {
    doctorModel(model, options);
    return;
  }
  for (const name of ["context", "kv"] as const) {
    if (options[name] !== undefined)
      throw new UserError(`--${name} is of use with a model only`, { where: `--${name}` });
  }
  await doctorMachine(options);
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

async function doctorMachine(options: { readonly json?: string }): Promise<void> {
  const machine = describeMachine();
  const devices: Finding[] = [];
  for (const kind of DEVICE_KINDS) devices.push(await findDevice(kind));
  const kernels = await findKernels();
  const installed: Finding[] = [];
  const llama = llmEngineNamed("llama.cpp");
  const languageOptions = { ...OPEN_OPTIONS, contextLength: 256, sequences: 1, cache: "f16" } as const;
  const described = [
    ...engines
      .filter(({ variantOf }) => variantOf === undefined)
      .map((engine) => ({ engine, describe: () => engine.describe(OPEN_OPTIONS) })),
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
    writeJson(options.json, { version: packageVersion(), machine, devices, kernels, engines: installed });
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
    `  ${found ? "✓" : "–"} ${name.padEnd(18)} ${first}`,
    ...rest.map((line) => `    ${"".padEnd(18)} ${line.trim()}`),
  ];
}
