/** The table of merges against a map of pairs. */
import { expect, it } from "vitest";
import { randomNumbers, SEED } from "../random-text.test-support.ts";
import { MergeTable } from "./merge-table.ts";

it("of nothing joins nothing", () => {
  expect(new MergeTable(0).rankOf(0, 0)).toBeUndefined();
});

it("the first merge of a pair counts, and pairs have an order", () => {
  const table = new MergeTable(3);
  table.add(0, 1, 2, 10);
  table.add(1, 1, 2, 11);
  table.add(2, 2, 1, 12);
  expect([table.rankOf(1, 2), table.rankOf(2, 1)]).toEqual([0, 2]);
  expect([table.mergedBy(0), table.mergedBy(2)]).toEqual([10, 12]);
  expect(table.rankOf(0, 0)).toBeUndefined();
  expect(table.rankOf(-1, 2)).toBeUndefined();
});

it("agrees with a map on random pairs, where ranks are left out too", () => {
  const random = randomNumbers(SEED);
  const token = (): number => Math.floor(random() * 100);
  const table = new MergeTable(4096);
  const map = new Map<string, number>();
  for (let rank = 0; rank < 4096; rank++) {
    if (random() < 0.1) continue;
    const [left, right] = [token(), token()];
    table.add(rank, left, right, 2 * rank);
    if (!map.has(`${left} ${right}`)) map.set(`${left} ${right}`, rank);
  }
  for (let left = -1; left <= 100; left++) {
    for (let right = -1; right <= 100; right++) {
      const rank = table.rankOf(left, right);
      expect(rank, `QUERN_SEED=${SEED}, ${left} ${right}`).toBe(map.get(`${left} ${right}`));
      if (rank !== undefined) expect(table.mergedBy(rank)).toBe(2 * rank);
    }
  }
});
