import { describe, expect, it } from "vitest";
import { minimumDetectableEffect } from "../statistics/power.ts";
import { chance, detectableEffect } from "./detectable.ts";
import { gatePolicy } from "./policy.ts";

const POLICY = gatePolicy("ci");
const plan = { delta: 0.025, screenPairs: 16, confirmPairs: 48 };

describe("detectable effect of the whole gate", () => {
  it("is found with probability 1 - beta, and never below the threshold", () => {
    for (const sw of [0.001, 0.01, 0.04]) {
      const mde = detectableEffect({ ...plan, sw }, POLICY);
      expect(chance(Math.log1p(mde), { ...plan, sw }, POLICY)).toBeCloseTo(0.95, 6);
      expect(mde).toBeGreaterThan(0.025);
    }
    expect(detectableEffect({ ...plan, sw: 0 }, POLICY)).toBeCloseTo(0.025, 6);
  });

  it("is at least that of the confirmation alone", () => {
    const test = { delta0: 0.01, alpha: 0.01, beta: 0.05, pairs: 48 };
    for (const sw of [0.02, 0.04, 0.1]) {
      expect(detectableEffect({ ...plan, sw }, POLICY)).toBeGreaterThan(
        minimumDetectableEffect({ ...test, sw }) - 1e-9,
      );
    }
  });

  it("half of a change as large as the threshold is found by design", () => {
    expect(chance(Math.log1p(0.025), { ...plan, sw: 0.001 }, POLICY)).toBeCloseTo(0.5, 6);
  });

  it("shrinks with pairs, grows with the spread and with an extension's price", () => {
    const at = (sw: number, confirmPairs: number, policy = POLICY): number =>
      detectableEffect({ ...plan, sw, confirmPairs }, policy);
    expect(at(0.04, 96)).toBeLessThan(at(0.04, 48));
    expect(at(0.08, 48)).toBeGreaterThan(at(0.04, 48));
    expect(at(0.08, 48)).toBeGreaterThan(at(0.08, 48, { ...POLICY, extensionPairs: 0 }));
  });

  it("stays a number for absurd spreads", () => {
    expect(detectableEffect({ ...plan, sw: 1e6, screenPairs: 3, confirmPairs: 3 }, POLICY)).toBeLessThan(Infinity);
  });
});
