import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import {
  adjustedPValues,
  kolmogorovSmirnov,
  minimumDetectableEffect,
  normalCdf,
  pAbove,
  pBelow,
  pDifferent,
  pairsNeeded,
  rejected,
  studentQuantile,
  trimmed,
  trimmedInterval,
} from "./index.ts";

const SEED = 20261128;

describe("Yuen's test", () => {
  // Wilcox, Introduction to Robust Estimation and Hypothesis Testing, chapter 4: self-awareness data.
  const SELF_AWARENESS = [77, 87, 88, 114, 151, 210, 219, 246, 253, 262, 296, 299, 306, 376, 428, 515, 666, 1310, 2611];
  // Wilcox, Basic Statistics, exercise: seeds in 29 pumpkins; trimmed mean 220.8, 95 % interval (196.7, 244.9).
  const PUMPKINS = [
    250, 220, 281, 247, 230, 209, 240, 160, 370, 274, 210, 204, 243, 251, 190, 200, 130, 150, 177, 475, 221, 350, 224,
    163, 272, 236, 200, 171, 98,
  ];

  it("trimmed mean and winsorised deviation of published data", () => {
    // Wilcox divides by the nominal 1 - 2 * 20 % where we divide by the share that is kept, 13 of 19.
    const found = trimmed(SELF_AWARENESS);
    expect([found.centre.toFixed(1), found.df, found.count]).toEqual(["282.7", 12, 19]);
    expect(found.sw / (0.6 * Math.sqrt(19))).toBeCloseTo(56.1, 1);
    expect(found.error).toBeCloseTo((found.sw * 19) / (13 * Math.sqrt(19)), 12);
    const pumpkins = trimmed(PUMPKINS);
    const reach = studentQuantile(0.975, pumpkins.df) * (pumpkins.sw / (0.6 * Math.sqrt(29)));
    expect([pumpkins.centre, pumpkins.centre - reach, pumpkins.centre + reach].map((x) => x.toFixed(1))).toEqual([
      "220.8",
      "196.7",
      "244.9",
    ]);
  });

  it("interval of the first 20 pumpkins, where 20 % is a whole number of them", () => {
    // scipy.stats.mstats.trimmed_mean_ci(data, limits=(0.2, 0.2)) and trimmed_stde, SciPy 1.17.1.
    const found = trimmedInterval(PUMPKINS.slice(0, 20));
    expect(found.centre).toBeCloseTo(224.5, 8);
    expect(found.low).toBeCloseTo(203.316719324925, 8);
    expect(found.high).toBeCloseTo(245.683280675075, 8);
    expect(trimmed(PUMPKINS.slice(0, 20)).error).toBeCloseTo(9.624454112263422, 8);
  });

  it("the p-value is that of the margin, one-sided and two-sided", () => {
    const found = trimmed(PUMPKINS.slice(0, 20));
    expect(pDifferent(found, 245.683280675075)).toBeCloseTo(0.05, 8);
    expect(pDifferent(found, 203.316719324925)).toBeCloseTo(0.05, 8);
    expect(pAbove(found, 203.316719324925)).toBeCloseTo(0.025, 8);
    expect(pBelow(found, 203.316719324925)).toBeCloseTo(0.975, 8);
    expect(pDifferent(found, found.centre)).toBe(1);
  });

  it("values without any spread are decided by their sign; one value decides nothing", () => {
    const flat = trimmed(Array.from({ length: 12 }, () => 0.25));
    expect([pAbove(flat, 0.01), pBelow(flat, 0.01), pAbove(flat, 0.4)]).toEqual([0, 1, 1]);
    expect(pAbove(trimmed([5]))).toBe(1);
    expect(() => trimmed([])).toThrow("trimmed mean of no samples");
  });
});

describe("false discovery rate", () => {
  // The 15 p-values of Benjamini and Hochberg 1995; adjusted values as in the documentation of SciPy.
  const PUBLISHED = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1,
  ];

  it("adjusts the published p-values", () => {
    const expected = [
      0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714, 0.06385714, 0.0645, 0.0765, 0.486, 0.58118182, 0.714875,
      0.75323077, 0.81321429, 1,
    ];
    adjustedPValues(PUBLISHED).forEach((p, i) => expect(p).toBeCloseTo(expected[i] as number, 8));
    expect(rejected(PUBLISHED, 0.05).filter(Boolean)).toHaveLength(4); // the paper rejects four
  });

  it("keeps the order of its input", () => {
    adjustedPValues([0.5, 0.6, 0.1, 0.001]).forEach((p, i) =>
      expect(p).toBeCloseTo([0.6, 0.6, 0.2, 0.004][i] as number, 12),
    );
  });

  it("Benjamini and Yekutieli divide q by 1 + 1/2 + ... + 1/m", () => {
    const harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4;
    adjustedPValues([0.001, 0.01, 0.03, 0.04], "by").forEach((p, i) =>
      expect(p).toBeCloseTo(([0.004, 0.02, 0.04, 0.04][i] as number) * harmonic, 12),
    );
  });

  it("hypotheses that were not tested count as accepted", () => {
    expect(adjustedPValues([0.002], "bh", 5)).toEqual([0.01]);
    expect(rejected([0.002], 0.009, "bh", 5)).toEqual([false]);
    expect(adjustedPValues([])).toEqual([]);
    expect(() => adjustedPValues([0.1, 0.2], "bh", 1)).toThrow("2 p-values of only 1 hypotheses");
    expect(() => adjustedPValues([Number.NaN])).toThrow("a p-value lies between 0 and 1: NaN");
  });
});

describe("Kolmogorov and Smirnov", () => {
  it("distance of SciPy's example: nine points from -15 to 15 against the normal distribution", () => {
    const points = Array.from({ length: 9 }, (_, i) => -15 + 3.75 * i);
    const found = kolmogorovSmirnov(points, normalCdf);
    expect(found.distance).toBeCloseTo(0.44435602715924361, 14);
    // The exact p-value is 0.03885.
    expect(found.p).toBeGreaterThan(0.03);
    expect(found.p).toBeLessThan(0.05);
  });

  it(`p-values are uniform under the null hypothesis, and small under a shifted one (seed ${SEED})`, () => {
    const random = new Random(SEED);
    const p = Array.from(
      { length: 400 },
      () => kolmogorovSmirnov(Array.from({ length: 40 }, () => random.uniform())).p,
    );
    expect(kolmogorovSmirnov(p).p).toBeGreaterThan(0.01);
    expect(kolmogorovSmirnov(Array.from({ length: 400 }, () => random.uniform() ** 1.3)).p).toBeLessThan(0.01);
  });
});

describe("power", () => {
  const plan = { delta0: 0.01, alpha: 0.01, beta: 0.05 };
  const percent = (sw: number, pairs: number): string =>
    (100 * minimumDetectableEffect({ ...plan, sw, pairs })).toFixed(1);

  it("minimum detectable effect in per cent, by spread and pairs", () => {
    // Worked by hand for 16 pairs and 1 %: ten values are kept, t(9) = 2.821 and 1.833, SE = 1 % / (0.625 * 4) = 0.4 %.
    expect(minimumDetectableEffect({ ...plan, sw: 0.01, pairs: 16 })).toBeCloseTo(
      1.01 * Math.exp(4.654 * 0.004) - 1,
      4,
    );
    expect([16, 24, 48, 96].map((pairs) => percent(0.01, pairs))).toEqual(["2.9", "2.4", "2.0", "1.7"]);
    expect([16, 48, 96].map((pairs) => percent(0.02, pairs))).toEqual(["4.8", "3.0", "2.4"]);
    expect(minimumDetectableEffect({ ...plan, sw: 0.01, pairs: 1 })).toBe(Infinity);
  });

  it("half the distance from the margin needs four times the pairs", () => {
    const now = 1.01 * Math.exp(0.04) - 1;
    const wanted = 1.01 * Math.exp(0.02) - 1;
    expect(pairsNeeded(16, now, wanted, 0.01)).toBe(64);
    expect(() => pairsNeeded(16, 0.05, 0.01, 0.01)).toThrow("no number of pairs detects 0.01 beyond 0.01");
  });
});
