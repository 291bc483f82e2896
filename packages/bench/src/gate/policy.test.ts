import { describe, expect, it } from "vitest";
import { gatePolicy, isAdvisory, storedPolicy, type GatePolicy } from "./policy.ts";

describe("gatePolicy", () => {
  it("profiles differ in their pairs", () => {
    const pairs = (name: string): number[] => [gatePolicy(name).screenPairs, gatePolicy(name).confirmPairs];
    expect([pairs("quick"), pairs("ci"), pairs("rigorous")]).toEqual([
      [12, 24],
      [16, 48],
      [24, 96],
    ]);
    expect(["quick", "ci", "rigorous"].map(isAdvisory)).toEqual([true, false, false]);
    expect(gatePolicy()).toEqual(gatePolicy("ci"));
  });

  it("changes replace members; undefined ones do not", () => {
    expect(gatePolicy("ci", { delta: 0.05, q: undefined as unknown as number })).toEqual({
      ...gatePolicy("ci"),
      delta: 0.05,
    });
  });

  it.each([
    [{ screenPairs: 2 }, "2 is not a whole number from 3 to 10000"],
    [{ confirmPairs: 10.5 }, "10.5 is not a whole number from 3 to 10000"],
    [{ q: 0 }, "0 is not a number above 0, at most 0.5"],
    [{ delta: Number.NaN }, "NaN is not a number above 0, at most 10"],
    [{ controlSpike: 1 }, "1 is not a number above 1, at most 100"],
    [{ fdr: "bonferroni" }, '"bonferroni" is not one of bh, by'],
    [{ delta: 0.01 }, "the margin 0.01 is not below the threshold 0.01"],
  ] as [Partial<GatePolicy>, string][])("refuses %o", (changes, message) => {
    expect(() => gatePolicy("ci", changes)).toThrow(message);
  });

  it("names the member and the profiles", () => {
    expect(() => gatePolicy("ci", { rounds: 0 })).toThrow("at policy, rounds");
    expect(() => gatePolicy("fast")).toThrow('there is no profile "fast"\n  Profiles: quick, ci, rigorous.');
    expect(() => gatePolicy("toString")).toThrow('there is no profile "toString"');
  });
});

it("a stored policy is filled up with defaults and checked", () => {
  const { profile, delta, delta0, q, screenPairs, confirmPairs, rounds, sliceMs, fdr } = gatePolicy("rigorous");
  const stored = { profile, delta, delta0, q, screenPairs, confirmPairs, rounds, sliceMs, fdr };
  // Older files come from a time when nothing was measured again because it was open.
  expect(storedPolicy(stored)).toEqual({ ...gatePolicy("rigorous"), recheck: false, extensionPairs: 0 });
  expect(storedPolicy({ ...stored, recheck: true, extensionPairs: 96 })).toEqual(gatePolicy("rigorous"));
  expect(storedPolicy({ ...stored, profile: "own" }).profile).toBe("own");
  expect(() => storedPolicy({ ...stored, rounds: -1 })).toThrow("-1 is not a whole number from 1 to 10000");
});
