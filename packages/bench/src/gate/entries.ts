/** What the benches of both arms are to a run: their thresholds, what is known to be wrong with them, and what can be measured. */

import { UserError } from "@quern/core/errors";
import { deltaOf } from "../define/resolve-config.ts";
import type { ListedBench } from "../define/list-benches.ts";
import type { ArmPair } from "../paired/arms/arm.ts";
import { BENCH_CHANGED } from "../paired/arms/bench-changes.ts";
import { faultOfFirstCall, type Preflight } from "../paired/arms/preflight.ts";
import type { BenchRef } from "../paired/plan.ts";
import type { Calibration } from "./calibration.ts";
import type { GatePolicy } from "./policy.ts";
import type { GateSetup } from "./prepare.ts";
import type { EntryFacts } from "./run-state.ts";

/**
 * The benches that a run has a verdict for: those that both arms have, those that the head has lost, and those that fail in it,
 * or give a wrong output there, be they new.
 */
export function entriesOf(checked: Preflight, setup: GateSetup): EntryFacts[] {
  const entry = (bench: ListedBench, more: Pick<EntryFacts, "recentMdes" | "flags" | "failure">): EntryFacts => ({
    id: bench.id,
    params: bench.params,
    work: bench.work,
    delta: deltaFor(setup, bench),
    ...more,
  });
  return [
    ...checked.compared.map(({ head }) => {
      return entry(head, {
        recentMdes: recentMdesOf(setup.calibration, head, setup.policy),
        ...(checked.changed.has(head.id) ? { flags: [BENCH_CHANGED] } : {}),
        ...failureOf(head),
      });
    }),
    // A new one is not measured, so that its output is looked at here alone.
    ...checked.added.flatMap((bench) => {
      const fault = failureOf(bench);
      return fault === undefined ? [] : [entry(bench, fault)];
    }),
    ...checked.missing.map((bench) =>
      entry(bench, { failure: 'head: the bench is missing; "removed" in the configuration declares that it is gone' }),
    ),
  ];
}

/**
 * Of a bench whose first call fails in the head, or gives a wrong output there, whatever it does in the base. Measuring would miss
 * a fault that only the first call has. One that fails in the base alone is not compared.
 */
function failureOf(head: ListedBench): { readonly failure: string } | undefined {
  const fault = faultOfFirstCall(head);
  return fault === undefined ? undefined : { failure: `head: ${fault}` };
}

/**
 * The threshold of a bench: at least twice what another build of the same code moves it. Throws a `UserError` for one within the
 * margin of the test, where no change would be found.
 */
function deltaFor({ config, calibration, policy }: GateSetup, bench: ListedBench): number {
  const floor = calibration?.benches[bench.id]?.layoutFloor ?? 0;
  const delta = Math.max(deltaOf(config, bench), 2 * floor);
  if (delta > policy.delta0) return delta;
  throw new UserError(`the threshold ${delta} of the bench "${bench.id}" is not above the margin ${policy.delta0}`, {
    where: "delta",
    hint: "A change that counts as none cannot be one that matters: raise it in the bench or in `deltas`, or lower delta0.",
  });
}

/** What earlier runs could see of identical code: with this one, as many as make a bench unstable. */
function recentMdesOf(
  calibration: Calibration | undefined,
  { id }: ListedBench,
  { unstableRuns }: GatePolicy,
): readonly number[] {
  const mdes = calibration?.benches[id]?.mdes ?? [];
  return mdes.slice(Math.max(0, mdes.length + 1 - unstableRuns));
}

/** What is measured of a bench that both arms have: as the head has it, from the file of each. */
export function refOf({ base, head }: ArmPair<ListedBench>): BenchRef {
  const { id, file, family, native, params, work, delta } = head;
  return {
    id,
    file,
    ...(base.file === file ? {} : { baseFile: base.file }),
    ...(family === undefined ? {} : { family }),
    ...(native === undefined ? {} : { native }),
    ...(params === undefined ? {} : { params }),
    ...(work === undefined ? {} : { work }),
    ...(delta === undefined ? {} : { delta }),
  };
}
