/**
 * Quern itself, one engine per device: `quern` (CPU), `quern-reference` (the interpreter) and `quern-gpu`.
 *
 * Models go through the same importer as a user's. The timed call is `runSync` and the disposal of its outputs; on the GPU,
 * where a call cannot be synchronous, it is `run`.
 */

import {
  UserError,
  bindInputs,
  printDim,
  type Device,
  type Executable,
  type Graph,
  type MatmulPrecision,
  type Tensor,
} from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";
import type { ModelValue } from "../cases/model.ts";
import { packageVersion } from "../version.ts";
import { graphFlops, multipliesDequantised } from "./graph-flops.ts";
import { finishCompiling, loadImporter, openDevice, readModel, type DeviceKind } from "./quern-device.ts";
import { profileLaunches } from "./quern-profile.ts";
import type { CompiledFacts, CompiledModel, Engine, EngineOptions, OpenEngine } from "./engine.ts";

function quernEngine(
  name: string,
  about: string,
  kind: DeviceKind,
  precisions: readonly MatmulPrecision[],
  variantOf?: string,
): Engine {
  // Without a setting the device takes all processors.
  const threadsOf = ({ threads }: EngineOptions): number | undefined => (variantOf === undefined ? threads : undefined);
  return {
    name,
    about,
    ...(variantOf === undefined ? {} : { variantOf }),
    ownThreads: kind === "gpu",
    madeWithCore: true,
    precisions,
    keepsKernels: kind === "cpu",
    quantises: true,
    takesFeatures: kind === "cpu",
    async describe(options) {
      const device = await openDevice(kind, { ...options, threads: threadsOf(options) });
      const threads = variantOf === undefined ? "as in each row" : "the device's own: all processors";
      const settings = { device: device.name, threads, call: kind === "gpu" ? "run" : "runSync" };
      device.dispose();
      return { name, version: packageVersion(), library: null, sha256: null, settings };
    },
    supports: () => undefined, // compiling says it, with the op and the reason
    async open(options): Promise<OpenEngine> {
      const cache = options.kernels ?? false;
      const device = await openDevice(kind, { ...options, threads: threadsOf(options), cache });
      await loadImporter();
      return {
        compile: async (modelPath, inputs) => {
          const { graph } = await readModel(modelPath, kind, options);
          const executable = device.compile(graph, { matmulPrecision: options.precision });
          await finishCompiling(device, executable, inputs);
          return wrap(device, graph, executable, kind === "gpu");
        },
        close: async () => device.dispose(),
      };
    },
  };
}

function wrap(device: Device, graph: Graph, executable: Executable, async: boolean): CompiledModel {
  const values = (specs: Executable["inputs"]): ModelValue[] =>
    specs.map(({ name, dtype, shape }) => ({
      name,
      dtype,
      shape: shape.map((dim) => (typeof dim === "number" ? dim : printDim(dim))),
    }));
  const known = new Set(executable.inputs.map((spec) => spec.name));
  let bound: TensorSet | undefined;
  return {
    inputs: values(executable.inputs),
    outputs: values(executable.outputs),
    async,
    bind(inputs) {
      const extra = Object.keys(inputs).find((name) => !known.has(name));
      if (extra !== undefined)
        throw new UserError(`the model has no input "${extra}"`, { hint: `Its inputs: ${[...known].join(", ")}.` });
      bound = inputs;
      return inputs;
    },
    call: async ? (feeds) => executable.run(feeds as TensorSet) : (feeds) => executable.runSync(feeds as TensorSet),
    tensors: (fetched) => fetched as Record<string, Tensor>,
    release(fetched) {
      for (const name in fetched as Record<string, Tensor>) (fetched as Record<string, Tensor>)[name]?.dispose();
    },
    facts: () => ({
      ...factsOf(device, executable),
      flops: bound === undefined ? null : graphFlops(graph, bindInputs(executable.inputs, bound).bindings),
      ...(multipliesDequantised(graph) ? { dequantised: true } : {}),
    }),
    profile: (inputs) => profileLaunches(executable, inputs),
    close: async () => executable.dispose(),
  };
}

function factsOf(device: Device, { report }: Executable): Omit<CompiledFacts, "flops"> {
  const precisions = new Set(report.launches.flatMap(({ precision }) => precision ?? []));
  return {
    device: device.name,
    plannedPeakBytes: report.plannedPeakBytes,
    ...(precisions.size === 0 ? {} : { precisions: [...precisions].toSorted() }),
  };
}

export const quern: Engine = quernEngine("quern", "our compiler, CPU device", "cpu", ["highest", "high", "medium"]);
export const quernDefaults: Engine = quernEngine(
  "quern-defaults",
  "the same without a number of threads",
  "cpu",
  ["highest", "high", "medium"],
  "quern",
);
export const quernReference: Engine = quernEngine(
  "quern-reference",
  "our reference interpreter (slow on purpose)",
  "reference",
  ["highest"],
);
export const quernGpu: Engine = quernEngine("quern-gpu", "our compiler, WebGPU device", "gpu", ["highest"]);
