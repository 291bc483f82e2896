/**
 * What must stay the same while a run goes on, and between two runs whose times are compared.
 *
 * A fact is a name and a text; what cannot be read is "unknown", never guessed. `hash` is over all facts: any change
 * while a run goes on makes it invalid. `class` is over the few that decide how fast code is: times of different classes are
 * never compared, while a patched kernel or another length of the environment leaves the class as it is.
 */

import { createHash } from "node:crypto";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { systemFiles } from "../doctor/system-files.ts";

export interface Fingerprint {
  readonly hash: string;
  readonly class: string;
  readonly facts: Readonly<Record<string, string>>;
}

const UNKNOWN = "unknown";
const CPU = "/sys/devices/system/cpu";

/** Facts that decide the class. */
const CLASS_FACTS = ["cpu", "cpu model", "cpu flags", "cores", "affinity", "smt", "quota", "caches", "memory"] as const;
const CLASS_SYSTEM = ["hypervisor", "platform", "node major", "node flags"] as const;

function read(path: string): string | undefined {
  return systemFiles.read(path) ?? undefined;
}

function field(text: string, name: string): string | undefined {
  return new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(text)?.[1]?.trim();
}

function known(value: string | undefined): string {
  return value === undefined || value === "" ? UNKNOWN : value;
}

function listed(path: string, pattern: RegExp): string[] {
  return systemFiles.list(path).filter((name) => pattern.test(name));
}

function cacheFacts(): string | undefined {
  const folder = `${CPU}/cpu0/cache`;
  return listed(folder, /^index\d+$/)
    .map((index) => {
      const of = (name: string): string => read(`${folder}/${index}/${name}`) ?? "?";
      return `L${of("level")} ${of("type").toLowerCase()} ${of("size")} shared by ${of("shared_cpu_list")}`;
    })
    .join("; ");
}

/** Quota of the control group of this process, version 2 or 1. */
function quota(): string | undefined {
  const own = /^0::(.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1] ?? "";
  const second = read(`/sys/fs/cgroup${own}/cpu.max`) ?? read("/sys/fs/cgroup/cpu.max");
  if (second !== undefined) return second;
  const first = read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  return first === undefined ? undefined : `${first} ${read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") ?? "?"}`;
}

function turbo(): string | undefined {
  const none = read(`${CPU}/intel_pstate/no_turbo`);
  if (none !== undefined) return none === "0" ? "on" : "off";
  const boost = read(`${CPU}/cpufreq/boost`);
  return boost === undefined ? undefined : boost === "1" ? "on" : "off";
}

function libc(): string | undefined {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  const before = report.excludeNetwork;
  // Reverse look-ups of open sockets would take seconds.
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before;
  return header?.glibcVersionRuntime === undefined ? undefined : `glibc ${header.glibcVersionRuntime}`;
}

function environmentFacts(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const bytes = Object.entries(env).reduce((sum, [name, value]) => sum + name.length + (value?.length ?? 0) + 2, 0);
  return {
    "node options": env["NODE_OPTIONS"] ?? "",
    LD_PRELOAD: env["LD_PRELOAD"] ?? "",
    // It lies below the stack of every process and so moves it.
    "environment bytes": String(bytes),
  };
}

/** Facts of this machine and process now. `nodeOptions`: arguments of the Node that is measured. */
export function readFacts(nodeOptions: readonly string[] = []): Record<string, string> {
  const { env, versions } = process;
  const info = read("/proc/cpuinfo") ?? "";
  const status = read("/proc/self/status") ?? "";
  const flags = (field(info, "flags") ?? field(info, "Features") ?? "").split(/\s+/).sort().join(" ");
  const identity = ["vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision"];
  const given = identity.map((name) => field(info, name)).filter((value) => value !== undefined);
  return {
    cpu: known(field(info, "model name") ?? cpus()[0]?.model),
    "cpu model": known(given.join(" ")),
    microcode: known(field(info, "microcode")),
    "cpu flags": known(flags),
    cores: String(cpus().length),
    online: known(read(`${CPU}/online`)),
    affinity: known(field(status, "Cpus_allowed_list")),
    smt: known(read(`${CPU}/smt/control`)),
    siblings: known(read(`${CPU}/cpu0/topology/thread_siblings_list`)),
    quota: known(quota()),
    caches: known(cacheFacts()),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    "numa nodes": known(listed("/sys/devices/system/node", /^node\d+$/).join(" ")),
    "huge pages": known(read("/sys/kernel/mm/transparent_hugepage/enabled")),
    governor: known(read(`${CPU}/cpu0/cpufreq/scaling_governor`)),
    turbo: known(turbo()),
    hypervisor: flags.split(" ").includes("hypervisor") ? known(read("/sys/class/dmi/id/sys_vendor")) : "none",
    platform: `${platform()} ${arch()}`,
    kernel: release(),
    libc: known(libc()),
    node: versions.node,
    "node major": versions.node.split(".")[0] as string,
    v8: versions.v8,
    "node flags": [...nodeOptions].sort().join(" "),
    ...environmentFacts(env),
  };
}

function digest(facts: Readonly<Record<string, string>>, names: readonly string[]): string {
  const lines = names.map((name) => `${name}=${facts[name] ?? UNKNOWN}`);
  return createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 12);
}

/** Hash and class of facts. The order in which facts are given does not matter. */
export function fingerprintOf(facts: Readonly<Record<string, string>>): Fingerprint {
  const { platform: system = UNKNOWN, cores = "?", "node major": node = "?" } = facts;
  const name = `${system.replaceAll(" ", "-")}-${cores}c-node${node}`;
  return {
    hash: digest(facts, Object.keys(facts).sort()),
    class: `${name}-${digest(facts, [...CLASS_FACTS, ...CLASS_SYSTEM])}`,
    facts,
  };
}

/** Fingerprint of this machine now: taken before a run and after it. `more`: facts of how it is measured. */
export function readFingerprint(
  nodeOptions: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
): Fingerprint {
  return fingerprintOf({ ...readFacts(nodeOptions), ...more });
}

/** Names of the facts that differ, sorted. */
export function changedFacts(before: Fingerprint, after: Fingerprint): string[] {
  const names = new Set([...Object.keys(before.facts), ...Object.keys(after.facts)]);
  return [...names].filter((name) => before.facts[name] !== after.facts[name]).sort();
}
