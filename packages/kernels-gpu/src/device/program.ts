/**
 * The program compiler: from the fused graph to WGSL modules, pipelines and a list of dispatches.
 *
 * In: the optimised graph. Out: steps with their storages and lifetimes; pipelines compile in the background. Nothing
 * here depends on the sizes of a run; `binding.ts` evaluates those. All that the device cannot serve is reported at once.
 */

import {
  type Graph,
  type Kernel,
  type Launch,
  type LaunchReport,
  type Unsupported,
  InternalError,
  UnsupportedError,
  debug,
  legaliseKernel,
  printKernel,
  siteOf,
  type Storage,
  StorageMap,
} from "@quern/core";
import { choose } from "../kernels/choose.ts";
import { type WgslProgram, renderWgsl } from "../wgsl/render.ts";
import { setLifetimes } from "./storage.ts";
import type { OpenDevice } from "./webgpu.ts";

/** `GPUShaderStage.COMPUTE`, for which Node has no global. */
const COMPUTE_STAGE = 4;

export interface CompiledKernel {
  readonly kernel: Kernel;
  readonly wgsl: WgslProgram;
  readonly layout: GPUBindGroupLayout;
  /** Rejects with the compiler's messages. */
  readonly pipeline: Promise<GPUComputePipeline>;
}

export interface Step {
  readonly launch: Launch;
  readonly compiled: CompiledKernel;
  /** In the order of the kernel's buffers. */
  readonly storages: readonly Storage[];
}

export interface Program {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly storages: StorageMap;
  readonly launches: readonly LaunchReport[];
  readonly codeBytes: number;
}

export function compileProgram(graph: Graph, open: OpenDevice): Program {
  const launches = lowerAll(graph);
  const storages = new StorageMap(graph);
  const compiled = new Map<string, CompiledKernel>();
  const steps = launches.map((launch): Step => {
    const one = compileOnce(launch.kernel, open, compiled);
    if (one.kernel.buffers.length !== launch.operands.length) {
      throw new InternalError(
        `${launch.kernel.name}: ${one.kernel.buffers.length} buffers, ${launch.operands.length} operands`,
      );
    }
    return { launch, compiled: one, storages: launch.operands.map((operand) => storages.operand(operand)) };
  });
  setLifetimes(steps);
  for (const { value } of graph.outputs) storages.of(value).last = Infinity;
  const codeBytes = [...compiled.values()].reduce((sum, { wgsl }) => sum + wgsl.code.length, 0);
  return { graph, steps, storages, launches: launches.map(reportOf), codeBytes };
}

/** The launches of every node that computes something; collects what is not supported over the whole graph. */
function lowerAll(graph: Graph): Launch[] {
  const problems: Unsupported[] = [];
  const launches = graph.nodes.flatMap((node): readonly Launch[] => {
    if (node.op === "input" || node.op === "constant" || node.op === "reshape") return [];
    try {
      return choose(siteOf(node));
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      const where = node.name === undefined ? {} : { where: node.name };
      problems.push(...error.items.map((item) => ({ ...where, ...item })));
      return [];
    }
  });
  if (problems.length > 0) throw new UnsupportedError(problems);
  return launches;
}

/** Equal kernels (same text) are compiled once per program. */
function compileOnce(
  kernel: Kernel,
  { device, f16, subgroups }: OpenDevice,
  known: Map<string, CompiledKernel>,
): CompiledKernel {
  const text = printKernel({ ...kernel, name: "" });
  let one = known.get(text);
  if (one === undefined) {
    const legal = legaliseKernel(kernel);
    const wgsl = renderWgsl(legal, { f16, subgroups });
    debug(4, () => wgsl.code, [kernel.name]);
    const { maxStorageBuffersPerShaderStage: most } = device.limits;
    if (legal.buffers.length > most)
      throw new UnsupportedError({
        op: kernel.name,
        target: "gpu",
        reason: `${legal.buffers.length} buffers, this adapter binds ${most}`,
      });
    const layout = createLayout(device, legal, wgsl);
    one = { kernel: legal, wgsl, layout, pipeline: createPipeline(device, layout, kernel.name, wgsl.code) };
    known.set(text, one);
  }
  return one;
}

/** Every buffer and the parameters, whether or not the module reads them: an automatic layout would leave those out. */
export function createLayout(device: GPUDevice, { buffers }: Kernel, { parameters }: WgslProgram): GPUBindGroupLayout {
  const entry = (binding: number, type: GPUBufferBindingType): GPUBindGroupLayoutEntry => ({
    binding,
    visibility: COMPUTE_STAGE,
    buffer: { type },
  });
  const entries = buffers.map(({ access }, i) => entry(i, access === "read" ? "read-only-storage" : "storage"));
  if (parameters.length > 0) entries.push(entry(buffers.length, "uniform"));
  return device.createBindGroupLayout({ entries });
}

export function createPipeline(
  device: GPUDevice,
  group: GPUBindGroupLayout,
  name: string,
  code: string,
): Promise<GPUComputePipeline> {
  device.pushErrorScope("validation");
  const shader = device.createShaderModule({ label: name, code });
  const layout = device.createPipelineLayout({ bindGroupLayouts: [group] });
  const pipeline = device
    .createComputePipelineAsync({ label: name, layout, compute: { module: shader, entryPoint: "main" } })
    .catch((cause: unknown) => {
      throw new InternalError(`kernel ${name}: ${(cause as Error).message}\n${code}`);
    });
  // The error of the module is part of the pipeline's, and whoever runs the program awaits that.
  void device.popErrorScope();
  pipeline.catch(() => {});
  return pipeline;
}

function reportOf({ kernel, nodes, decision, flops, bytes }: Launch): LaunchReport {
  return {
    kernel: kernel.name,
    nodes: nodes.map((node) => node.name ?? node.op),
    decision,
    ...(typeof flops === "number" ? { flops } : {}),
    ...(typeof bytes === "number" ? { bytes } : {}),
  };
}
