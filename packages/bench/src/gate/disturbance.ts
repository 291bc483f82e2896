/**
 * What the control kernels say about the machine. A control is the same file in both arms: if its ratio moves, something
 * other than the code under test moved it; if its slices jump, the rounds around them are of no use.
 */

import { analyse, isOutside, ratioEstimate } from "./estimate.ts";
import type { GatePolicy } from "./policy.ts";
import { pairKey, pairLogRatios, type DroppedRounds, type StageName } from "./samples.ts";
import type { ControlVerdict, GateRecord, MeasuredControl } from "./types.ts";
import { change, share } from "./wording.ts";

export interface Disturbance {
  readonly controls: readonly ControlVerdict[];
  /** Rounds to drop from the benches too: those of controls that ran between them. */
  readonly dropped: DroppedRounds;
  /** Why the run is invalid; empty if it is not. */
  readonly invalid: readonly string[];
}

/** Below this many pairs a stage is not looked at by itself. */
const FEWEST_FOR_STAGE = 8;

/** Judges controls and environment. */
export function judgeEnvironment(record: GateRecord, policy: GatePolicy): Disturbance {
  const found = record.controls.map((control) => ({ control, ...disturbedRounds(control, policy.controlSpike) }));
  const controls = found.map(({ control, rounds, disturbed }) =>
    judgeControl(control, rounds, disturbed, policy, record.seed),
  );
  const { changed, disturbances = [] } = record;
  return {
    controls,
    dropped: union(found.filter(({ control }) => control.shared === true).map(({ rounds }) => rounds)),
    invalid: reasonsOf({ changed, disturbances, controls }, policy),
  };
}

/** Why a run is worthless, in the words of the verdicts and of every report. */
export function reasonsOf(
  {
    changed,
    disturbances = [],
    controls,
  }: Pick<GateRecord, "changed" | "disturbances"> & Pick<Disturbance, "controls">,
  policy: Pick<GatePolicy, "maxDisturbed" | "controlSpike">,
): string[] {
  return [
    ...(changed.length === 0 ? [] : [`the machine changed during the run: ${changed.join(", ")}`]),
    ...disturbances,
    ...controls.flatMap((control) => complaints(control, policy)),
  ];
}

function complaints(
  { id, moved, disturbed, estimate }: ControlVerdict,
  policy: Pick<GatePolicy, "maxDisturbed" | "controlSpike">,
): string[] {
  const slow = disturbed > policy.maxDisturbed;
  return [
    ...(moved && !slow
      ? [`the control ${id}, the same code in both arms, changed by ${change(estimate?.ratio ?? 1)}`]
      : []),
    ...(slow
      ? [
          `${share(disturbed)} of the rounds of the control ${id} have one slice above ${policy.controlSpike} times the other`,
        ]
      : []),
  ];
}

/** Looks at every stage by itself too: a shift in one may vanish among the pairs of the others. */
function judgeControl(
  { id, stages }: MeasuredControl,
  rounds: DroppedRounds,
  disturbed: number,
  policy: GatePolicy,
  seed: number,
): ControlVerdict {
  const views: (readonly StageName[] | undefined)[] = [
    undefined,
    ...stages.filter(({ pairs }) => pairs.length >= FEWEST_FOR_STAGE).map(({ stage }) => [stage]),
  ];
  const analyses = views.map((names) => analyse(pairLogRatios(stages, names, rounds)));
  const outside = analyses.find((analysis) => analysis !== null && isOutside(analysis, policy.controlMargin));
  const shown = outside ?? analyses[0] ?? null;
  const stage = views[outside === undefined ? 0 : analyses.indexOf(outside)]?.[0] ?? "all";
  const { screenPairs, confirmPairs } = policy;
  const context = { id, stage, delta: policy.controlMargin, seed, policy, screenPairs, confirmPairs };
  return {
    id,
    estimate:
      shown === null
        ? null
        : ratioEstimate(shown, { ...context, direction: shown.found.centre < 0 ? "faster" : "slower" }),
    disturbed,
    moved: outside !== undefined || disturbed > policy.maxDisturbed,
  };
}

/**
 * Rounds in which the slice of one arm took far longer than that of the other. A machine that is slow in both of them, because
 * of a neighbour or a lower clock, leaves their ratio alone.
 */
function disturbedRounds(
  { stages }: MeasuredControl,
  spike: number,
): { readonly rounds: DroppedRounds; readonly disturbed: number } {
  const rounds = new Map<string, Set<number>>();
  let total = 0;
  let hit = 0;
  for (const { stage, pairs } of stages) {
    for (const { index, base, head } of pairs) {
      const apart = (time: number, other: number): boolean => Math.max(time, other) > spike * Math.min(time, other);
      const slow = new Set(base.flatMap((time, round) => (apart(time, head[round] ?? time) ? [round] : [])));
      total += base.length;
      hit += slow.size;
      if (slow.size > 0) rounds.set(pairKey(stage, index), slow);
    }
  }
  return { rounds, disturbed: total === 0 ? 0 : hit / total };
}

function union(all: readonly DroppedRounds[]): DroppedRounds {
  const merged = new Map<string, Set<number>>();
  for (const rounds of all) {
    for (const [key, set] of rounds) merged.set(key, new Set([...(merged.get(key) ?? []), ...set]));
  }
  return merged;
}
