/**
 * Opens Quern's devices and imports models for them: the one place of this package that knows the device packages.
 *
 * Device packages are loaded when they are asked for, so that a machine without a GPU library never loads it, and the
 * time to load is part of the phase "load".
 */

import { referenceDevice, type Device, type Executable } from "@quern/core";
import type * as OnnxImporter from "@quern/importers/onnx";
import type * as CpuKernels from "@quern/kernels-cpu";
import { requirePeer } from "../harness/peers.ts";
import type { TensorSet } from "../cases/inputs.ts";
import type { EngineOptions } from "./engine.ts";

export const DEVICE_KINDS = ["cpu", "gpu", "reference"] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

/** Loads the importer's code, so that it counts as loading and not as the import of the first model. */
export function loadImporter(): Promise<typeof OnnxImporter> {
  return requirePeer("@quern/importers", "reading an ONNX model", () => import("@quern/importers/onnx"));
}

function loadCpu(): Promise<typeof CpuKernels> {
  return requirePeer("@quern/kernels-cpu", "the CPU device", () => import("@quern/kernels-cpu"));
}

/**
 * Reads a model file into a graph, its weights quantised to `quantize` if that is given. For the CPU device, other weights
 * stay where they are: in the mapped file.
 */
export async function readModel(
  path: string,
  kind: DeviceKind = "reference",
  { quantize }: Pick<EngineOptions, "quantize"> = {},
): Promise<OnnxImporter.ImportResult> {
  const { readOnnxFile } = await loadImporter();
  const options = quantize === undefined ? {} : { quantize };
  if (kind !== "cpu") return readOnnxFile(path, options);
  const { nativeHost } = await loadCpu();
  const host = nativeHost();
  // Mappings are never undone: graphs, and programs made from them, hold views on them.
  return readOnnxFile(path, { ...options, read: (file) => new Uint8Array(host.mapFile(file).buffer) });
}

export interface DeviceOptions extends Pick<EngineOptions, "features"> {
  /** Absent: as many as the device takes by itself. */
  readonly threads?: number | undefined;
  /** Folder for compiled kernels, false for none; absent: as the device decides. */
  readonly cache?: string | false | undefined;
}

/** Opens a device; throws a `UserError` that says why where it cannot. */
export async function openDevice(kind: DeviceKind, options: DeviceOptions): Promise<Device> {
  switch (kind) {
    case "cpu": {
      const { cpu } = await loadCpu();
      return cpu({
        ...(options.threads === undefined ? {} : { threads: options.threads }),
        ...(options.features === undefined ? {} : { features: options.features }),
        ...(options.cache === undefined ? {} : { cache: options.cache }),
      });
    }
    case "gpu": {
      const { gpu } = await requirePeer("@quern/kernels-gpu", "the GPU device", () => import("@quern/kernels-gpu"));
      return await gpu();
    }
    case "reference":
      return referenceDevice();
  }
}

/** What devices and executables that compile behind `compile` have beyond the interface: those of the CPU. */
type Compiling = Partial<Pick<CpuKernels.CpuDevice, "weightsPacked"> & { specialise(inputs: TensorSet): void }>;

/**
 * Ends what `device.compile` has only begun: the program for the sizes of `inputs`, where the first run would compile it, and
 * packing weights.
 */
export async function finishCompiling(
  device: Device & Compiling,
  executable: Executable & Compiling,
  inputs?: TensorSet,
): Promise<void> {
  if (inputs !== undefined) executable.specialise?.(inputs);
  await device.weightsPacked?.();
}
