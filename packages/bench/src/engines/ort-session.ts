/** Sessions of onnxruntime, of its native and of its Wasm build, which share one interface. */

import { Tensor, UserError, type DType, type TypedArray } from "@quern/core";
import type * as OrtModule from "onnxruntime-node";
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { TensorSet } from "../cases/inputs.ts";
import type { ModelValue } from "../cases/model.ts";
import type { Workload } from "../cases/workload.ts";
import type { CompiledModel, EngineOptions } from "./engine.ts";

export type Ort = typeof OrtModule;
export type SessionOptions = InferenceSession.SessionOptions;

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

/** Why a package of onnxruntime cannot take the inputs of a workload. */
export function unknownInput(workload: Workload, name: string): string | undefined {
  const unknown = workload.inputs.find((input) => ORT_TYPE[input.dtype] === undefined);
  return unknown === undefined ? undefined : `${name} has no ${unknown.dtype} tensors`;
}

/**
 * The documented best settings of a session on the CPU: all graph optimisations, sequential execution, exactly `threads`
 * intra-op threads, which spin between calls where idle engines are stopped, and not otherwise.
 */
export function bestOnCpu(options: EngineOptions, provider: string): SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: options.optimise === false ? "disabled" : "all",
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: options.idle === "stopped" ? "1" : "0" } } },
  };
}

/** The settings above, for the record. */
export function recordOfBest(options: EngineOptions, provider: string): Record<string, string> {
  const { executionMode, graphOptimizationLevel, interOpNumThreads } = bestOnCpu(options, provider);
  return {
    executionProvider: provider,
    executionMode: String(executionMode),
    graphOptimizationLevel: String(graphOptimizationLevel),
    interOpNumThreads: String(interOpNumThreads),
    intraOpNumThreads: "as in each row",
    "session.intra_op.allow_spinning": options.idle === "stopped" ? "1 (stopped while idle)" : "0",
  };
}

/** What a session says of its inputs and outputs. */
type SessionFacts = Pick<InferenceSession, "inputMetadata" | "outputMetadata">;

/** Inputs, and outputs that are tensors. `path`: for errors. */
export function sessionValues(session: SessionFacts, path: string): Pick<CompiledModel, "inputs" | "outputs"> {
  const value = (metadata: InferenceSession.ValueMetadata): ModelValue => {
    if (!metadata.isTensor) throw new UserError(`"${metadata.name}" is no tensor`, { where: path });
    const dtype = DTYPE_OF_ORT.get(metadata.type);
    if (dtype === undefined)
      throw new UserError(`"${metadata.name}" has type ${metadata.type}, which bench cannot feed`, { where: path });
    return { name: metadata.name, dtype, shape: metadata.shape.map((dim) => (dim === "" ? null : dim)) };
  };
  return {
    inputs: session.inputMetadata.map(value),
    outputs: session.outputMetadata.filter((metadata) => metadata.isTensor).map(value),
  };
}

/** A session as a compiled model. */
export function wrapSession(ort: Ort, session: InferenceSession, path: string, device: string): CompiledModel {
  return {
    ...sessionValues(session, path),
    async: true,
    bind: (inputs) => Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, toOrt(ort, tensor)])),
    call: (feeds) => session.run(feeds as InferenceSession.FeedsType),
    tensors: (fetched) => fromOrt(fetched as InferenceSession.ReturnType),
    release: () => {}, // the garbage collector owns the outputs; the interface has no earlier way
    facts: () => ({ device, plannedPeakBytes: null, flops: null }),
    close: () => session.release(),
  };
}

export function toOrt(ort: Pick<Ort, "Tensor">, tensor: Tensor): OrtTensor {
  const type = ORT_TYPE[tensor.dtype] as "float32";
  return new ort.Tensor(type, tensor.data as Float32Array, tensor.shape);
}

export function fromOrt(fetched: Readonly<Record<string, unknown>>): TensorSet {
  const tensors: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(fetched)) {
    const output = value as OrtTensor;
    const dtype = DTYPE_OF_ORT.get(output.type);
    // Strings and sequences are not compared.
    if (dtype !== undefined) tensors[name] = new Tensor(dtype, output.dims, output.data as TypedArray);
  }
  return tensors;
}
