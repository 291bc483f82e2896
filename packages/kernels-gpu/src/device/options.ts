/**
 * Options of `gpu()`, in a file without WebGPU types: users of the package need none.
 */

export interface GpuOptions {
  /** Part of the name of the adapter to use; Node only. A name that no adapter has is an error listing those there are. */
  readonly adapter?: string;
  readonly powerPreference?: "low-power" | "high-performance";
  /** Features of the device left unused: "shader-f16", "subgroups". For tests of the baseline. */
  readonly without?: readonly ("shader-f16" | "subgroups")[];
}
