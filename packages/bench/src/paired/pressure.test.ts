import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { filesBelow, type SystemFiles } from "../doctor/system-files.ts";
import { pressureBetween, readPressure } from "./pressure.ts";

function machine(files: Readonly<Record<string, string>>): SystemFiles {
  const root = mkdtempSync(join(tmpdir(), "quern-pressure-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return filesBelow(root);
}

const at = (steal: number, throttled: number, stalledUs: number): Readonly<Record<string, string>> => ({
  "proc/stat": `cpu  11 12 13 14 15 16 17 ${steal} 19 20\ncpu0 1 2 3 4 5 6 7 999 9 10\n`,
  "proc/self/cgroup": "0::/job\n",
  "sys/fs/cgroup/job/cpu.stat": `usage_usec 5\nnr_periods 90\nnr_throttled ${throttled}\n`,
  "proc/pressure/cpu": `some avg10=1.50 avg60=0.20 avg300=0.03 total=${stalledUs}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n`,
});

it("counts what others took in the course of a run", () => {
  const before = readPressure(machine(at(100, 4, 5000)));
  const after = readPressure(machine(at(130, 9, 2_005_000)));
  const between = pressureBetween(before, after);
  expect(between).toMatchObject({ stealMs: 300, throttledPeriods: 5, stalledMs: 2000 });
  expect(between.involuntarySwitches).toBeGreaterThanOrEqual(0);
  // On another machine the counters begin anew.
  expect(pressureBetween(after, before)).toMatchObject({ stealMs: 0, throttledPeriods: 0, stalledMs: 0 });
});

it("knows nothing where the system tells nothing", () => {
  const nothing = readPressure(machine({}));
  expect(nothing).toMatchObject({ stealMs: null, throttledPeriods: null, stalledMs: null });
  expect(pressureBetween(nothing, readPressure(machine(at(1, 1, 1)))).stealMs).toBeNull();
});

it("reads this machine", () => {
  const now = readPressure();
  for (const count of Object.values(pressureBetween(now, readPressure()))) {
    expect(count === null || count >= 0).toBe(true);
  }
});
