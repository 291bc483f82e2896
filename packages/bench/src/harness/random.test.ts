import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";

const SEED = 20261123;

describe("Random", () => {
  it("gives equal streams for equal labels, others for other labels", () => {
    const draw = (random: Random): number[] => Array.from({ length: 4 }, () => random.next());
    expect(draw(Random.of(1, "a", 2))).toEqual(draw(Random.of(1, "a", 2)));
    expect(draw(Random.of(1, "a", 2))).not.toEqual(draw(Random.of(1, "a", 3)));
    expect(draw(Random.of(1, "a"))).not.toEqual(draw(Random.of(2, "a")));
  });

  it("normal values have mean 0 and variance 1", () => {
    const random = new Random(SEED);
    const values = Array.from({ length: 100_000 }, () => random.normal());
    const centre = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / values.length;
    expect(Math.abs(centre)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.03);
  });

  it("shuffles without losing anything", () => {
    const items = Array.from({ length: 50 }, (_, i) => i);
    const shuffled = new Random(SEED).shuffle(items);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items);
  });
});
