import { expect, it } from "vitest";
import { rateLowerBound, rateUpperBound } from "./proportions.ts";

it.each([
  // Without events the bound has a closed form: 1 - (1 - confidence)^(1 / n).
  [0, 100, 0.95, 1 - 0.05 ** (1 / 100)],
  [0, 299, 0.95, 1 - 0.05 ** (1 / 299)],
  [0, 7, 0.9, 1 - 0.1 ** (1 / 7)],
  // One event of two: (1 - p)² + 2 p (1 - p) = 0.05.
  [1, 2, 0.95, Math.sqrt(0.95)],
  [3, 3, 0.95, 1],
  [0, 0, 0.95, 1],
])("upper bound of %i in %i at %f", (events, trials, confidence, bound) => {
  expect(rateUpperBound(events, trials, confidence)).toBeCloseTo(bound, 12);
  expect(rateLowerBound(trials - events, trials, confidence)).toBeCloseTo(1 - bound, 12);
});

// The tables of the method: one run fewer is not enough.
it.each([
  [0, 299],
  [1, 473],
  [2, 628],
])("%i failures in %i runs bound the rate by 1 %%", (failures, runs) => {
  expect(rateUpperBound(failures, runs)).toBeLessThanOrEqual(0.01);
  expect(rateUpperBound(failures, runs - 1)).toBeGreaterThan(0.01);
});

it.each([
  [59, 59],
  [92, 93],
  [122, 124],
])("%i of %i found bound the power by 95 %%", (found, runs) => {
  expect(rateLowerBound(found, runs)).toBeGreaterThanOrEqual(0.95);
  expect(rateLowerBound(found - 1, runs - 1)).toBeLessThan(0.95);
});

it("refuses more events than trials", () => {
  expect(() => rateUpperBound(2, 1)).toThrow("2 events in 1 trials");
  expect(() => rateLowerBound(-1, 3)).toThrow("4 events in 3 trials");
});
