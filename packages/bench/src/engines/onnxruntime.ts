/**
 * onnxruntime-node on the CPU: the baseline.
 *
 * Best documented settings: all graph optimisations, sequential execution, exactly `threads` intra-op threads. Its pool
 * spins between calls when the harness stops idle engines, and not otherwise, so that it never takes the cores of the
 * engine being timed. `session.run` is its public call; it blocks the thread from a `setImmediate`. Preallocated
 * outputs (`fetches`) were tried and are no faster.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Tensor, UserError, type DType, type TypedArray } from "@quern/core";
import type * as OrtModule from "onnxruntime-node";
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { TensorSet } from "../cases/inputs.ts";
import type { ModelValue } from "../cases/model.ts";
import type { CompiledModel, Engine, EngineOptions, OpenEngine } from "./engine.ts";

type Ort = typeof OrtModule;

/** dtypes as onnxruntime names them. */
const ORT_TYPE: Readonly<Partial<Record<DType, OrtTensor.Type>>> = {
  f64: "float64",
  f32: "float32",
  f16: "float16",
  i64: "int64",
  i32: "int32",
  i16: "int16",
  i8: "int8",
  u64: "uint64",
  u32: "uint32",
  u16: "uint16",
  u8: "uint8",
  bool: "bool",
};

const DTYPE_OF_ORT: ReadonlyMap<string, DType> = new Map(
  Object.entries(ORT_TYPE).map(([dtype, name]) => [name as string, dtype as DType]),
);

const require = createRequire(import.meta.url);

function packageRoot(): string {
  try {
    return dirname(require.resolve("onnxruntime-node/package.json"));
  } catch (cause) {
    throw new UserError("the engine onnxruntime is not installed", {
      hint: "Install it beside quern: npm install onnxruntime-node --ignore-scripts",
      cause,
    });
  }
}

async function load(): Promise<Ort> {
  packageRoot();
  const module = (await import("onnxruntime-node")) as Ort & { default?: Ort };
  return module.default ?? module;
}

function sessionOptions(options: EngineOptions): InferenceSession.SessionOptions {
  const spinning = options.idle === "stopped" ? "1" : "0";
  return {
    executionProviders: ["cpu"],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: options.optimise === false ? "disabled" : "all",
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: spinning } } },
  };
}

export const onnxruntime: Engine = {
  name: "onnxruntime",
  about: "onnxruntime-node, CPU execution provider",
  precisions: ["highest"],
  keepsKernels: false,
  quantises: false,

  async describe(options) {
    const root = packageRoot();
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const suffix =
      process.platform === "win32"
        ? "onnxruntime.dll"
        : process.platform === "darwin"
          ? "libonnxruntime.1.dylib"
          : "libonnxruntime.so.1";
    const file = join(root, "bin", "napi-v6", process.platform, process.arch, suffix);
    let sha256: string | null = null;
    try {
      sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
    } catch {
      // Another layout of the package: the version still says what it is.
    }
    const { executionMode, graphOptimizationLevel, interOpNumThreads } = sessionOptions(options);
    return {
      name: "onnxruntime",
      version,
      library: sha256 === null ? null : suffix,
      sha256,
      settings: {
        executionProvider: "cpu",
        executionMode: String(executionMode),
        graphOptimizationLevel: String(graphOptimizationLevel),
        interOpNumThreads: String(interOpNumThreads),
        intraOpNumThreads: "as in each row",
        "session.intra_op.allow_spinning": options.idle === "stopped" ? "1 (stopped while idle)" : "0",
        call: "session.run (goes through setImmediate)",
      },
    };
  },

  supports(workload) {
    const unknown = workload.inputs.find((input) => ORT_TYPE[input.dtype] === undefined);
    return unknown === undefined ? undefined : `onnxruntime-node has no ${unknown.dtype} tensors`;
  },

  async open(options): Promise<OpenEngine> {
    const ort = await load();
    return {
      compile: (modelPath) => compile(ort, modelPath, options),
      close: async () => {},
    };
  },
};

async function compile(ort: Ort, modelPath: string, options: EngineOptions): Promise<CompiledModel> {
  const session = await ort.InferenceSession.create(modelPath, sessionOptions(options));
  const value = (metadata: InferenceSession.ValueMetadata): ModelValue => {
    if (!metadata.isTensor) throw new UserError(`"${metadata.name}" is no tensor`, { where: modelPath });
    const dtype = DTYPE_OF_ORT.get(metadata.type);
    if (dtype === undefined)
      throw new UserError(`"${metadata.name}" has type ${metadata.type}, which bench cannot feed`, {
        where: modelPath,
      });
    return { name: metadata.name, dtype, shape: metadata.shape.map((dim) => (dim === "" ? null : dim)) };
  };
  return {
    inputs: session.inputMetadata.map(value),
    outputs: session.outputMetadata.filter((metadata) => metadata.isTensor).map(value),
    async: true,
    bind: (inputs) => Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, toOrt(ort, tensor)])),
    call: (feeds) => session.run(feeds as InferenceSession.FeedsType),
    tensors: (fetched) => fromOrt(fetched as InferenceSession.ReturnType),
    release: () => {}, // the garbage collector owns the outputs; the interface has no earlier way
    facts: () => ({ device: "cpu", plannedPeakBytes: null, flops: null, bytes: null }),
    close: () => session.release(),
  };
}

function toOrt(ort: Ort, tensor: Tensor): OrtTensor {
  const type = ORT_TYPE[tensor.dtype] as "float32";
  return new ort.Tensor(type, tensor.data as Float32Array, tensor.shape);
}

function fromOrt(fetched: InferenceSession.ReturnType): TensorSet {
  const tensors: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(fetched)) {
    const output = value as OrtTensor;
    const dtype = DTYPE_OF_ORT.get(output.type);
    // Strings and sequences are not compared.
    if (dtype !== undefined) tensors[name] = new Tensor(dtype, output.dims, output.data as TypedArray);
  }
  return tensors;
}
