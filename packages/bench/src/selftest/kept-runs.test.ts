import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import type { Results } from "../results/schema.ts";
import type { GatePolicy } from "../gate/policy.ts";
import { keepRun, keptRun, packRuns, readSeries, seriesIn, type ExpectedRun } from "./kept-runs.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-kept-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("a series goes on behind what was kept, unless that is of another kind", () => {
  const own = join(folder, "own");
  const sample = sampleGate();
  const { seed, policy } = sample.run as NonNullable<Results["run"]>;
  const machine = sample.environment?.before.class as string;
  const expected = { seed, policy: policy as GatePolicy, class: machine, sampler: "0.1.0" };
  keepRun(own, "AT1", 0, 0, sample);
  expect(keptRun(own, "AT1", 0, 0, expected)?.run?.id).toBe(sample.run?.id);
  expect(keptRun(own, "AT1", 1, 0, expected)).toBeUndefined();
  expect(keptRun(own, "AT1", 0, 1, expected)).toBeUndefined();
  const kept = (change: Partial<typeof expected>) => () => keptRun(own, "AT1", 0, 0, { ...expected, ...change });
  expect(kept({ seed: seed + 1 })).toThrow("with another seed");
  expect(kept({ policy: { ...expected.policy, rounds: 1234 } })).toThrow("with other settings");
  // A run that was kept before policies had the member: what held then is what 0 means.
  expect(kept({ policy: { ...expected.policy, patienceS: 0 } })()?.run?.id).toBe(sample.run?.id);
  expect(kept({ policy: { ...expected.policy, patienceS: 4 } })).toThrow("with other settings");
  expect(kept({ class: "another" })).toThrow("on a machine of another class");
  expect(kept({ sampler: "2" })).toThrow("by another version of the sampler");
});

describe("a series that was finished", () => {
  const sample = sampleGate();
  const { policy } = sample.run as NonNullable<Results["run"]>;
  const kind = {
    policy: policy as GatePolicy,
    class: sample.environment?.before.class as string,
    sampler: "0.1.0",
  };
  const seeded = (seed: number): Results => ({
    ...sample,
    run: { ...(sample.run as NonNullable<Results["run"]>), seed },
  });
  const seedsIn = (own: string): unknown[] => [...readSeries(join(own, "AT1.jsonl.br"))].map(({ run }) => run?.seed);

  function finished(name: string): string {
    const own = join(folder, name);
    for (const run of [0, 1, 2]) keepRun(own, "AT1", run, 0, seeded(100 + run));
    packRuns(own, "AT1");
    return own;
  }

  it("is read where it is asked for again, and goes on behind its end", () => {
    const own = finished("longer");
    for (const run of [0, 1, 2]) {
      expect(keptRun(own, "AT1", run, 0, { ...kind, seed: 100 + run })?.run?.seed).toBe(100 + run);
    }
    expect(keptRun(own, "AT1", 3, 0, { ...kind, seed: 103 })).toBeUndefined();
    keepRun(own, "AT1", 3, 0, seeded(103));
    expect(keptRun(own, "AT1", 3, 0, { ...kind, seed: 103 })?.run?.seed).toBe(103);
    packRuns(own, "AT1");
    expect(readdirSync(own)).toEqual(["AT1.jsonl.br"]);
    expect(seedsIn(own)).toEqual([100, 101, 102, 103]);
    expect(keptRun(own, "AT1", 3, 0, { ...kind, seed: 103 })?.run?.seed).toBe(103);
  });

  it("is left alone by a shorter one, and has every run once", () => {
    const own = finished("shorter");
    const before = readFileSync(join(own, "AT1.jsonl.br"));
    expect(keptRun(own, "AT1", 0, 0, { ...kind, seed: 100 })).toBeDefined();
    packRuns(own, "AT1");
    expect(readFileSync(join(own, "AT1.jsonl.br"))).toEqual(before);
    // As an interruption between the two steps of packing leaves it.
    keepRun(own, "AT1", 1, 0, seeded(101));
    packRuns(own, "AT1");
    expect(seedsIn(own)).toEqual([100, 101, 102]);
  });

  it("is not mixed with one of another kind", () => {
    const own = finished("other");
    const kept = (change: Partial<ExpectedRun>) => () => keptRun(own, "AT1", 0, 0, { ...kind, seed: 100, ...change });
    expect(kept({ seed: 200 })).toThrow("with another seed");
    expect(kept({ policy: { ...kind.policy, rounds: 1234 } })).toThrow("with other settings");
    expect(kept({ class: "another" })).toThrow("on a machine of another class");
    expect(kept({ sampler: "2" })).toThrow("by another version of the sampler");
    expect(seedsIn(own)).toEqual([100, 101, 102]);
  });
});

it("a folder or a file that cannot be read is said, and is no defect", () => {
  expect(() => seriesIn(join(folder, "no-such-folder"))).toThrow("the folder of kept runs cannot be read");
  const cut = join(folder, "AT9.jsonl.br");
  writeFileSync(cut, "cut off");
  expect(() => [...readSeries(cut)]).toThrow("the runs of the series cannot be read");
  rmSync(cut);
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
      .filter((name) => name.includes("."))
      .sort(),
  ).toEqual(["AT1.jsonl.br", "AT10-0000-0.json.gz"]);
  const [file] = seriesIn(folder) as [string];
  const seeds = [...readSeries(file)].map(({ run }) => run?.seed);
  expect(seeds).toEqual([0, 1, 2, 21, 10]);
});
