import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import {
  bootstrapMedian,
  geometricMean,
  hierarchicalBootstrap,
  median,
  medianAbsoluteDeviation,
  medianInterval,
  ratioInterval,
  trimmedInterval,
} from "./index.ts";

const SEED = 20261123;

/** Share of `trials` in which the interval covers `truth`. */
function coverage(
  trials: number,
  truth: number,
  interval: (random: Random) => { readonly low: number | null; readonly high: number | null },
): number {
  const random = new Random(SEED);
  let covered = 0;
  for (let trial = 0; trial < trials; trial++) {
    const { low, high } = interval(random);
    if (low !== null && high !== null && low <= truth && truth <= high) covered += 1;
  }
  return covered / trials;
}

describe("centres", () => {
  it("median of odd and even counts, and of nothing", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(() => median([])).toThrow("median of no samples");
  });

  it("median absolute deviation ignores one wild value", () => {
    expect(medianAbsoluteDeviation([1, 2, 3, 4, 1000])).toBe(1);
  });

  it("geometric mean of a ratio and its inverse is one", () => {
    expect(geometricMean([4, 0.25])).toBeCloseTo(1, 12);
  });
});

describe(`intervals cover what they promise (seed ${SEED})`, () => {
  it("order statistics of a skewed distribution", () => {
    const share = coverage(2000, 0, (random) =>
      medianInterval(Array.from({ length: 25 }, () => Math.exp(random.normal()) - 1)),
    );
    expect(share).toBeGreaterThan(0.945);
    expect(share).toBeLessThan(0.985); // discrete ranks: at least 95 %, not far above
  });

  it("the ranks are those of the binomial distribution", () => {
    const ten = medianInterval([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect([ten.low, ten.high]).toEqual([2, 9]);
    const hundred = medianInterval(Array.from({ length: 100 }, (_, i) => i + 1));
    expect([hundred.low, hundred.high]).toEqual([40, 61]);
    expect(medianInterval([5])).toEqual({ centre: 5, low: null, high: null, method: "none" });
    const many = medianInterval(Array.from({ length: 5000 }, (_, i) => i));
    expect(many.low).toBeGreaterThan(2400);
  });

  it.each([3, 4, 5, 6, 16])("trimmed t with %i processes, normal", (count) => {
    const share = coverage(3000, 0, (random) => trimmedInterval(Array.from({ length: count }, () => random.normal())));
    expect(share).toBeGreaterThan(0.93);
    expect(share).toBeLessThan(0.97);
  });

  it("trimmed t with heavy tails", () => {
    const share = coverage(3000, 0, (random) =>
      trimmedInterval(Array.from({ length: 16 }, () => random.normal() * (random.uniform() < 0.15 ? 6 : 1))),
    );
    expect(share).toBeGreaterThan(0.93);
  });

  it("bootstrap of the median", () => {
    const share = coverage(300, 0, (random) =>
      bootstrapMedian(
        Array.from({ length: 30 }, () => random.normal()),
        random.next(),
        400,
      ),
    );
    expect(share).toBeGreaterThan(0.88);
  });

  it("hierarchical bootstrap of pairs and rounds", () => {
    const share = coverage(150, 0, (random) =>
      hierarchicalBootstrap(
        Array.from({ length: 32 }, () => {
          const layout = 0.01 * random.normal();
          return Array.from({ length: 20 }, () => layout + 0.02 * random.normal());
        }),
        random.next(),
        200,
      ),
    );
    expect(share).toBeGreaterThan(0.88);
  });

  it("the ratio of two engines under a drifting machine and different processes", () => {
    const truth = 1.3;
    const share = coverage(1500, truth, (random) => {
      const pairs = Array.from({ length: 4 }, () => {
        const layout = Math.exp(0.01 * random.normal());
        let level = 0;
        const engine: number[] = [];
        const baseline: number[] = [];
        for (let round = 0; round < 30; round++) {
          level += 0.1 * random.normal(); // common to both, and large
          engine.push(Math.exp(level + 0.02 * random.normal()));
          baseline.push(truth * layout * Math.exp(level + 0.02 * random.normal()));
        }
        return { engine, baseline };
      });
      return ratioInterval(pairs);
    });
    expect(share).toBeGreaterThan(0.93);
    expect(share).toBeLessThan(0.97);
  });
});

describe("bootstrap", () => {
  it("repeats itself with the same seed and differs with another", () => {
    const pairs = Array.from({ length: 16 }, (_, pair) => Array.from({ length: 20 }, (_, round) => (pair * round) % 7));
    expect(hierarchicalBootstrap(pairs, 1, 200)).toEqual(hierarchicalBootstrap(pairs, 1, 200));
    expect(hierarchicalBootstrap(pairs, 2, 200)).not.toEqual(hierarchicalBootstrap(pairs, 1, 200));
  });

  it("rounds that never vary leave the spread of the pairs", () => {
    const { low, high } = hierarchicalBootstrap(
      Array.from({ length: 9 }, (_, pair) => [pair, pair, pair]),
      1,
      2000,
    );
    expect(low).toBeGreaterThan(1);
    expect(high).toBeLessThan(7);
  });

  it("of one pair gives no interval", () => {
    expect(hierarchicalBootstrap([[1, 2, 3], []], 1)).toEqual({ centre: 2, low: null, high: null, method: "none" });
  });
});

describe("ratioInterval", () => {
  it("is above one where the engine takes less time", () => {
    const found = ratioInterval([{ engine: [1, 1, 1, 1, 1, 1], baseline: [2, 2, 2, 2, 2, 2] }]);
    expect(found.centre).toBeCloseTo(2, 12);
    expect(found.method).toBe("order-statistics");
  });

  it("refuses to compare nothing", () => {
    expect(() => ratioInterval([{ engine: [], baseline: [] }])).toThrow("no paired slices");
  });
});
