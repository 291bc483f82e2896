/**
 * Which arm comes first: drawn from the seed and balanced, because a fixed order is a bias that no spread shows.
 *
 * Pairs come in blocks of four with every combination of the order of starting and the order of warming up; each two
 * neighbours of a block have opposite orders. Rounds come in twos, of which the second is the reverse of the first.
 */

import { Random } from "../harness/random.ts";

export type Order = "base-first" | "head-first";

function orderOf(baseFirst: boolean): Order {
  return baseFirst ? "base-first" : "head-first";
}

/** Order of starting and of warming up the processes of pair `index`. */
export function pairOrders(seed: number, group: string, index: number): { spawn: Order; warmUp: Order } {
  const block = Math.floor(index / 4);
  const place = index % 4;
  const random = Random.of(seed, "pair-order", group, block);
  const starts = [random.uniform() < 0.5, random.uniform() < 0.5];
  const alike = random.uniform() < 0.5;
  const spawn = place % 2 === 0 ? (starts[place >> 1] as boolean) : !(starts[place >> 1] as boolean);
  const same = place < 2 ? alike : !alike;
  return { spawn: orderOf(spawn), warmUp: orderOf(same ? spawn : !spawn) };
}

/** Order of the two slices in each round of one bench in pair `index`. */
export function roundOrders(seed: number, id: string, index: number, rounds: number): Order[] {
  const random = Random.of(seed, "round-order", id, index);
  const orders: Order[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = orders[round - 1];
    orders.push(round % 2 === 0 ? orderOf(random.uniform() < 0.5) : orderOf(before === "head-first"));
  }
  return orders;
}
