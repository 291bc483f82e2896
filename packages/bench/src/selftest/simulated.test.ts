import { describe, expect, it } from "vitest";
import { gatePolicy } from "../gate/policy.ts";
import type { BenchRecord } from "../results/schema.ts";
import { judge } from "../gate/judge.ts";
import { gateRecord } from "../gate/types.ts";
import { replayDifference, storedRun, verdictText, type StoredRun } from "./replay.ts";
import { normalNoise, simulateRecord } from "./simulate.ts";
import { SIMULATED_TESTS } from "./simulated.ts";

const SEED = 20261128;

/** Share of the full size that is run here; the command runs it all. */
const SCALES: Readonly<Record<string, number>> = {
  AT5: 0.1,
  AT13: 0.4,
  AT15: 0.4,
  AT16: 0.5,
  AT17: 0.3,
  "AT1/AT4 simulated": 0.05,
};

describe(`acceptance tests on simulated samples (seed ${SEED})`, () => {
  it.each(Object.entries(SIMULATED_TESTS))("%s", async (name, run) => {
    const result = await run({ seed: SEED, scale: SCALES[name] });
    expect(result.passed, result.detail).toBe(true);
    expect(result.test).toBe(name);
    expect(Object.values(result.numbers).every(Number.isFinite)).toBe(true);
  });

  it("repeats itself with the same seed", async () => {
    const run = SIMULATED_TESTS["AT17"];
    expect(await run?.({ seed: 3, scale: 0.02 })).toEqual(await run?.({ seed: 3, scale: 0.02 }));
  });
});

describe("replay", () => {
  const policy = gatePolicy("ci", { bootstrap: 50 });
  const benches = [
    { id: "slower", ratio: 1.06, noise: normalNoise(0.01) },
    { id: "same", ratio: 1, noise: normalNoise(0.01) },
  ];
  const simulation = { benches, controls: [{ id: "ctl", ratio: 1, noise: normalNoise(0.01) }], policy, seed: SEED };
  const unjudged = storedRun(simulateRecord({ ...simulation, run: "replay" }), policy, SEED);
  const verdicts = judge(gateRecord(unjudged), policy);

  /** The run as a file has it after judging. */
  const judged = {
    ...unjudged,
    environment: { ...(unjudged.environment as NonNullable<StoredRun["environment"]>), controls: [] },
    benches: (unjudged.benches ?? []).map((bench, i): BenchRecord => ({ ...bench, ...verdictOf(i) })),
    summary: verdicts.summary,
  };

  function verdictOf(i: number): Pick<BenchRecord, "verdict" | "reason" | "estimate" | "flags"> {
    const { verdict, reason, estimate, flags } = verdicts.benches[i] as (typeof verdicts.benches)[number];
    return { verdict, reason, estimate, flags };
  }

  it("a file as it was judged has no difference, whatever the order of its members", () => {
    expect(replayDifference(judged)).toBeUndefined();
    const [first, second] = judged.benches as [BenchRecord, BenchRecord];
    const reversed = Object.fromEntries(Object.entries(first).reverse()) as unknown as BenchRecord;
    expect(replayDifference({ ...judged, benches: [reversed, second] })).toBeUndefined();
  });

  it("a verdict, a sample, a seed or a rule that was changed shows", () => {
    const [first, second] = judged.benches as [BenchRecord, BenchRecord];
    const difference = replayDifference({ ...judged, benches: [{ ...first, verdict: "EQUIVALENT" }, second] });
    expect(difference).toContain('"verdict":"EQUIVALENT"');
    expect(difference).toContain('"verdict":"REGRESSED"');
    const stages = structuredClone(second.stages) as unknown as { pairs: { head: number[] }[] }[];
    (stages[0] as (typeof stages)[number]).pairs.forEach(({ head }) =>
      head.forEach((time, i) => (head[i] = time * 1.001)),
    );
    const tampered = { ...second, stages: stages as unknown as BenchRecord["stages"] };
    expect(replayDifference({ ...judged, benches: [first, tampered] })).toBeDefined();
    const run = judged.run as NonNullable<StoredRun["run"]>;
    expect(replayDifference({ ...judged, run: { ...run, seed: 1 } })).toContain("bootstrap");
    expect(replayDifference({ ...judged, run: { ...run, policy: { ...policy, delta0: 0.02 } } })).toBeDefined();
  });

  it("the text is that of the verdicts", () => {
    expect(JSON.parse(verdictText(unjudged))).toMatchObject({
      benches: [
        { id: "slower", verdict: "REGRESSED" },
        { id: "same", verdict: "EQUIVALENT" },
      ],
      controls: [{ id: "ctl", moved: false }],
      summary: { verdict: "REGRESSED", exitCode: 1 },
    });
  });
});
