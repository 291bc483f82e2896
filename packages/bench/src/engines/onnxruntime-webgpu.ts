/**
 * onnxruntime-node on its WebGPU execution provider, where the installed package has it and a GPU answers.
 *
 * Best documented settings: all graph optimisations, WebGPU's own validation off. Inputs are uploaded and outputs
 * downloaded in every call, as `quern-gpu` is measured. Nodes that the provider has no kernel for run on the CPU, by as many threads
 * as asked for; the interface does not say which. The record `onnxruntime-webgpu-defaults` names the provider and sets nothing else.
 */

import { UserError } from "@quern/core";
import { encodeOnnx } from "../cases/onnx-model.ts";
import type { Engine, EngineOptions, OpenEngine } from "./engine.ts";
import { loadOnnxruntime, onnxruntimeIdentity } from "./onnxruntime-node.ts";
import { unknownInput, wrapSession, type Ort, type SessionOptions } from "./ort-session.ts";

const PROVIDER = "webgpu";
const NAME = "onnxruntime-webgpu";

function bestOptions({ threads, optimise }: EngineOptions): SessionOptions {
  return {
    executionProviders: [{ name: PROVIDER, validationMode: "disabled" }],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: optimise === false ? "disabled" : "all",
    logSeverityLevel: 3,
  };
}

async function load(): Promise<Ort> {
  const ort = await loadOnnxruntime();
  const backends = ort.listSupportedBackends().map(({ name }) => name);
  if (backends.includes(PROVIDER)) return ort;
  throw new UserError(`onnxruntime-node has no execution provider ${PROVIDER} here (it has ${backends.join(", ")})`, {
    hint: "Install version 1.23 or later, on a platform that it has WebGPU for.",
  });
}

/** One addition, to see whether the provider finds a GPU. */
const PROBE: Uint8Array = encodeOnnx({
  name: "probe",
  opset: 17,
  inputs: [{ name: "x", dtype: "f32", shape: [4] }],
  outputs: [{ name: "y", dtype: "f32", shape: [4] }],
  initialisers: [],
  nodes: [{ op: "Add", inputs: ["x", "x"], outputs: ["y"] }],
}).bytes;

async function requireGpu(ort: Ort, options: SessionOptions): Promise<void> {
  try {
    const session = await ort.InferenceSession.create(PROBE, options);
    await session.run({ x: new ort.Tensor("float32", Float32Array.of(1, 2, 3, 4), [4]) });
    await session.release();
  } catch (cause) {
    throw new UserError(`onnxruntime's WebGPU provider does not start: ${(cause as Error).message}`, {
      hint: "It wants a GPU with a driver for Vulkan, Metal or Direct3D 12.",
      cause,
    });
  }
}

function webgpuEngine(name: string, about: string, best: boolean): Engine {
  const sessionOptions = (options: EngineOptions): SessionOptions =>
    best ? bestOptions(options) : { executionProviders: [PROVIDER] };
  return {
    name,
    about,
    ...(best ? {} : { variantOf: NAME }),
    ownThreads: true,
    precisions: ["highest"],
    keepsKernels: false,
    quantises: false,

    async describe(options) {
      await requireGpu(await load(), sessionOptions(options));
      return {
        name,
        ...onnxruntimeIdentity(),
        settings: {
          executionProvider: PROVIDER,
          ...(best
            ? { validationMode: "disabled", graphOptimizationLevel: "all" }
            : { sessionOptions: "none but the provider" }),
          fallback: "nodes without a GPU kernel run on the CPU",
          isa: "chosen by the library, which does not say",
          call: "session.run, inputs uploaded and outputs downloaded in each",
        },
      };
    },

    supports: (workload) => unknownInput(workload, "onnxruntime-node"),

    async open(options): Promise<OpenEngine> {
      const ort = await load();
      return {
        compile: async (path) =>
          wrapSession(ort, await ort.InferenceSession.create(path, sessionOptions(options)), path, PROVIDER),
        close: async () => {},
      };
    },
  };
}

export const onnxruntimeWebgpu: Engine = webgpuEngine(NAME, "onnxruntime-node, WebGPU execution provider", true);
export const onnxruntimeWebgpuDefaults: Engine = webgpuEngine(
  `${NAME}-defaults`,
  "the same without any further session option",
  false,
);
