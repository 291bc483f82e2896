import { describe, expect, it } from "vitest";
import { pairOrders, roundOrders } from "./order.ts";

const seeds = [1, 2, 3, 77, 4096];

describe("pairOrders", () => {
  it("every two neighbours have opposite orders, and four pairs every combination", () => {
    for (const seed of seeds) {
      for (const group of ["family sort", "native 0"]) {
        for (let block = 0; block < 12; block++) {
          const four = [0, 1, 2, 3].map((place) => pairOrders(seed, group, 4 * block + place));
          expect(new Set(four.map(({ spawn, warmUp }) => `${spawn} ${warmUp}`)).size).toBe(4);
          for (const kind of ["spawn", "warmUp"] as const) {
            expect(four[0]?.[kind]).not.toBe(four[1]?.[kind]);
            expect(four[2]?.[kind]).not.toBe(four[3]?.[kind]);
          }
        }
      }
    }
  });

  it("follows from the seed, and differs between seeds, groups and blocks", () => {
    const text = (seed: number, group: string): string =>
      Array.from({ length: 32 }, (_, index) => pairOrders(seed, group, index).spawn[0]).join("");
    expect(text(1, "a")).toBe(text(1, "a"));
    expect(text(1, "a")).not.toBe(text(2, "a"));
    expect(text(1, "a")).not.toBe(text(1, "b"));
    expect(text(1, "a").slice(0, 16)).not.toBe(text(1, "a").slice(16));
  });
});

describe("roundOrders", () => {
  it("has as many rounds of either order, in no fixed pattern", () => {
    const patterns = new Set<string>();
    for (const seed of seeds) {
      for (let index = 0; index < 20; index++) {
        const orders = roundOrders(seed, "sort/1e4", index, 20);
        expect(orders.filter((order) => order === "base-first")).toHaveLength(10);
        patterns.add(orders.join(" "));
        expect(roundOrders(seed, "sort/1e4", index, 20)).toEqual(orders);
        // A stage that measures fewer rounds starts alike.
        expect(roundOrders(seed, "sort/1e4", index, 5)).toEqual(orders.slice(0, 5));
      }
    }
    expect(patterns.size).toBeGreaterThan(90);
  });
});
