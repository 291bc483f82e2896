/** Samplers against their definitions, written the plain way, over random distributions. */
import { randomNumbers } from "@quern/core";
import { describe, expect, it } from "vitest";
import { Candidates } from "./candidates.ts";
import { chooseToken } from "./choose.ts";
import { expOfNegative } from "./exponential.ts";
import { indexOfLargest, largest } from "./largest.ts";
import { logSumExp, topLogProbabilities } from "./log-probabilities.ts";
import { uniform } from "./random.ts";
import { choiceSamplers, logitSamplers, type Sampler, type SamplingSettings } from "./samplers.ts";

const SEED = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);

const off: SamplingSettings = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyWindow: 64,
  logitBias: new Map(),
};

type Row = readonly { readonly id: number; readonly logit: number }[];

/** Rows of all kinds: peaked, flat, with ties, with excluded tokens. */
function forRows(check: (row: Float32Array, random: () => number) => void): void {
  const random = randomNumbers(SEED);
  for (let round = 0; round < 60; round++) {
    const size = 2 + Math.floor(random() * 1400);
    const spread = 12 * random();
    const steps = random() < 0.4 ? 4 : Number.POSITIVE_INFINITY;
    const row = Float32Array.from({ length: size }, () => {
      const value = spread * (random() + random() + random() - 1.5);
      return Number.isFinite(steps) ? Math.round(value * steps) / steps : value;
    });
    if (random() < 0.2) row.fill(Number.NEGATIVE_INFINITY, 0, size >> 1);
    try {
      check(row, random);
    } catch (error) {
      throw new Error(`QUERN_SEED=${SEED}, round ${round}, ${size} tokens`, { cause: error });
    }
  }
}

function named(name: string): Sampler {
  return [...logitSamplers, ...choiceSamplers].find((sampler) => sampler.name === name) as Sampler;
}

function apply(
  name: string,
  row: Float32Array,
  settings: Partial<SamplingSettings>,
  history: number[] = [],
): Candidates {
  const candidates = new Candidates(row.length).load(row);
  const sampler = named(name);
  expect(sampler.active(off)).toBe(false);
  expect(sampler.active({ ...off, ...settings })).toBe(true);
  sampler.apply(candidates, { ...off, ...settings }, history);
  return candidates;
}

const idsOf = ({ ids }: Candidates): number[] => ids;
const ascending = (ids: number[]): number[] => ids.toSorted((a, b) => a - b);

function ranked(row: Float32Array, score: (logit: number) => number = (logit) => logit): Row {
  return Array.from(row, (logit, id) => ({ id, logit })).toSorted(
    (a, b) => score(b.logit) - score(a.logit) || a.id - b.id,
  );
}

function probabilities(row: Float32Array): number[] {
  const normaliser = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
  return Array.from(row, (logit) => Math.exp(logit - normaliser));
}

/** The fewest first ones that have `mass` together. */
function nucleus(row: Float32Array, order: Row, mass: number): number[] {
  const all = probabilities(row);
  const ids: number[] = [];
  let sum = 0;
  for (const { id } of order) {
    if (sum >= mass && ids.length > 0) break;
    sum += all[id] as number;
    ids.push(id);
  }
  return ids;
}

describe("the greatest", () => {
  it("are those of a full sort, ties by index, however many are asked for", () => {
    forRows((row, random) => {
      const order = ranked(row).map(({ id }) => id);
      expect(indexOfLargest(row)).toBe(order[0]);
      for (const count of [0, 1, 2, Math.floor(random() * row.length), row.length])
        expect([...largest(row, row.length, count)]).toEqual(order.slice(0, count));
    });
  });

  it("treats 0 and -0 alike", () => {
    expect([...largest(Float32Array.of(-0, 0, -0), 3, 3)]).toEqual([0, 1, 2]);
  });
});

describe("samplers keep what their definitions say", () => {
  it("top-k", () => {
    forRows((row, random) => {
      const k = 1 + Math.floor(random() * row.length);
      const expected = ranked(row)
        .map(({ id }) => id)
        .slice(0, k);
      expect(ascending(idsOf(apply("top-k", row, { topK: k })))).toEqual(ascending(expected));
    });
  });

  it("top-p", () => {
    forRows((row, random) => {
      const mass = random();
      expect(ascending(idsOf(apply("top-p", row, { topP: mass })))).toEqual(ascending(nucleus(row, ranked(row), mass)));
    });
  });

  it("min-p", () => {
    forRows((row, random) => {
      const share = random();
      const all = probabilities(row);
      const least = share * Math.max(...all);
      const kept = idsOf(apply("min-p", row, { minP: share }));
      // The threshold is computed in logarithms here and in probabilities there.
      const [sure, never] = [least * (1 + 1e-6), least * (1 - 1e-6)];
      const ids = [...all.keys()];
      expect(kept).toEqual(expect.arrayContaining(ids.filter((id) => (all[id] as number) > sure)));
      expect(kept.filter((id) => (all[id] as number) < never)).toEqual([]);
    });
  });

  it("typical", () => {
    forRows((row, random) => {
      const mass = random();
      const all = probabilities(row);
      const entropy = all.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
      const kept = idsOf(apply("typical", row, { typicalP: mass }));
      const distance = (id: number): number => Math.abs(-Math.log(all[id] as number) - entropy);
      const farthest = Math.max(...kept.map(distance));
      const mass2 = kept.reduce((sum, id) => sum + (all[id] as number), 0);
      expect(mass2).toBeGreaterThanOrEqual(mass - 1e-6);
      for (const id of all.keys()) if (!kept.includes(id)) expect(distance(id)).toBeGreaterThan(farthest - 1e-4);
      // Without its last one it would not be enough.
      if (kept.length > 1) expect(mass2 - (all[kept.at(-1) as number] as number)).toBeLessThan(mass + 1e-6);
    });
  });

  it("temperature, logit bias and penalties", () => {
    const row = Float32Array.of(2, -1, 0.5, 3, -2);
    expect([...apply("temperature", row, { temperature: 2 }).logits]).toEqual([-0.5, -2, -1.25, 0, -2.5]);
    const bias = new Map([
      [1, 5],
      [3, Number.NEGATIVE_INFINITY],
    ]);
    expect([...apply("logit bias", row, { logitBias: bias }).logits]).toEqual([
      2,
      4,
      0.5,
      Number.NEGATIVE_INFINITY,
      -2,
    ]);
    const history = [4, 0, 0, 1];
    expect([...apply("penalties", row, { repetitionPenalty: 2 }, history).logits]).toEqual([1, -2, 0.5, 3, -4]);
    expect([...apply("penalties", row, { presencePenalty: 0.5 }, history).logits]).toEqual([1.5, -1.5, 0.5, 3, -2.5]);
    expect([...apply("penalties", row, { frequencyPenalty: 0.5 }, history).logits]).toEqual([1, -1.5, 0.5, 3, -2.5]);
    const window = { repetitionPenalty: 2, penaltyWindow: 2 };
    expect([...apply("penalties", row, window, history).logits]).toEqual([1, -2, 0.5, 3, -2]);
  });
});

describe("a choice", () => {
  const choose = (row: Float32Array, settings: Partial<SamplingSettings>, share = 0.5): number =>
    chooseToken(row, { ...off, ...settings }, [], new Candidates(row.length), () => share);

  it("is greedy at temperature 0, after bias and penalties", () => {
    forRows((row) => {
      const before = row.slice();
      const first = ranked(row)[0] as { id: number };
      expect(choose(row, { temperature: 0 })).toBe(first.id);
      const bias = new Map([[first.id, Number.NEGATIVE_INFINITY]]);
      if (row.filter((logit) => logit > Number.NEGATIVE_INFINITY).length > 1)
        expect(choose(row, { temperature: 0, logitBias: bias })).toBe(ranked(row)[1]?.id);
      expect(row).toEqual(before);
    });
  });

  it("takes the most probable token at the lowest temperature", () => {
    expect(choose(Float32Array.of(1, 3, 2), { temperature: Number.MIN_VALUE }, 0.999)).toBe(1);
  });

  it("never takes an excluded token", () => {
    const row = Float32Array.of(Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY);
    for (const share of [0, 0.5, 1 - 2 ** -53]) expect(choose(row, {}, share)).toBe(1);
  });

  it("follows the probabilities", () => {
    const row = Float32Array.of(0, 1, 2, -1);
    const expected = probabilities(row);
    const counts = [0, 0, 0, 0];
    const draws = 40_000;
    for (let i = 0; i < draws; i++) {
      const token = choose(row, {}, uniform(SEED, i));
      counts[token] = (counts[token] as number) + 1;
    }
    counts.forEach((count, token) => {
      const p = expected[token] as number;
      const deviation = Math.sqrt(draws * p * (1 - p));
      expect(Math.abs(count - draws * p), `QUERN_SEED=${SEED}, token ${token}`).toBeLessThan(6 * deviation);
    });
  });

  it("says when there is none", () => {
    const nothing = new Float32Array(3).fill(Number.NaN);
    expect(() => choose(nothing, { temperature: 0 })).toThrow("no token can come next");
    expect(() => choose(nothing, { topK: 0 })).toThrow("no token can come next");
    expect(() => choose(nothing, { topK: 1 })).toThrow("no token can come next");
  });
});

describe("random numbers", () => {
  it("differ by seed and index, and are the same again", () => {
    const numbers = new Set<number>();
    for (const seed of [0, 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])
      for (let i = 0; i < 200; i++) numbers.add(uniform(seed, i));
    expect(numbers.size).toBe(1000);
    expect(uniform(7, 3)).toBe(uniform(7, 3));
  });

  it("fill the interval evenly", () => {
    const bins = new Array<number>(20).fill(0);
    for (let i = 0; i < 40_000; i++) bins[Math.floor(20 * uniform(SEED, i))]! += 1;
    for (const count of bins) expect(Math.abs(count - 2000), `QUERN_SEED=${SEED}`).toBeLessThan(6 * Math.sqrt(1900));
  });
});

it("the exponential is exact enough", () => {
  const random = randomNumbers(SEED);
  for (let i = 0; i < 20_000; i++) {
    const x = -100 * random() ** 3;
    expect(Math.abs(expOfNegative(x) / Math.exp(x) - 1), `QUERN_SEED=${SEED}, e^${x}`).toBeLessThan(1e-8);
  }
  expect([0, -200, Number.NEGATIVE_INFINITY, Number.NaN].map(expOfNegative)).toEqual([1, 0, 0, 0]);
});

it("log-probabilities are those of the softmax", () => {
  forRows((row) => {
    const all = probabilities(row);
    const normaliser = logSumExp(row);
    row.forEach((logit, id) => expect(Math.exp(logit - normaliser)).toBeCloseTo(all[id] as number, 6));
    const top = topLogProbabilities(row, 5);
    expect(top.map(({ token }) => token)).toEqual(
      ranked(row)
        .slice(0, 5)
        .map(({ id }) => id),
    );
  });
});
