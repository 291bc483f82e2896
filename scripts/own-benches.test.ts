/** Every bench that gates this repository runs, and its outputs are right. What is slow is not for a test to say. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readResults } from "../packages/bench/src/results/read.ts";
import { root } from "./workspace.ts";

it("our own benches", () => {
  const folder = mkdtempSync(join(tmpdir(), "quern-own-benches-"));
  try {
    const file = join(folder, "solo.json");
    const node = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning"];
    const cli = [join(root, "apps", "cli", "src", "main.ts"), "bench", "run", "--time", "0.01", "--json", file, "-q"];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...node, ...cli], { cwd: root, encoding: "utf8" });
    expect(status, `${stdout}${stderr}`).toBe(0);
    const { results, skipped } = readResults(file);
    expect(skipped).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(20);
    // Nobody should have to rely on the run's suspicion alone: most have a check of their own.
    expect(results.filter(({ verified }) => verified === true).length).toBeGreaterThanOrEqual(15);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
