/**
 * A second of measurement: how fine and how dear the clock is, and how evenly this machine computes. What the system tells of
 * itself is not enough: neighbours on the same processor are often not told of.
 */

import { statSync } from "node:fs";
import { median } from "../statistics/basics.ts";
import { controlLimits } from "./control-group.ts";
import { type SystemFiles, numberAfter, systemFiles } from "./system-files.ts";

export interface Probe {
  /** ns: the smallest step that the clock was seen to make, and the time of one reading. */
  readonly clockStepNs: number;
  readonly clockReadNs: number;
  /** Share of equal pieces of work that took more than 1.5 times their median. */
  readonly disturbed: number;
  /** Median time of the last third of the pieces over that of the first: above 1 the machine became slower. */
  readonly drift: number;
  /** Median time of a piece in ms, and how many there were. */
  readonly pieceMs: number;
  readonly pieces: number;
  /** Shares of all processors' time while it was measured; null where the system does not tell. */
  readonly stolen: number | null;
  readonly busyElsewhere: number | null;
  /** Periods in which the control group had to wait, and pages read back from swap, meanwhile. */
  readonly throttled: number | null;
  readonly swappedIn: number | null;
}

const PIECE_NS = 1e6;
const WARM_UP_NS = 2e8;

const now = (): number => Number(process.hrtime.bigint());

/** Arithmetic without memory: nothing but the processor decides its time. */
function spin(steps: number): number {
  let x = 0.5;
  for (let i = 0; i < steps; i++) x = 3.7 * x * (1 - x);
  return x;
}

let sink = 0;

/** Steps that take about a millisecond, found while the compiler warms up. */
function stepsOfPiece(): number {
  let steps = 1000;
  let fastest = Infinity;
  for (const end = now() + WARM_UP_NS; now() < end;) {
    const before = now();
    sink += spin(steps);
    // Whatever interrupts it makes it slower, never faster.
    fastest = Math.min(fastest, Math.max(1, now() - before) / steps);
    steps = Math.round(PIECE_NS / fastest);
  }
  return steps;
}

function clock(): { readonly step: number; readonly read: number } {
  const steps = Array.from({ length: 20_001 }, () => {
    const before = now();
    return now() - before;
  });
  const positive = steps.filter((step) => step > 0);
  return { step: Math.min(...positive, 1e9), read: median(steps) };
}

/** Jiffies of all processors by kind, from /proc/stat. */
function processorTimes(
  files: SystemFiles,
): { readonly total: number; readonly idle: number; readonly stolen: number } | null {
  const line = /^cpu\s+(.*)$/m.exec(files.read("/proc/stat") ?? "")?.[1];
  if (line === undefined) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, stolen = 0] = line
    .split(/\s+/)
    .map(Number);
  return { total: user + nice + system + idle + wait + irq + soft + stolen, idle: idle + wait, stolen };
}

/** Jiffies are hundredths of a second wherever Node runs on Linux. */
const JIFFY_US = 10_000;

/** Measures for about `seconds`. */
export function probeMachine(seconds = 1, files: SystemFiles = systemFiles): Probe {
  const steps = stepsOfPiece();
  const { step, read } = clock();
  const before = {
    times: processorTimes(files),
    own: process.cpuUsage(),
    throttled: throttledOf(files),
    swap: swapOf(files),
  };
  const pieces: number[] = [];
  for (const end = now() + seconds * 1e9; now() < end || pieces.length < 30;) {
    const start = now();
    sink += spin(steps);
    pieces.push(now() - start);
  }
  const own = process.cpuUsage(before.own);
  const centre = median(pieces);
  const third = Math.floor(pieces.length / 3);
  const shares = shareOf(before.times, processorTimes(files), (own.user + own.system) / JIFFY_US);
  return {
    clockStepNs: step,
    clockReadNs: read,
    disturbed: pieces.filter((ns) => ns > 1.5 * centre).length / pieces.length,
    drift: median(pieces.slice(-third)) / median(pieces.slice(0, third)),
    pieceMs: centre / 1e6,
    pieces: Number.isFinite(sink) ? pieces.length : 0,
    ...shares,
    throttled: difference(before.throttled, throttledOf(files)),
    swappedIn: difference(before.swap, swapOf(files)),
  };
}

function shareOf(
  before: ReturnType<typeof processorTimes>,
  after: ReturnType<typeof processorTimes>,
  ownJiffies: number,
): Pick<Probe, "stolen" | "busyElsewhere"> {
  const total = before === null || after === null ? 0 : after.total - before.total;
  if (before === null || after === null || total <= 0) return { stolen: null, busyElsewhere: null };
  const idle = after.idle - before.idle;
  const stolen = after.stolen - before.stolen;
  return { stolen: stolen / total, busyElsewhere: Math.max(0, total - idle - stolen - ownJiffies) / total };
}

function difference(before: number | null, after: number | null): number | null {
  return before === null || after === null ? null : after - before;
}

function throttledOf(files: SystemFiles): number | null {
  return controlLimits(files).throttled;
}

function swapOf(files: SystemFiles): number | null {
  return numberAfter(files.read("/proc/vmstat"), "pswpin");
}

/** Whether this runs in a container, as far as containers tell. */
export function inContainer(files: SystemFiles = systemFiles): boolean {
  const marked = ["/.dockerenv", "/run/.containerenv"].some(
    (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
  );
  return marked || /docker|kubepods|containerd|lxc/.test(files.read("/proc/self/cgroup") ?? "");
}
