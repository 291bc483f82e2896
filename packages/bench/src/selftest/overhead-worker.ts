/** A process of the overhead test: measures once, with code that V8 has compiled anew. */

import type { Bench } from "../define/bench.ts";
import { serve } from "../harness/worker-process.ts";
import { measureOverhead, type Overhead } from "../paired/overhead.ts";
import { BenchSession } from "../paired/session.ts";
import { boundBy, type Bound } from "../paired/timed-bench.ts";

export interface OverheadRequest {
  readonly kind: "overhead";
  readonly slices: number;
  readonly seed: number;
}

export interface OverheadAnswer {
  readonly kind: "overhead";
  readonly overhead: Overhead;
  /** The body of some 20 ns: what a call takes, and what the harness says of it. */
  readonly shortNs: number;
  readonly bound: Bound | undefined;
}

const TERMS = 6;

/** Multiplications and additions of which each waits for the one before: 20 ns at 2.5 GHz. */
const short: Bench<undefined, Float64Array, number> = {
  id: "short",
  inputs: (random) => Float64Array.from({ length: TERMS }, () => 0.5 + 0.25 * random.uniform()),
  run: (_, factors) => {
    let sum = 0.1;
    for (let i = 0; i < TERMS; i++) sum = sum * (factors[i] as number) + 0.25;
    return sum;
  },
};

serve(async ({ slices, seed }: OverheadRequest): Promise<OverheadAnswer> => {
  const overhead = await measureOverhead(slices, seed);
  const { opened } = await BenchSession.open(short as Bench, { seed, index: 0, directory: "." });
  const { callNs, timerNs: readingNs, emptyNs } = opened;
  const bound = boundBy({ readingNs, emptyNs: emptyNs ?? 0 }, callNs);
  return { kind: "overhead", overhead, shortNs: callNs, bound };
});
