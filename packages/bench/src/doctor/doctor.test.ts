/** The doctor of benchmarks: what systems tell, in folders made like theirs, and what follows from it. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../history/sample-history.test-support.ts";
import { doctorLines } from "../commands/doctor.ts";
import { type MachineFacts, checkMachine } from "./checks.ts";
import { availableMemory, controlLimits } from "./control-group.ts";
import { counterFinding } from "./counters.ts";
import { diagnoseMachine, readMachineFacts } from "./diagnose.ts";
import type { Finding } from "./finding.ts";
import { type Probe, probeMachine } from "./probe.ts";
import { type SystemFiles, filesBelow } from "./system-files.ts";

const root = temporaryFolder();
let count = 0;

function system(files: Readonly<Record<string, string>>): SystemFiles {
  const folder = join(root, `s${++count}`);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `${text}\n`);
  }
  return filesBelow(folder);
}

describe("limits of control groups", () => {
  it("none where nothing is told", () => {
    expect(controlLimits(system({}))).toEqual({
      processors: null,
      periodMs: null,
      throttled: null,
      memoryBytes: null,
      memoryLeftBytes: null,
    });
    expect(availableMemory(system({}))).toBeNull();
  });

  it("version 2: the tightest of all levels", () => {
    const files = system({
      "/proc/self/cgroup": "0::/outer/inner",
      "/proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB",
      "/sys/fs/cgroup/outer/cpu.max": "150000 100000",
      "/sys/fs/cgroup/outer/memory.max": "1000000000",
      "/sys/fs/cgroup/outer/memory.current": "600000000",
      "/sys/fs/cgroup/outer/memory.stat": "anon 1\ninactive_file 100000000",
      "/sys/fs/cgroup/outer/inner/cpu.max": "max 100000",
      "/sys/fs/cgroup/outer/inner/cpu.stat": "usage_usec 5\nnr_throttled 7",
      "/sys/fs/cgroup/outer/inner/memory.max": "max",
    });
    expect(controlLimits(files)).toEqual({
      processors: 1.5,
      periodMs: 100,
      throttled: 7,
      memoryBytes: 1e9,
      memoryLeftBytes: 5e8,
    });
    expect(availableMemory(files)).toBe(5e8);
  });

  it("version 1", () => {
    const files = system({
      "/proc/self/cgroup": "5:cpu,cpuacct:/box\n4:memory:/box\n1:name=systemd:/",
      "/proc/meminfo": "MemAvailable: 100 kB",
      "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000",
      "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
      "/sys/fs/cgroup/memory/box/memory.limit_in_bytes": "2000000",
      "/sys/fs/cgroup/memory/box/memory.usage_in_bytes": "500000",
    });
    expect(controlLimits(files)).toMatchObject({ processors: 0.5, memoryBytes: 2e6, memoryLeftBytes: 1.5e6 });
    expect(availableMemory(files)).toBe(102_400);
  });

  it("hostile texts are no limits", () => {
    const files = system({
      "/proc/self/cgroup": "0::/",
      "/sys/fs/cgroup/cpu.max": "12 abc",
      "/sys/fs/cgroup/memory.max": "-5e3",
    });
    expect(controlLimits(files)).toMatchObject({ processors: null, memoryBytes: null });
  });
});

const QUIET: Probe = {
  clockStepNs: 30,
  clockReadNs: 40,
  disturbed: 0.01,
  drift: 1,
  pieceMs: 1,
  pieces: 900,
  stolen: 0,
  busyElsewhere: 0.01,
  throttled: 0,
  swappedIn: 0,
};

const GOOD: MachineFacts = {
  facts: { governor: "performance", turbo: "off", hypervisor: "none", siblings: "0", affinity: "0-7" },
  processors: 8,
  limits: { processors: null, periodMs: null, throttled: null, memoryBytes: null, memoryLeftBytes: null },
  load: 0.1,
  pressure: 0,
  clockSource: "tsc",
  swapUsedBytes: 0,
  availableBytes: 2 ** 34,
  temporaryBytes: 2 ** 34,
  container: false,
  builder: null,
  environment: {},
};

const limited = (processors: number): MachineFacts["limits"] => ({ ...GOOD.limits, processors, periodMs: 100 });

describe("checks", () => {
  it("a quiet machine of its own: all is fine, and nothing is to be mended", () => {
    const findings = checkMachine(GOOD, QUIET);
    expect(findings.filter(({ condition, fix }) => condition !== "fine" || fix !== undefined)).toEqual([]);
    expect(findings.length).toBeGreaterThan(12);
  });

  it.each<[string, Finding["condition"], Partial<MachineFacts>, Partial<Probe>]>([
    ["evenness", "warning", {}, { disturbed: 0.1 }],
    ["evenness", "unfit", {}, { disturbed: 0.3 }],
    ["throttling", "warning", {}, { drift: 1.2 }],
    ["load", "note", {}, { busyElsewhere: 0.1 }],
    ["load", "warning", {}, { busyElsewhere: 0.4 }],
    ["load", "unfit", {}, { busyElsewhere: 0.9 }],
    ["pressure", "warning", { pressure: 40 }, {}],
    ["steal", "warning", {}, { stolen: 0.05 }],
    ["quota", "fine", { limits: limited(8) }, {}],
    ["quota", "warning", { limits: limited(2) }, {}],
    ["quota", "unfit", { limits: limited(0.5) }, {}],
    ["quota used up", "unfit", {}, { throttled: 3 }],
    ["timer", "warning", {}, { clockReadNs: 1500 }],
    ["timer", "unfit", {}, { clockStepNs: 1e6 }],
    ["governor", "warning", { facts: { ...GOOD.facts, governor: "powersave" } }, {}],
    ["governor", "note", { facts: { ...GOOD.facts, governor: "unknown" } }, {}],
    ["turbo", "note", { facts: { ...GOOD.facts, turbo: "on" } }, {}],
    ["processors", "warning", { processors: 1 }, {}],
    ["SMT", "note", { facts: { ...GOOD.facts, siblings: "0,4" } }, {}],
    ["memory", "warning", { availableBytes: 2 ** 29 }, {}],
    ["memory", "unfit", { availableBytes: 2 ** 27 }, {}],
    ["swap", "note", { swapUsedBytes: 2 ** 30 }, {}],
    ["swap", "unfit", {}, { swappedIn: 4 }],
    ["disk", "warning", { temporaryBytes: 2 ** 20 }, {}],
    ["virtual", "note", { facts: { ...GOOD.facts, hypervisor: "KVM" } }, {}],
    ["container", "note", { container: true }, {}],
    ["builder", "note", { builder: "GitHub Actions" }, {}],
    ["NODE_OPTIONS", "warning", { environment: { NODE_OPTIONS: "--inspect=0" } }, {}],
    ["NODE_V8_COVERAGE", "warning", { environment: { NODE_V8_COVERAGE: "/tmp" } }, {}],
    ["LD_PRELOAD", "note", { environment: { LD_PRELOAD: "x.so" } }, {}],
  ])("%s is %s", (name, condition, facts, probe) => {
    const findings = checkMachine({ ...GOOD, ...facts }, { ...QUIET, ...probe });
    const found = findings.find((each) => each.name === name);
    expect(found?.condition).toBe(condition);
    if (condition === "warning" || condition === "unfit") expect(found?.fix).toBeTruthy();
    const others = findings.filter((each) => each.name !== name && each.condition !== "fine");
    expect(others).toEqual([]);
  });

  it("what no system tells is left out or noted, never guessed", () => {
    const nothing = {
      ...GOOD,
      facts: {},
      load: null,
      pressure: null,
      clockSource: null,
      swapUsedBytes: null,
      availableBytes: null,
      temporaryBytes: null,
    };
    const probe = { ...QUIET, stolen: null, busyElsewhere: null, throttled: null, swappedIn: null };
    const names = checkMachine(nothing, probe).map(({ name }) => name);
    expect(names).toEqual([
      "evenness",
      "throttling",
      "quota",
      "timer",
      "governor",
      "turbo",
      "processors",
      "SMT",
      "virtual",
      "container",
    ]);
  });
});

describe("counters", () => {
  const strict = system({ "/proc/sys/kernel/perf_event_paranoid": "4" });
  it.each([
    [{ output: "1234567,,instructions:u,600000,100.00,,\n" }, "fine", "can be counted"],
    [{ output: "1234567,,instructions,600000,100.00,,\n" }, "fine", "can be counted"],
    [{ output: "<not supported>,,instructions:u,0,100.00,,\n" }, "note", "counts no instructions"],
    [{ output: "<not counted>,,instructions:u,0,0.00,,\n" }, "note", "may not be counted"],
    [{ output: "0,,instructions:u,0,100.00,,\n" }, "note", "counts no instructions"],
    [{ output: "" }, "note", "counts no instructions"],
    [{ missing: true as const }, "note", "perf is not installed"],
    [{ failed: "Error: access" }, "note", "perf does not work (Error: access)"],
  ])("%j", (answer, condition, detail) => {
    const found = counterFinding(answer, strict);
    expect([found.condition, found.detail]).toEqual([condition, expect.stringContaining(detail)]);
    expect(found.fix).toBe(condition === "fine" ? undefined : "sudo sysctl kernel.perf_event_paranoid=2");
    expect(counterFinding(answer, system({ "/proc/sys/kernel/perf_event_paranoid": "1" })).fix).toBeUndefined();
  });
});

describe("on this machine", () => {
  it("the probe measures, with and without what Linux tells", () => {
    for (const files of [undefined, system({})]) {
      const probe = probeMachine(0.1, files);
      expect(probe.pieces).toBeGreaterThanOrEqual(30);
      for (const share of [probe.disturbed, probe.stolen ?? 0, probe.busyElsewhere ?? 0])
        expect(share >= 0 && share <= 1).toBe(true);
      for (const value of [probe.clockStepNs, probe.clockReadNs, probe.pieceMs, probe.drift])
        expect(value).toBeGreaterThan(0);
      if (files !== undefined) expect([probe.stolen, probe.busyElsewhere, probe.throttled]).toEqual([null, null, null]);
    }
  });

  it("facts of a system are read", () => {
    const files = system({
      "/proc/loadavg": "1.25 0.5 0.1 2/300 4000",
      "/proc/meminfo": "MemAvailable: 2000 kB\nSwapTotal: 900 kB\nSwapFree: 400 kB",
      "/proc/pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.20 total=1",
      "/sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
    });
    expect(readMachineFacts({}, files)).toMatchObject({
      load: 1.25,
      pressure: 12.5,
      clockSource: "hpet",
      swapUsedBytes: 512_000,
      availableBytes: 2_048_000,
    });
  });

  it("says in words and in a number whether a gate can be trusted", () => {
    const diagnosis = diagnoseMachine(0.1);
    expect(diagnosis.fit).toBe(diagnosis.findings.every(({ condition }) => condition !== "unfit"));
    const unfit: Finding = { name: "timer", condition: "unfit", detail: "steps\u001b[31m", fix: "another" };
    const lines = doctorLines({ ...diagnosis, fit: false, findings: [unfit] });
    expect(lines[2]).toContain("unfit for a gate");
    expect(lines.slice(4)).toEqual(["  ✗ timer          steps\\u{1b}[31m", "                   → another"]);
    expect(doctorLines({ ...diagnosis, fit: true, findings: [] })[2]).toBe("✓ fit for a gate");
  });
});
