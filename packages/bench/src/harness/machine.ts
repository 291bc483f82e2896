/**
 * What machine this is: the facts that decide whether two measurements can be compared, and a short hash of them.
 *
 * Facts come from the system (Linux: /proc and /sys); a fact that cannot be read is null or empty, never guessed.
 */

import { createHash } from "node:crypto";
import { availableParallelism, arch, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { systemFiles } from "../doctor/system-files.ts";
import type { Machine, RooflinePoint } from "../results/schema.ts";

/** CPU features that matter to kernels, as /proc/cpuinfo names them. */
const FEATURES = /^(sse4_2|avx|f16c|fma|avx2|avx_vnni|avx512\w*|amx_\w+|asimd\w*|sve\w*|bf16|i8mm)$/;

function cpuinfoField(text: string, field: string): string | null {
  return new RegExp(`^${field}\\s*:\\s*(.*)$`, "m").exec(text)?.[1]?.trim() ?? null;
}

function caches(): Machine["cpu"]["caches"] {
  const folder = "/sys/devices/system/cpu/cpu0/cache";
  const entries = systemFiles.list(folder).filter((name) => /^index\d+$/.test(name));
  return entries.map((entry) => {
    const read = (file: string): string => systemFiles.read(join(folder, entry, file)) ?? "";
    const size = /^(\d+)([KM]?)$/.exec(read("size"));
    const unit = size?.[2] === "M" ? 2 ** 20 : size?.[2] === "K" ? 2 ** 10 : 1;
    return { level: Number(read("level")), type: read("type").toLowerCase(), bytes: Number(size?.[1] ?? 0) * unit };
  });
}

/** Facts of this machine; `roofline` is measured elsewhere and given. */
export function describeMachine(roofline: readonly RooflinePoint[] = []): Machine {
  const cpuinfo = systemFiles.read("/proc/cpuinfo") ?? "";
  const flags = (cpuinfoField(cpuinfo, "flags") ?? cpuinfoField(cpuinfo, "Features") ?? "").split(/\s+/);
  const cpu = {
    brand: cpuinfoField(cpuinfo, "model name") ?? cpus()[0]?.model ?? "unknown",
    vendor: cpuinfoField(cpuinfo, "vendor_id") ?? "unknown",
    cores: availableParallelism(),
    features: flags.filter((flag) => FEATURES.test(flag)).sort(),
    caches: caches(),
    hypervisor: flags.includes("hypervisor"),
    governor: systemFiles.read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    quota: systemFiles.read("/sys/fs/cgroup/cpu.max"),
  };
  const facts = {
    cpu,
    memoryBytes: totalmem(),
    os: platform(),
    kernel: release(),
    arch: arch(),
    node: process.versions.node,
  };
  const model = ["cpu family", "model", "stepping", "microcode"].map((field) => cpuinfoField(cpuinfo, field));
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([facts, model]))
    .digest("hex")
    .slice(0, 12);
  return { fingerprint, ...facts, roofline };
}
