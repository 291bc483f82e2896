/**
 * What measuring adds to what is measured: a body of about a millisecond, timed by the harness and by nothing but two
 * readings of the clock around the same calls, slice by slice in turn.
 */

import type { Bench } from "../define/bench.ts";
import { Random } from "../harness/random.ts";
import { median } from "../statistics/basics.ts";
import { POOL_SETS } from "./input-pool.ts";
import type { Timed } from "./loops.ts";
import { BenchSession } from "./session.ts";

const now: () => bigint = process.hrtime.bigint.bind(process.hrtime);

export interface Overhead {
  /** Time of a call between two bare readings of the clock, ns. */
  readonly bareNs: number;
  /** As the harness reports it. */
  readonly measuredNs: number;
  /** Median over slices of measured time over bare time, less one. */
  readonly share: number;
  /**
   * Of every slice: logarithm of its mean time of a call over that of the bare calls beside it. The harness reports a mean that
   * leaves out slow calls; like is compared with like here.
   */
  readonly logs: readonly number[];
}

const TERMS = 380_000;
const LENGTH = 256;
const CALLS = 5;
const SLICE_MS = 5;

const body: Bench<undefined, Float64Array, number> = {
  id: "overhead",
  inputs: (random) => Float64Array.from({ length: LENGTH }, () => 0.5 + 0.25 * random.uniform()),
  run: (_, factors) => {
    let sum = 0.1;
    for (let i = 0; i < TERMS; i++) sum = sum * (factors[i % LENGTH] as number) + 0.25;
    return sum;
  },
  check: (_, sum) => (sum > 0.5 && sum < 1 ? 0 : 1),
};

type PlainRun = (state: undefined, input: Float64Array) => number;

function plainCalls(run: PlainRun, sets: readonly Float64Array[]): number {
  const before = now();
  for (let i = 0; i < CALLS; i++) run(undefined, sets[i] as Float64Array);
  return Number(now() - before) / CALLS;
}

const STRANGERS: readonly PlainRun[] = [() => 1, (_, input) => input.length, () => 0];

/** Measures in this process: `slices` of each kind, in random order. */
export async function measureOverhead(slices: number, seed: number): Promise<Overhead> {
  const random = Random.of(seed, "overhead");
  const { session } = await BenchSession.open(body as Bench, { seed, index: 0, directory: "." });
  await session.warmUp("call", 150, SLICE_MS);
  const sets = Array.from({ length: POOL_SETS }, () => body.inputs?.(random, undefined) as Float64Array);
  const run = body.run as PlainRun;
  // As in the loops of the harness, or V8 would inline the body into this loop and compile both to other code.
  for (const stranger of STRANGERS) for (let i = 0; i < 100; i++) plainCalls(stranger, sets);
  const bare = (): number => plainCalls(run, sets);
  const measured = (): Promise<Timed> => session.slice(0, 0, "none");
  const pairs: { bare: number; measured: Timed }[] = [];
  for (let slice = 0; slice < slices; slice++) {
    if (random.uniform() < 0.5) {
      const first = bare();
      pairs.push({ bare: first, measured: await measured() });
    } else {
      const first = await measured();
      pairs.push({ bare: bare(), measured: first });
    }
  }
  const { fault } = await session.finish();
  if (fault !== null) throw new Error(`the body of the overhead test is wrong: ${fault}`);
  return {
    bareNs: median(pairs.map((pair) => pair.bare)),
    measuredNs: median(pairs.map((pair) => pair.measured.callNs)),
    share: median(pairs.map((pair) => pair.measured.callNs / pair.bare)) - 1,
    logs: pairs.map((pair) => Math.log(pair.measured.spentNs / pair.measured.calls / pair.bare)),
  };
}
