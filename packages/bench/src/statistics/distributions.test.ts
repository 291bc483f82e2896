import { describe, expect, it } from "vitest";
import {
  kolmogorovTail,
  normalCdf,
  normalQuantile,
  studentCdf,
  studentQuantile,
  studentTail,
} from "./distributions.ts";

describe("Student's t", () => {
  // NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2: upper critical values.
  it.each([
    [1, [3.078, 6.314, 12.706, 31.821, 63.657, 318.309]],
    [2, [1.886, 2.92, 4.303, 6.965, 9.925, 22.327]],
    [4, [1.533, 2.132, 2.776, 3.747, 4.604, 7.173]],
    [9, [1.383, 1.833, 2.262, 2.821, 3.25, 4.297]],
    [10, [1.372, 1.812, 2.228, 2.764, 3.169, 4.144]],
    [29, [1.311, 1.699, 2.045, 2.462, 2.756, 3.396]],
    [100, [1.29, 1.66, 1.984, 2.364, 2.626, 3.174]],
  ])("quantiles at %i degrees of freedom", (df, expected) => {
    const probabilities = [0.9, 0.95, 0.975, 0.99, 0.995, 0.999];
    probabilities.forEach((probability, i) => {
      expect(studentQuantile(probability, df)).toBeCloseTo(expected[i] as number, 3);
      expect(studentQuantile(1 - probability, df)).toBeCloseTo(-(expected[i] as number), 3);
    });
  });

  // Examples in the documentation of scipy.special.stdtr and stdtrit.
  it("distribution function and quantiles of SciPy's documentation", () => {
    expect(studentCdf(1, 3)).toBeCloseTo(0.8044988905221148, 14);
    [0.72654253, 0.6172134, 0.58438973].forEach((expected, i) =>
      expect(studentQuantile(0.7, i + 1)).toBeCloseTo(expected, 8),
    );
    expect(studentQuantile(0.2, 3)).toBeCloseTo(-0.97847231, 8);
    expect(studentQuantile(0.4, 2)).toBeCloseTo(-0.28867513, 8);
  });

  // scipy.stats.t.ppf([.6, .975, .999], df) and t.sf([.5, 3, 12], df), SciPy 1.17.1.
  it.each([
    [2.5, [0.2814595127, 3.574654842, 13.82219311], [0.3288489599, 0.03628804777, 0.001418107515]],
    [7.3, [0.2627568053, 2.345066737, 4.688865994], [0.3158967634, 0.009490275512, 2.277892615e-6]],
    [0.7, [0.3560313652, 36.61141503, 3637.01463], [0.3652008433, 0.1416856697, 0.05452935749]],
  ])("%d degrees of freedom", (df, quantiles, tails) => {
    [0.6, 0.975, 0.999].forEach((p, i) => expect(studentQuantile(p, df) / (quantiles[i] as number)).toBeCloseTo(1, 8));
    [0.5, 3, 12].forEach((t, i) => expect(studentTail(t, df) / (tails[i] as number)).toBeCloseTo(1, 8));
  });

  it("far tails keep their digits, both sides mirror, and many degrees of freedom are normal", () => {
    // Exact for two degrees of freedom: P(T > t) = (1 - t / sqrt(2 + t²)) / 2, about 1 / (2 t²) far out.
    expect(studentTail(1e6, 2) * 2e12).toBeCloseTo(1, 9);
    expect(studentCdf(-1e6, 2)).toBe(studentTail(1e6, 2));
    expect(studentTail(-3, 5) + studentTail(3, 5)).toBeCloseTo(1, 15);
    expect(studentQuantile(0.975, Infinity)).toBeCloseTo(1.959963984540054, 12);
    expect(studentQuantile(0.975, 1e9)).toBeCloseTo(1.95996, 5);
    expect([studentQuantile(0.5, 7), studentQuantile(0, 7), studentQuantile(1, 7)]).toEqual([0, -Infinity, Infinity]);
  });

  it("quantile and distribution function are inverse", () => {
    for (const df of [1, 2.2, 9, 47]) {
      for (const p of [1e-6, 0.01, 0.3, 0.5, 0.74, 0.76, 0.999]) {
        expect(studentCdf(studentQuantile(p, df), df) / p).toBeCloseTo(1, 8);
      }
    }
  });

  it("refuses what is no probability and no number of degrees of freedom", () => {
    expect(() => studentQuantile(1.5, 3)).toThrow("a probability lies between 0 and 1: 1.5");
    expect(() => studentTail(1, 0)).toThrow("degrees of freedom must be positive: 0");
    expect(studentTail(Number.NaN, 3)).toBeNaN();
  });
});

it("normal distribution: Abramowitz and Stegun, tables 26.1 and 26.5", () => {
  expect(normalCdf(1)).toBeCloseTo(0.841344746068543, 14);
  expect(normalCdf(-3)).toBeCloseTo(0.00134989803163, 14);
  expect(normalQuantile(0.975)).toBeCloseTo(1.95996, 5);
  expect(normalQuantile(0.001)).toBeCloseTo(-3.09023, 5);
});

it("Kolmogorov's distribution: Smirnov's table of 1948 and SciPy's example", () => {
  expect(kolmogorovTail(1.2238)).toBeCloseTo(0.1, 4);
  expect(kolmogorovTail(1.3581)).toBeCloseTo(0.05, 4);
  expect(kolmogorovTail(1.6276)).toBeCloseTo(0.01, 4);
  expect(kolmogorovTail(1.371265)).toBeCloseTo(0.046533, 6);
  expect([kolmogorovTail(0), kolmogorovTail(-1), kolmogorovTail(0.1)]).toEqual([1, 1, 1]);
});
