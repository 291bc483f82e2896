/**
 * Limits that a container or a service manager puts on this process: processor time and memory, from control groups of
 * version 2 or 1. A group is bound by those above it, so every level is read and the tightest counts.
 */

import { type SystemFiles, numberAfter, readNumber, systemFiles } from "./system-files.ts";

export interface ControlLimits {
  /** Processors' worth of time per period; null without a limit. */
  readonly processors: number | null;
  /** Length of the period in milliseconds, after which time is given anew; null without a limit. */
  readonly periodMs: number | null;
  /** Periods in which the group had to wait, since it was made; null where it is not told. */
  readonly throttled: number | null;
  /** Bytes that the group may use; null without a limit. */
  readonly memoryBytes: number | null;
  /** Bytes that are left of them, with what the kernel would give back at once. */
  readonly memoryLeftBytes: number | null;
}

/** Above this a limit of version 1 means none. */
const NO_LIMIT = 2 ** 60;

/** Folders from the process's group up to the root of a hierarchy. */
function levels(mount: string, path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return [...parts.keys(), parts.length].map((count) => [mount, ...parts.slice(0, count)].join("/")).reverse();
}

/** Smallest of the numbers that are there. */
function least(values: readonly (number | null)[]): number | null {
  const found = values.filter((value) => value !== null);
  return found.length === 0 ? null : Math.min(...found);
}

interface Level {
  readonly quota: { readonly processors: number; readonly periodMs: number } | null;
  readonly throttled: number | null;
  readonly memory: { readonly max: number; readonly left: number } | null;
}

function quotaOf(limit: number | null, period: number | null): Level["quota"] {
  if (limit === null || period === null || limit <= 0 || period <= 0) return null;
  return { processors: limit / period, periodMs: period / 1000 };
}

function memoryOf(max: number | null, used: number | null, reclaimable: number | null): Level["memory"] {
  if (max === null || max >= NO_LIMIT) return null;
  return { max, left: Math.max(0, max - (used ?? 0) + (reclaimable ?? 0)) };
}

function secondVersion(files: SystemFiles, folder: string): Level {
  const [limit = "", period = ""] = (files.read(`${folder}/cpu.max`) ?? "").split(/\s+/);
  const stat = files.read(`${folder}/memory.stat`);
  return {
    quota: /^\d+$/.test(limit) && /^\d+$/.test(period) ? quotaOf(Number(limit), Number(period)) : null,
    throttled: numberAfter(files.read(`${folder}/cpu.stat`), "nr_throttled"),
    memory: memoryOf(
      readNumber(files, `${folder}/memory.max`),
      readNumber(files, `${folder}/memory.current`),
      numberAfter(stat, "inactive_file"),
    ),
  };
}

function firstVersion(files: SystemFiles, cpu: string | undefined, memory: string | undefined): Level {
  const read = (name: string): number | null => (cpu === undefined ? null : readNumber(files, `${cpu}/${name}`));
  return {
    quota: quotaOf(read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")),
    throttled: cpu === undefined ? null : numberAfter(files.read(`${cpu}/cpu.stat`), "nr_throttled"),
    memory:
      memory === undefined
        ? null
        : memoryOf(
            readNumber(files, `${memory}/memory.limit_in_bytes`),
            readNumber(files, `${memory}/memory.usage_in_bytes`),
            numberAfter(files.read(`${memory}/memory.stat`), "total_inactive_file"),
          ),
  };
}

/** The limits of this process; all null where the system has no control groups. */
export function controlLimits(files: SystemFiles = systemFiles): ControlLimits {
  const groups = (files.read("/proc/self/cgroup") ?? "").split("\n").map((line) => line.split(":"));
  const pathOf = (controller: string): string | undefined =>
    groups.find(([, names = ""]) => names.split(",").includes(controller))?.[2];
  const unified = groups.find(([id, names]) => id === "0" && names === "")?.[2];
  const found: Level[] = [];
  if (unified !== undefined)
    found.push(...levels("/sys/fs/cgroup", unified).map((folder) => secondVersion(files, folder)));
  for (const folder of levels("/sys/fs/cgroup/cpu", pathOf("cpu") ?? ""))
    found.push(firstVersion(files, folder, undefined));
  for (const folder of levels("/sys/fs/cgroup/memory", pathOf("memory") ?? ""))
    found.push(firstVersion(files, undefined, folder));
  const tightest = found
    .map(({ quota }) => quota)
    .filter((quota) => quota !== null)
    .toSorted((a, b) => a.processors - b.processors)[0];
  const throttled = found.map((level) => level.throttled).filter((count) => count !== null);
  return {
    processors: tightest?.processors ?? null,
    periodMs: tightest?.periodMs ?? null,
    throttled: throttled.length === 0 ? null : Math.max(...throttled),
    memoryBytes: least(found.map(({ memory }) => memory?.max ?? null)),
    memoryLeftBytes: least(found.map(({ memory }) => memory?.left ?? null)),
  };
}

/** Bytes that this process can still take without another one losing its own; null where nobody tells. */
export function availableMemory(files: SystemFiles = systemFiles): number | null {
  const free = numberAfter(files.read("/proc/meminfo"), "MemAvailable");
  return least([free === null ? null : free * 1024, controlLimits(files).memoryLeftBytes]);
}
