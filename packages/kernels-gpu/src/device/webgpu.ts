/**
 * Opens WebGPU: `navigator.gpu` where there is one (browsers), else Dawn through the package `webgpu` (Node).
 *
 * Dawn ends the process with an assertion when the object that `create` returned is collected while a device lives,
 * so each one is pinned on the global object for the life of the process; a module variable would not be enough.
 */

import { UnsupportedError, UserError, debug } from "@quern/core";
import type { GpuOptions } from "./options.ts";

export interface OpenDevice {
  readonly device: GPUDevice;
  /** The adapter's name as `gpu:NAME`. */
  readonly name: string;
  readonly f16: boolean;
  /** Subgroup operations together with the built-in values `subgroup_id` and `num_subgroups`. */
  readonly subgroups: boolean;
}

const PINNED = Symbol.for("quern.webgpu");

/** One Dawn instance per adapter name. */
async function instance(adapter: string): Promise<GPU> {
  const holder = globalThis as { [PINNED]?: Map<string, GPU> };
  const pinned = (holder[PINNED] ??= new Map<string, GPU>());
  let gpu = pinned.get(adapter);
  if (gpu === undefined) {
    const { create } = await loadDawn();
    gpu = create(adapter === "" ? [] : [`adapter=${adapter}`]);
    pinned.set(adapter, gpu);
  }
  return gpu;
}

async function loadDawn(): Promise<{ create(options: string[]): GPU }> {
  try {
    return await import("webgpu");
  } catch (cause) {
    throw new UnsupportedError({
      op: "WebGPU",
      reason: `the package "webgpu" does not load here: ${(cause as Error).message}`,
    });
  }
}

/** Throws an `UnsupportedError` where there is no adapter. */
export async function openDevice(options: GpuOptions): Promise<OpenDevice> {
  const browser = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  const gpu = browser ?? (await instance(options.adapter ?? ""));
  const { powerPreference } = options;
  const adapter = await requestAdapter(gpu, powerPreference === undefined ? {} : { powerPreference });
  const { info } = adapter;
  const wanted = (["shader-f16", "subgroups"] as const).filter(
    (feature) => adapter.features.has(feature) && options.without?.includes(feature) !== true,
  );
  const device = await adapter.requestDevice({ requiredFeatures: wanted, requiredLimits: wantedLimits(adapter) });
  const subgroups = device.features.has("subgroups") && gpu.wgslLanguageFeatures.has("subgroup_id");
  const name = `gpu:${info.device || info.description || info.vendor || "unknown"}`;
  debug(1, () => `device ${name}: ${info.description}; ${wanted.join(", ") || "baseline features"}`);
  return { device, name, f16: device.features.has("shader-f16"), subgroups };
}

async function requestAdapter(gpu: GPU, options: GPURequestAdapterOptions): Promise<GPUAdapter> {
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter(options);
  } catch (cause) {
    throw new UserError(`WebGPU: ${(cause as Error).message}`, { cause });
  }
  if (adapter === null) throw new UnsupportedError({ op: "WebGPU", reason: "no adapter: no GPU driver was found" });
  return adapter;
}

/** The defaults are small (128 MiB bindings, 8 buffers per kernel); what kernels and tensors need is asked for. */
function wantedLimits({ limits }: GPUAdapter): Record<string, number> {
  const names = [
    "maxBufferSize",
    "maxStorageBufferBindingSize",
    "maxStorageBuffersPerShaderStage",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
    "maxComputeWorkgroupSizeX",
    "maxComputeWorkgroupsPerDimension",
  ] as const;
  return Object.fromEntries(names.map((name) => [name, limits[name]]));
}
