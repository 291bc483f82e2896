import { describe, expect, it } from "vitest";
import { pairMs, planConfirm, planScreen } from "./budget.ts";

const SHAPE = { rounds: 20, sliceMs: 5, warmUpMs: 150 };

describe("time of a pair", () => {
  it("grows with processes, not only with benches", () => {
    const apart = pairMs(
      [
        { id: "a", file: "f" },
        { id: "b", file: "f" },
      ],
      SHAPE,
    );
    const together = pairMs(
      [
        { id: "a", file: "f", family: "x" },
        { id: "b", file: "f", family: "x" },
      ],
      SHAPE,
    );
    expect(together).toBeLessThan(apart);
    expect(pairMs([], SHAPE)).toBe(0);
  });

  it("counts what is measured in every third pair as a third", () => {
    const control = { id: "ctl.fma", file: "/c.mjs", control: true };
    expect(pairMs([{ ...control, every: 3 }], SHAPE)).toBeCloseTo(pairMs([control], SHAPE) / 3);
  });
});

describe("plans", () => {
  it("are what the policy wants without a budget", () => {
    expect(planScreen(16, 3, 60_000, null, 5000)).toEqual({ pairs: 16, untilMs: undefined });
    expect(planConfirm(48, 3, 60_000, null, 5000)).toEqual({ pairs: 48, untilMs: undefined });
  });

  it("keep time for suspects, and end before the budget", () => {
    const { pairs, untilMs } = planScreen(16, 3, 10_000, 120_000, 0);
    expect(pairs).toBe(7);
    expect(untilMs).toBeLessThan(120_000);
    expect(planConfirm(48, 3, 1000, 120_000, 100_000).pairs).toBe(17);
  });

  it("screen with the fewest pairs that can be judged, however small the budget", () => {
    expect(planScreen(16, 3, 60_000, 1000, 500).pairs).toBe(3);
    expect(planScreen(16, 3, 60_000, 1000, 5000).untilMs).toBe(5000);
  });

  it("confirm nothing where the pairs could not be judged", () => {
    expect(planConfirm(48, 3, 10_000, 60_000, 40_000).pairs).toBe(0);
  });
});
