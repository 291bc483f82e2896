/**
 * What decides whether times measured here can be trusted, one check each. Pure: from facts of the system and what the probe
 * measured to findings. Limits are those at which a gate calls its own run invalid, or a step before.
 */

import type { Fingerprint } from "../results/schema.ts";
import { formatBytes } from "../report/format.ts";
import type { ControlLimits } from "./control-group.ts";
import { type Finding, finding } from "./finding.ts";
import type { Probe } from "./probe.ts";

export interface MachineFacts {
  readonly facts: Fingerprint["facts"];
  readonly processors: number;
  readonly limits: ControlLimits;
  /** Load averages of one minute. */
  readonly load: number | null;
  /** Share of time, of the last ten seconds, in which something waited for a processor. */
  readonly pressure: number | null;
  readonly clockSource: string | null;
  readonly swapUsedBytes: number | null;
  readonly availableBytes: number | null;
  readonly temporaryBytes: number | null;
  readonly container: boolean;
  /** Name of the service that builds, where this is one. */
  readonly builder: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** As in the validity rule of runs: more rounds with a slow control slice make a run invalid. */
const MOST_DISTURBED = 0.25;

function evenness({ disturbed, drift, pieces, pieceMs }: Probe): Finding[] {
  const detail = `${percent(disturbed)} of ${pieces} equal pieces of ${pieceMs.toPrecision(2)} ms took 1.5 times as long as the others`;
  const fix = "end what else runs here, or use a machine of its own";
  const name = "evenness";
  const even = disturbed > MOST_DISTURBED ? "unfit" : disturbed > 0.05 ? "warning" : "fine";
  const slower = drift > 1 / 0.9;
  return [
    finding(name, even, detail, fix),
    finding(
      "throttling",
      slower ? "warning" : "fine",
      slower
        ? `slower by ${percent(drift - 1)} at the end of the probe`
        : "as fast at the end of the probe as at its start",
      "cooling, or a lower clock that the machine can keep: turbo off",
    ),
  ];
}

function clocks({ clockStepNs, clockReadNs }: Probe, { clockSource }: MachineFacts): Finding[] {
  const detail = `steps of ${clockStepNs.toFixed(0)} ns, ${clockReadNs.toFixed(0)} ns to read${clockSource === null ? "" : ` (${clockSource})`}`;
  // Slices of 5 ms are a thousand steps at least.
  const condition = clockStepNs > 5000 ? "unfit" : clockStepNs > 1000 || clockReadNs > 1000 ? "warning" : "fine";
  const fix = "a clock source that needs no call into the kernel: tsc, or kvm-clock in a virtual machine";
  return [finding("timer", condition, detail, fix)];
}

function quotas({ limits, processors }: MachineFacts, { throttled }: Probe): Finding[] {
  const fix = "a whole number of processors for the container, without a quota (cpuset instead of cpu.max)";
  const { processors: quota, periodMs } = limits;
  const found: Finding[] = [];
  if (quota === null) found.push(finding("quota", "fine", "none"));
  else {
    const detail = `the time of ${Number(quota.toFixed(2))} of ${processors} processors, every ${periodMs} ms`;
    found.push(finding("quota", quota < 1 ? "unfit" : quota < processors ? "warning" : "fine", detail, fix));
  }
  if (throttled !== null && throttled > 0)
    found.push(finding("quota used up", "unfit", `${throttled} times while the probe ran`, fix));
  return found;
}

function neighbours({ load, pressure, processors }: MachineFacts, { busyElsewhere, stolen }: Probe): Finding[] {
  const found: Finding[] = [];
  if (busyElsewhere !== null) {
    const condition =
      busyElsewhere > 0.75 ? "unfit" : busyElsewhere > 0.25 ? "warning" : busyElsewhere > 0.05 ? "note" : "fine";
    const about = load === null ? "" : `, load ${load.toFixed(2)} on ${processors} processors`;
    found.push(
      finding(
        "load",
        condition,
        `other processes take ${percent(busyElsewhere)} of the time${about}`,
        "end them first",
      ),
    );
  }
  if (pressure !== null && pressure > 10)
    found.push(
      finding("pressure", "warning", `something waits for a processor in ${pressure} % of the time`, "end it first"),
    );
  if (stolen !== null) {
    const condition = stolen > 0.02 ? "warning" : "fine";
    const detail =
      stolen > 0
        ? `${percent(stolen)} given to other machines`
        : "none told of; that proves nothing in a virtual machine";
    found.push(finding("steal", condition, detail, "a machine whose processors are its own"));
  }
  return found;
}

function frequency({ facts }: MachineFacts): Finding[] {
  const { governor = "unknown", turbo = "unknown", hypervisor = "none" } = facts;
  const hidden = hypervisor === "none" ? "not told" : "not told by the virtual machine";
  return [
    governor === "unknown"
      ? finding("governor", "note", hidden)
      : finding(
          "governor",
          governor === "performance" ? "fine" : "warning",
          governor,
          "sudo cpupower frequency-set -g performance",
        ),
    turbo === "unknown"
      ? finding("turbo", "note", hidden)
      : finding(
          "turbo",
          turbo === "off" ? "fine" : "note",
          turbo === "off"
            ? "off"
            : "on: the clock depends on heat and on neighbours; pairs bear that, absolute times do not",
          "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo, or 0 to …/cpufreq/boost",
        ),
  ];
}

function processorsOf({ facts, processors }: MachineFacts): Finding[] {
  const { siblings = "unknown", affinity = "unknown" } = facts;
  const shared = siblings !== "unknown" && /[,-]/.test(siblings);
  return [
    finding(
      "processors",
      processors < 2 ? "warning" : "fine",
      `${processors} to use (${affinity})`,
      "two or more: with one, whatever else wakes up stands in the way",
    ),
    finding(
      "SMT",
      shared ? "note" : "fine",
      shared ? `processors ${siblings} share a core: threads up to half of them` : "no processor shares its core",
      "--threads no more than there are cores",
    ),
  ];
}

function memory({ swapUsedBytes, availableBytes, temporaryBytes }: MachineFacts, { swappedIn }: Probe): Finding[] {
  const found: Finding[] = [];
  if (availableBytes !== null) {
    const condition = availableBytes < 2 ** 28 ? "unfit" : availableBytes < 2 ** 30 ? "warning" : "fine";
    found.push(
      finding("memory", condition, `${formatBytes(availableBytes)} free`, "end what takes it, or raise the limit"),
    );
  }
  if (swappedIn !== null && swappedIn > 0)
    found.push(finding("swap", "unfit", `${swappedIn} pages came back from swap during the probe`, "more memory"));
  else if (swapUsedBytes !== null)
    found.push(
      finding(
        "swap",
        swapUsedBytes > 2 ** 26 ? "note" : "fine",
        swapUsedBytes === 0 ? "not in use" : `${formatBytes(swapUsedBytes)} in use`,
        "sudo swapoff -a",
      ),
    );
  if (temporaryBytes !== null && temporaryBytes < 2 ** 30)
    found.push(
      finding("disk", "warning", `${formatBytes(temporaryBytes)} free for temporary files`, "TMPDIR on a larger disk"),
    );
  return found;
}

function surroundings({ facts, container, builder, environment }: MachineFacts): Finding[] {
  const { hypervisor = "none" } = facts;
  const found = [
    hypervisor === "none"
      ? finding("virtual", "fine", "no")
      : finding("virtual", "note", `yes (${hypervisor}): compare in pairs, never with times of another day`),
    finding("container", container ? "note" : "fine", container ? "yes" : "no"),
  ];
  if (builder !== null)
    found.push(
      finding("builder", "note", `${builder}: confirm a regression on a second machine before you believe it`),
    );
  const { NODE_OPTIONS = "", NODE_V8_COVERAGE, LD_PRELOAD } = environment;
  if (/--inspect|--cpu-prof|--heap-prof|--trace|--prof\b/.test(NODE_OPTIONS))
    found.push(finding("NODE_OPTIONS", "warning", NODE_OPTIONS, "unset it: it slows what is measured"));
  if (NODE_V8_COVERAGE !== undefined)
    found.push(finding("NODE_V8_COVERAGE", "warning", "coverage is being taken", "unset it"));
  if (LD_PRELOAD !== undefined && LD_PRELOAD !== "")
    found.push(finding("LD_PRELOAD", "note", LD_PRELOAD, "unset it, or keep it the same for all runs"));
  return found;
}

/** All findings but that of counters, in the order in which they are shown. */
export function checkMachine(machine: MachineFacts, probe: Probe): Finding[] {
  return [
    ...evenness(probe),
    ...neighbours(machine, probe),
    ...quotas(machine, probe),
    ...clocks(probe, machine),
    ...frequency(machine),
    ...processorsOf(machine),
    ...memory(machine, probe),
    ...surroundings(machine),
  ];
}
