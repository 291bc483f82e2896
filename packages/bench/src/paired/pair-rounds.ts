/** The timed part of a pair: rounds, in each of which every bench gets a slice in one arm and right after it in the other. */

import { POOL_SETS } from "./input-pool.ts";
import { roundOrders } from "./order.ts";
import type { PairContext } from "./pair-context.ts";
import { inOrder } from "./pair-processes.ts";
import type { TimedBench } from "./timed-bench.ts";

/** Significant digits of a time that are kept: a millionth is far below what any slice can tell, and results stay small. */
const KEPT_DIGITS = 6;
/** Measures all rounds; times are added to the benches. Before each slice young garbage is collected, and all before the warm-up. */
export async function measureRounds(
  { settings, random, processes, outcomes }: PairContext,
  benches: readonly TimedBench[],
): Promise<void> {
  const { seed, index } = settings;
  const orders = new Map(benches.map(({ ref, rounds }) => [ref.id, roundOrders(seed, ref.id, index, rounds)]));
  const most = Math.max(0, ...benches.map(({ rounds }) => rounds));
  for (let round = 0; round < most; round++) {
    for (const bench of random.shuffle(benches)) {
      const { id } = bench.ref;
      const first = random.below(POOL_SETS);
      if (round >= bench.rounds || outcomes.has(id)) continue;
      try {
        for (const name of inOrder(orders.get(id)?.[round] ?? "base-first")) {
          const renew = round % bench.renewEvery === 0 ? bench.renew : 0;
          const { callNs } = await processes.askAlone(name, id, { kind: "slice", id, first, renew, collect: "minor" });
          bench[name].push(Number(callNs.toPrecision(KEPT_DIGITS)));
        }
      } catch (error) {
        outcomes.fail(error);
      }
    }
  }
}
