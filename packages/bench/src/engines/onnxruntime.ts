/**
 * onnxruntime-node on the CPU: the baseline.
 *
 * Best documented settings: see `bestOnCpu`. Its pool spins between calls when the harness stops idle engines, and not
 * otherwise, so that it never takes the cores of the engine being timed. `session.run` is its public call; it blocks the
 * thread from a `setImmediate`. Preallocated outputs (`fetches`) were tried and are no faster. The record
 * `onnxruntime-defaults` gives a session no options at all: its threads are then as many as the machine has cores.
 */

import type { Engine, EngineOptions, OpenEngine } from "./engine.ts";
import { loadOnnxruntime, onnxruntimeIdentity } from "./onnxruntime-node.ts";
import { bestOnCpu, recordOfBest, unknownInput, wrapSession, type SessionOptions } from "./ort-session.ts";

const CALL = "session.run (goes through setImmediate)";

function onnxruntimeEngine(
  name: string,
  about: string,
  sessionOptions: (options: EngineOptions) => SessionOptions,
  record: (options: EngineOptions) => Record<string, string>,
): Engine {
  return {
    name,
    about,
    ...(name === "onnxruntime" ? {} : { variantOf: "onnxruntime" }),
    precisions: ["highest"],
    keepsKernels: false,
    quantises: false,

    describe: async (options) => ({
      name,
      ...onnxruntimeIdentity(),
      settings: { ...record(options), isa: "chosen by the library, which does not say", call: CALL },
    }),

    supports: (workload) => unknownInput(workload, "onnxruntime-node"),

    async open(options): Promise<OpenEngine> {
      const ort = await loadOnnxruntime();
      return {
        compile: async (path) =>
          wrapSession(ort, await ort.InferenceSession.create(path, sessionOptions(options)), path, "cpu"),
        close: async () => {},
      };
    },
  };
}

export const onnxruntime: Engine = onnxruntimeEngine(
  "onnxruntime",
  "onnxruntime-node, CPU execution provider",
  (options) => bestOnCpu(options, "cpu"),
  (options) => recordOfBest(options, "cpu"),
);

export const onnxruntimeDefaults: Engine = onnxruntimeEngine(
  "onnxruntime-defaults",
  "the same without any session option",
  () => ({}),
  () => ({ sessionOptions: "none", threads: "the library's own: all physical cores, spinning" }),
);
