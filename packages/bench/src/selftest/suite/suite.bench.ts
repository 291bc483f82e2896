/**
 * The suite that the acceptance tests of the gate measure: 20 benches, an ordinary bench file that is staged twice.
 *
 * A call repeats units of its kernel, 100 times; `injected.json` in the arm's folder asks for more or fewer, so that a change of
 * a known size is real work in the same code. Outputs do not depend on it.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench } from "../../define/bench.ts";
import { PARTS, kernels, type Kernel } from "./kernels.ts";

/** What `injected.json` holds. */
interface Injection {
  /** Repetitions by bench, instead of 100. */
  readonly repetitions?: Readonly<Record<string, number>>;
  /** The machine becomes slower: repetitions of all benches grow by this share from one time to another. */
  readonly drift?: { readonly from: number; readonly to: number; readonly share: number };
}

interface State {
  readonly repetitions: number;
  readonly drift: Injection["drift"];
  readonly out: Float64Array;
}

const REPETITIONS = 100;
const FAMILIES = 5;

function repetitionsNow({ repetitions, drift }: State): number {
  if (drift === undefined) return repetitions;
  const share = (Date.now() - drift.from) / (drift.to - drift.from);
  return Math.round(repetitions * (1 + drift.share * Math.min(Math.max(share, 0), 1)));
}

function benchOf({ id, unit }: Kernel, index: number): Bench<State, Float64Array, Float64Array> {
  return {
    id,
    family: `suite-${index % FAMILIES}`,
    setup: ({ directory }) => {
      const injected = JSON.parse(readFileSync(join(directory, "injected.json"), "utf8")) as Injection;
      const drift = injected.drift;
      // Fine steps: one repetition more must be no step that a pair could see.
      const scale = drift === undefined ? 1 : 4;
      return {
        repetitions: scale * (injected.repetitions?.[id] ?? REPETITIONS),
        drift,
        out: new Float64Array(PARTS),
      };
    },
    inputs: (random) => Float64Array.from({ length: 4096 }, () => random.uniform()),
    run(state, data) {
      const count = repetitionsNow(state);
      for (let i = 0; i < count; i++) state.out[i % PARTS] = unit(data, i % PARTS);
      return state.out;
    },
    check: (data, out) => out.reduce((worst, value, part) => Math.max(worst, Math.abs(value - unit(data, part))), 0),
  };
}

const suite: readonly Bench<State, Float64Array, Float64Array>[] = kernels.map(benchOf);

export default suite;
