import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import type { Results } from "../results/schema.ts";
import { keepRun, packRuns, readSeries, seriesIn } from "./kept-runs.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-kept-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("runs of a test become one file, in their order; those of other tests stay", () => {
  const results = (seed: number): Results => {
    const sample = sampleGate();
    return { ...sample, run: { ...(sample.run as NonNullable<Results["run"]>), seed } };
  };
  for (const run of [2, 0, 10, 1]) keepRun(folder, "AT1", run, 0, results(run));
  keepRun(folder, "AT1", 2, 1, results(21));
  keepRun(folder, "AT10", 0, 0, results(99));
  packRuns(folder, "AT1");
  packRuns(folder, "AT2");
  expect(readdirSync(folder).sort()).toEqual(["AT1.jsonl.br", "AT10-0000-0.json.gz"]);
  const [file] = seriesIn(folder) as [string];
  const seeds = [...readSeries(file)].map(({ run }) => run?.seed);
  expect(seeds).toEqual([0, 1, 2, 21, 10]);
});
