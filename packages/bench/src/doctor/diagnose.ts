/** `doctor` for benchmarks: reads the machine, measures for a second, and says whether a gate can be trusted here. */

import { availableParallelism, tmpdir } from "node:os";
import { freeBytes } from "../paired/arms/refusal.ts";
import { readFingerprint } from "../paired/fingerprint.ts";
import { type MachineFacts, checkMachine } from "./checks.ts";
import { availableMemory, controlLimits } from "./control-group.ts";
import { askPerf, counterFinding } from "./counters.ts";
import type { Finding } from "./finding.ts";
import { type Probe, inContainer, probeMachine } from "./probe.ts";
import { type SystemFiles, numberAfter, systemFiles } from "./system-files.ts";

export interface Diagnosis {
  /** False where any finding is `unfit`. */
  readonly fit: boolean;
  readonly class: string;
  readonly fingerprint: string;
  readonly findings: readonly Finding[];
  readonly probe: Probe;
  readonly facts: Readonly<Record<string, string>>;
}

/** Variables by which services that build tell that they are one. */
const BUILDERS: readonly (readonly [string, string])[] = [
  ["GITHUB_ACTIONS", "GitHub Actions"],
  ["GITLAB_CI", "GitLab CI"],
  ["BUILDKITE", "Buildkite"],
  ["CIRCLECI", "CircleCI"],
  ["TF_BUILD", "Azure Pipelines"],
  ["JENKINS_URL", "Jenkins"],
  ["CI", "a builder"],
];

export function readMachineFacts(facts: Diagnosis["facts"], files: SystemFiles = systemFiles): MachineFacts {
  const { env } = process;
  const meminfo = files.read("/proc/meminfo");
  const [total, free] = [numberAfter(meminfo, "SwapTotal"), numberAfter(meminfo, "SwapFree")];
  const load = Number((files.read("/proc/loadavg") ?? "").split(" ")[0] || Number.NaN);
  const pressure = /^some avg10=([\d.]+)/.exec(files.read("/proc/pressure/cpu") ?? "")?.[1];
  return {
    facts,
    processors: availableParallelism(),
    limits: controlLimits(files),
    load: Number.isFinite(load) ? load : null,
    pressure: pressure === undefined ? null : Number(pressure),
    clockSource: files.read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    swapUsedBytes: total === null || free === null ? null : (total - free) * 1024,
    availableBytes: availableMemory(files),
    temporaryBytes: freeBytes(tmpdir()),
    container: inContainer(files),
    builder: BUILDERS.find(([name]) => (env[name] ?? "") !== "")?.[1] ?? null,
    environment: env,
  };
}

/** Takes a little more than `seconds`. */
export function diagnoseMachine(seconds = 1): Diagnosis {
  const { class: machine, hash, facts } = readFingerprint();
  // Before other programs are started, whose end would show in it.
  const probe = probeMachine(seconds);
  const findings = [...checkMachine(readMachineFacts(facts), probe), counterFinding(askPerf())];
  return {
    fit: findings.every(({ condition }) => condition !== "unfit"),
    class: machine,
    fingerprint: hash,
    findings,
    probe,
    facts,
  };
}
