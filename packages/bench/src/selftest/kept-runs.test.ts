import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import type { Results } from "../results/schema.ts";
import type { GatePolicy } from "../gate/policy.ts";
import { keepRun, keptRun, packRuns, readSeries, seriesIn } from "./kept-runs.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-kept-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("a series goes on behind what was kept, unless that is of another kind", () => {
  const own = join(folder, "own");
  const sample = sampleGate();
  const { seed, policy } = sample.run as NonNullable<Results["run"]>;
  const machine = sample.environment?.before.class as string;
  const expected = { seed, policy: policy as GatePolicy, class: machine };
  keepRun(own, "AT1", 0, 0, sample);
  expect(keptRun(own, "AT1", 0, 0, expected)?.run?.id).toBe(sample.run?.id);
  expect(keptRun(own, "AT1", 1, 0, expected)).toBeUndefined();
  expect(keptRun(own, "AT1", 0, 1, expected)).toBeUndefined();
  const kept = (change: Partial<typeof expected>) => () => keptRun(own, "AT1", 0, 0, { ...expected, ...change });
  expect(kept({ seed: seed + 1 })).toThrow("with another seed");
  expect(kept({ policy: { ...expected.policy, rounds: 1234 } })).toThrow("with other settings");
  expect(kept({ class: "another" })).toThrow("on a machine of another class");
});

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
  expect(
    readdirSync(folder)
      .filter((name) => name !== "own")
      .sort(),
  ).toEqual(["AT1.jsonl.br", "AT10-0000-0.json.gz"]);
  const [file] = seriesIn(folder) as [string];
  const seeds = [...readSeries(file)].map(({ run }) => run?.seed);
  expect(seeds).toEqual([0, 1, 2, 21, 10]);
});
