/**
 * `quern inspect`: what is in a model, and what the compiler makes of it. Without `--stage` a summary; with it the
 * text of one stage: the graph, the fused groups, the kernels, or the machine code.
 */

import type { Command } from "commander";
import {
  DUMP_STAGES,
  UserError,
  isGraph,
  printShape,
  type CompileReport,
  type DumpStage,
  type Graph,
  type MatmulPrecision,
  type TensorSpec,
} from "@quern/core";
import { formatBytes, formatMs, formatTable } from "@quern/bench/format";
import { openDevice, readModel, requireModelFile, type DeviceKind } from "@quern/bench/engines";
import {
  PRECISION_DEFAULT,
  QUANTIZE_OPTION,
  impliedPrecision,
  numberOption,
  parseDevice,
  parseEncoding,
  parsePrecision,
} from "../options.ts";
import { quantisedLine, quantisedTable } from "../quantised-weights.ts";
import { writeJson } from "../write-file.ts";
import { isGguf } from "../gguf-facts.ts";
import { inspectGguf, readStepGraph } from "./inspect-gguf.ts";

interface InspectOptions {
  readonly stage?: DumpStage;
  readonly device: DeviceKind;
  readonly threads: number;
  readonly precision?: MatmulPrecision;
  readonly quantize?: string;
  readonly features?: string;
  readonly json?: string;
}

const EXAMPLES = `
Stages:
  graph     tensor ops after the passes, in the text form that is read back exactly
  fused     groups of ops that become one kernel each
  kernel    kernel IR
  machine   machine code (CPU) or WGSL (GPU)

Examples:
  quern inspect mnist.onnx
  quern inspect mnist.onnx --stage machine --features avx2
  quern inspect encoder.onnx --quantize Q4_K
  quern inspect mnist.onnx --json -
  quern inspect model.gguf
  quern inspect model.gguf --stage fused --threads 2`;

function parseStage(text: string): DumpStage {
  const found = DUMP_STAGES.find((stage) => stage === text);
  if (found !== undefined) return found;
  throw new UserError(`there is no stage "${text}"`, {
    where: "--stage",
    hint: `Choose from: ${DUMP_STAGES.join(", ")}.`,
  });
}

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("Show what a model holds and what it is compiled to.")
    .argument("<file>", "an .onnx or .gguf file")
    .option("--stage <name>", `${DUMP_STAGES.join(", ")}`, parseStage)
    .option("--device <kind>", "cpu, gpu or reference", parseDevice, "cpu")
    .option("--threads <count>", "threads of the CPU device", numberOption("--threads", 1, 1024, true), 1)
    .option("--precision <name>", `highest, high or medium ${PRECISION_DEFAULT}`, parsePrecision)
    .option("--quantize <encoding>", `${QUANTIZE_OPTION}; shows what becomes of them`, parseEncoding)
    .option("--features <mask>", "CPU features that may be used, for instance avx2")
    .option("--json <file>", "write the summary as JSON; - is standard output")
    .addHelpText("after", EXAMPLES)
    .action(inspect);
}

async function inspect(file: string, options: InspectOptions): Promise<void> {
  requireModelFile(file, "Give the path of an .onnx or .gguf file.");
  const language = isGguf(file);
  if (language && options.stage === undefined) {
    inspectGguf(file, options.json);
    return;
  }
  const started = performance.now();
  const { graph, quantised } = language
    ? { graph: readStepGraph(file), quantised: undefined }
    : await readModel(file, options.device, options);
  const importMs = performance.now() - started;
  const device = await openDevice(options.device, options);
  try {
    const precision = options.precision ?? (language ? "medium" : impliedPrecision(options.quantize));
    using executable = device.compile(graph, { matmulPrecision: precision });
    if (options.stage !== undefined) {
      const text = executable.dump(options.stage);
      process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
      return;
    }
    const { inputs, outputs, report } = executable;
    if (options.json !== undefined) {
      const summary = {
        file,
        device: device.name,
        importMs,
        inputs: inputs.map(specJson),
        outputs: outputs.map(specJson),
        ops: Object.fromEntries(countOps(graph)),
        ...(quantised === undefined ? {} : { quantised }),
        report,
      };
      writeJson(options.json, summary);
      if (options.json === "-") return;
    }
    const lines = [
      `${file}: ${graph.nodes.length} nodes, imported in ${formatMs(importMs)}`,
      "",
      "inputs",
      ...inputs.map(specLine),
      "",
      "outputs",
      ...outputs.map(specLine),
      "",
      "ops",
      `  ${countOps(graph)
        .map(([op, count]) => `${op} ${count}`)
        .join(", ")}`,
      "",
      ...(quantised === undefined
        ? []
        : [quantisedLine(quantised, options.quantize as string, precision), ...quantisedTable(quantised), ""]),
      ...compileLines(device.name, report),
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  } finally {
    device.dispose();
  }
}

function specJson({ name, dtype, shape }: TensorSpec): object {
  return { name, dtype, shape: shape.map(String) };
}

function specLine({ name, dtype, shape }: TensorSpec): string {
  return `  ${name}: ${dtype} ${printShape(shape)}`;
}

/** How often each op occurs, sub-graphs included, most frequent first. */
function countOps(graph: Graph): [string, number][] {
  const counts = new Map<string, number>();
  const visit = (each: Graph): void => {
    for (const node of each.nodes) {
      if (node.op !== "input" && node.op !== "constant") counts.set(node.op, (counts.get(node.op) ?? 0) + 1);
      for (const attr of Object.values(node.attrs)) if (isGraph(attr)) visit(attr);
    }
  };
  visit(graph);
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

function compileLines(device: string, report: CompileReport): string[] {
  const rows = report.launches.map((launch, i) => [String(i), launch.kernel, launch.nodes.join(" "), launch.decision]);
  const columns = [
    { title: "#", align: "right" },
    { title: "kernel", align: "left" },
    { title: "computes", align: "left" },
    { title: "why", align: "left" },
  ] as const;
  const changed = report.passes.filter((pass) => pass.changed).map((pass) => `${pass.name} ${formatMs(pass.ms)}`);
  return [
    `compiled for ${device} in ${formatMs(report.compileMs)}: ${report.launches.length} launches, weights ${formatBytes(report.weightBytes)}, code ${formatBytes(report.codeBytes)}, planned peak of intermediate buffers ${formatBytes(report.plannedPeakBytes)}`,
    `passes that changed the graph: ${changed.join(", ") || "none"}`,
    "",
    ...(rows.length === 0 ? [] : formatTable(columns, rows)),
  ];
}
