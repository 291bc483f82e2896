/**
 * `quern run`: compiles a model for a device, runs it once on given or random inputs, and shows the outputs.
 * `--check` compares them with the reference interpreter, `--case` with the outputs of a case folder.
 */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import {
  type Tensor,
  UserError,
  evaluateDim,
  printShape,
  type CompileReport,
  type Executable,
  type Graph,
  type MatmulPrecision,
  type TensorSpec,
} from "@quern/core";
import { Random } from "@quern/bench";
import { formatMs, formatTable } from "@quern/bench/format";
import {
  MODEL_TOLERANCE,
  encodeNpy,
  makeInput,
  openDevice,
  modelLimits,
  readModel,
  requireModelFile,
  randomRecipe,
  readNpy,
  profileLaunches,
  tensorFiles,
  type LaunchTime,
  verifyTensors,
  type DeviceKind,
  type TensorSet,
  type Verification,
} from "@quern/bench/engines";
import {
  PRECISION_DEFAULT,
  QUANTIZE_OPTION,
  collectPairs,
  impliedPrecision,
  numberOption,
  parseDevice,
  parseDims,
  parseEncoding,
  parsePrecision,
  parseSeed,
} from "../options.ts";
import { quantisedLine } from "../quantised-weights.ts";
import { writeJson, writeWhole } from "../write-file.ts";

interface RunOptions {
  readonly input: Record<string, string>;
  readonly case?: string;
  readonly dim: Record<string, string>;
  readonly device: DeviceKind;
  readonly threads: number;
  readonly precision?: MatmulPrecision;
  readonly quantize?: string;
  readonly features?: string;
  readonly seed: number;
  readonly check?: boolean;
  readonly profile?: boolean;
  readonly output?: string;
  readonly json?: string;
}

/** The options with the precision that they imply. */
type ChosenOptions = RunOptions & { readonly precision: MatmulPrecision };

const EXAMPLES = `
Inputs that are not given are random (--seed). A symbolic dimension is 1 unless --dim or a given input says otherwise.

Examples:
  quern run mnist.onnx --check
  quern run mnist.onnx --input Input3=digit.npy --output outputs
  quern run detector.onnx --case case-0 --device reference
  quern run encoder.onnx --quantize Q4_K --check
  quern run encoder.onnx --dim batch=4 --dim sequence=128 --json -

Exit code: 0 fine, 1 outputs differ, 2 wrong use or bad input.`;

export function addRun(program: Command): void {
  program
    .command("run")
    .description("Run a model once and show its outputs.")
    .argument("<file>", "an .onnx file")
    .option("--input <name=file>", "a .npy file, or random (repeatable)", collectInput, {})
    .option("--case <folder>", "inputs in-<name>.npy of a folder; its out-<name>.npy are compared")
    .option("--dim <name=size>", "size of a symbolic dimension (repeatable)", collectPairs("--dim"), {})
    .option("--device <kind>", "cpu, gpu or reference", parseDevice, "cpu")
    .option("--threads <count>", "threads of the CPU device", numberOption("--threads", 1, 1024, true), 1)
    .option("--precision <name>", `highest, high or medium ${PRECISION_DEFAULT}`, parsePrecision)
    .option("--quantize <encoding>", QUANTIZE_OPTION, parseEncoding)
    .option("--features <mask>", "CPU features that may be used, for instance avx2")
    .option("--seed <number>", "seed of random inputs", parseSeed, 1)
    .option("--check", "compare with the reference interpreter")
    .option("--profile", "show the time of each launch")
    .option("--output <folder>", "write out-<name>.npy files")
    .option("--json <file>", "write shapes, statistics and checks; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(run);
}

const collectPair = collectPairs("--input");

/** `name=file.npy`, `name=random`; `random` alone is what happens anyway. */
function collectInput(text: string, previous: Record<string, string>): Record<string, string> {
  return text === "random" ? previous : collectPair(text, previous);
}

async function run(file: string, given: RunOptions): Promise<void> {
  requireModelFile(file);
  const options: ChosenOptions = { ...given, precision: given.precision ?? impliedPrecision(given.quantize) };
  const started = performance.now();
  const { graph, quantised } = await readModel(file, options.device, options);
  const imported = performance.now();
  const device = await openDevice(options.device, options);
  try {
    const beforeCompile = performance.now();
    const executable = device.compile(graph, { matmulPrecision: options.precision });
    const compiled = performance.now();
    const inputs = gatherInputs(executable.inputs, options);
    const beforeRun = performance.now();
    const outputs = await executable.run(inputs);
    const ended = performance.now();
    const times = { importMs: imported - started, compileMs: compiled - beforeCompile, runMs: ended - beforeRun };
    const checks = await checkOutputs(graph, inputs, outputs, options);
    const profile = options.profile === true ? profileLaunches(executable, inputs) : undefined;
    if (options.profile === true && profile === undefined) {
      throw new UserError(`the device ${device.name} does not measure launches`, {
        where: "--profile",
        hint: "Use --device cpu.",
      });
    }
    const weights = quantised && quantisedLine(quantised, options.quantize as string, options.precision);
    report(file, device.name, executable, outputs, times, checks, profile, weights, options);
    for (const tensor of Object.values(outputs)) tensor.dispose();
    executable.dispose();
    if (checks.some((check) => !check.ok)) process.exitCode = 1;
  } finally {
    device.dispose();
  }
}

/** Tensors for every input: given, from the case folder, or random with the sizes that the given ones fix. */
function gatherInputs(specs: readonly TensorSpec[], options: RunOptions): TensorSet {
  const given: Record<string, Tensor> = {};
  if (options.case !== undefined) {
    if (!existsSync(options.case) || !statSync(options.case).isDirectory())
      throw new UserError("the case folder does not exist", { where: `--case ${options.case}` });
    for (const [name, path] of Object.entries(tensorFiles(options.case, "in-"))) given[name] = readNpy(path);
  }
  const names = specs.map((spec) => spec.name);
  for (const [name, source] of Object.entries(options.input)) {
    if (!names.includes(name)) {
      throw new UserError(`the model has no input "${name}"`, {
        where: "--input",
        hint: `Its inputs: ${names.join(", ")}.`,
      });
    }
    if (source === "random") delete given[name];
    else given[name] = readNpy(source);
  }
  const bindings = bindingsOf(specs, given, parseDims(options.dim));
  return Object.fromEntries(
    specs.map(({ name, dtype, shape }) => {
      const sizes = shape.map((dim) => evaluateDim(dim, bindings));
      return [name, given[name] ?? makeInput(randomRecipe(name, dtype, sizes), 0, Random.of(options.seed, name))];
    }),
  );
}

/** Sizes of symbols: from --dim, from given inputs, and 1 for the rest. */
function bindingsOf(
  specs: readonly TensorSpec[],
  given: TensorSet,
  dims: Readonly<Record<string, number>>,
): Record<string, number> {
  const bindings: Record<string, number> = {};
  const ones = new Proxy(dims, { get: (target, name) => target[name as string] ?? bindings[name as string] ?? 1 });
  for (const { name, shape } of specs) {
    shape.forEach((dim, axis) => {
      const size = given[name]?.shape[axis];
      if (typeof dim !== "number" && size !== undefined) bindings[String(dim)] = size;
    });
  }
  return ones as Record<string, number>;
}

async function checkOutputs(
  graph: Graph,
  inputs: TensorSet,
  outputs: TensorSet,
  options: ChosenOptions,
): Promise<Verification[]> {
  const checks: Verification[] = [];
  if (options.check === true) {
    const reference = await openDevice("reference", options);
    const executable = reference.compile(graph);
    const tolerance = MODEL_TOLERANCE[options.precision];
    checks.push(verifyTensors(outputs, executable.runSync(inputs), tolerance, "reference interpreter"));
    executable.dispose();
    reference.dispose();
  }
  if (options.case !== undefined) {
    const expected = Object.fromEntries(
      Object.entries(tensorFiles(options.case, "out-")).map(([name, path]) => [name, readNpy(path)]),
    );
    if (Object.keys(expected).length === 0)
      throw new UserError("the case folder has no out-<name>.npy files", { where: `--case ${options.case}` });
    // Computed with the weights of the file.
    const limits = modelLimits(options.precision, options.quantize);
    checks.push(verifyTensors(outputs, expected, limits, options.case));
  }
  return checks;
}

interface Summary {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly first: readonly number[];
}

function summarise(name: string, tensor: Tensor): Summary {
  const values = tensor.toArray();
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  for (const value of values) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return {
    name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    min,
    max,
    mean: sum / values.length,
    first: values.slice(0, 6),
  };
}

function report(
  file: string,
  device: string,
  executable: Executable,
  outputs: TensorSet,
  times: Readonly<Record<"importMs" | "compileMs" | "runMs", number>>,
  checks: readonly Verification[],
  profile: readonly LaunchTime[] | undefined,
  weights: string | undefined,
  options: ChosenOptions,
): void {
  const summaries = Object.entries(outputs).map(([name, tensor]) => summarise(name, tensor));
  if (options.output !== undefined) {
    for (const [name, tensor] of Object.entries(outputs))
      writeWhole(join(options.output, `out-${encodeURIComponent(name)}.npy`), encodeNpy(tensor));
  }
  if (options.json !== undefined) {
    const { plannedPeakBytes, kernels } = executable.report;
    const { precision, quantize, seed } = options;
    const settings = { file, device, precision, quantize, seed };
    writeJson(options.json, { ...settings, ...times, plannedPeakBytes, kernels, outputs: summaries, checks });
    if (options.json === "-") return;
  }
  const number = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(5));
  const rows = summaries.map((row) => [
    row.name,
    row.dtype,
    printShape(row.shape),
    number(row.min),
    number(row.max),
    number(row.mean),
    row.first.map(number).join(" "),
  ]);
  const columns = [
    { title: "output", align: "left" },
    { title: "dtype", align: "left" },
    { title: "shape", align: "left" },
    { title: "min", align: "right" },
    { title: "max", align: "right" },
    { title: "mean", align: "right" },
    { title: "first values", align: "left" },
  ] as const;
  const lines = [
    `${file} on ${device}: import ${formatMs(times.importMs)}, compile ${formatMs(times.compileMs)}${cachedNote(executable.report)}, first run ${formatMs(times.runMs)}`,
    ...(weights === undefined ? [] : [weights]),
    "",
    ...formatTable(columns, rows),
    ...checks.map(
      (check) =>
        `${check.ok ? "✓ equal to" : "✗ differs from"} ${check.oracle}: largest error ${check.maxError?.toExponential(2) ?? "not finite"}, limit ${check.tolerance}${check.message === undefined ? "" : `\n  ${check.message}`}`,
    ),
  ];
  process.stdout.write(`${[...lines, ...profileLines(profile)].join("\n")}\n`);
}

/** How many kernels needed no compilation. */
function cachedNote({ kernels }: CompileReport): string {
  if (kernels === undefined || kernels.cached === 0) return "";
  return kernels.cached === kernels.total
    ? " (kernels from an earlier run)"
    : ` (${kernels.cached} of ${kernels.total} kernels from an earlier run)`;
}

/** Launches by time, longest first. */
function profileLines(profile: readonly LaunchTime[] | undefined): string[] {
  if (profile === undefined || profile.length === 0) return [];
  const total = profile.reduce((sum, { ms }) => sum + ms, 0);
  const rows = profile
    .toSorted((a, b) => b.ms - a.ms)
    .map(({ name, ms }) => [formatMs(ms), `${((100 * ms) / total).toFixed(1)} %`, name]);
  const columns = [
    { title: "time", align: "right" },
    { title: "share", align: "right" },
    { title: "launch", align: "left" },
  ] as const;
  return [
    "",
    `${profile.length} launches, ${formatMs(total)} together (medians of several runs)`,
    ...formatTable(columns, rows),
  ];
}
