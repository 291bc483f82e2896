/** What a run would do, before it does it: benches, pairs, time, and what it would find. */

import { formatDuration, formatPercent } from "../report/format.ts";
import { formatTable } from "../report/table.ts";
import { nothingMeasured } from "../report/verdicts.ts";
import { faultOfFirstCall } from "../paired/arms/preflight.ts";
import { beginScreen, furtherScreenPairs, pairMs, patienceMs, planConfirm, shapeOf } from "./budget.ts";
import { detectableEffect } from "./detectable.ts";
import { GATE_PARTS, type GateParts } from "./gate-parts.ts";
import type { GateProgress, GateRequest } from "./gate-request.ts";
import { FEWEST_PAIRS } from "../define/settings.ts";
import { budgetMsOf, CONTROLS_EVERY, prepareArms, setUpGate, type GateArms, type GateSetup } from "./prepare.ts";

/** Stages and checks both builds, measures nothing, and tells the plan. */
export async function planText(
  request: GateRequest,
  progress: GateProgress,
  parts: GateParts = GATE_PARTS,
): Promise<string> {
  const setup = await setUpGate(request, parts);
  const arms = await prepareArms(request, setup, progress, parts);
  arms.staged.remove();
  const preparedMs = parts.now() - setup.startedAt;
  const { config, policy, calibration } = setup;
  const { refs, checked, staged } = arms;
  const nothing = nothingMeasured({ identical: arms.identical, allNew: arms.allNew });
  if (nothing !== undefined && arms.entries.length === 0) return `${nothing}\n`;
  const controls = parts.controlBenches();
  const budgetMs = budgetMsOf(setup);
  const onePair = pairMs([...refs, ...controls], shapeOf(policy, "screen"));
  const screen = beginScreen(policy, onePair, budgetMs, preparedMs);
  const screenPairs = screen.pairs + furtherScreenPairs(policy, refs.length, screen.pairs, onePair);
  const screenMs = screenPairs * onePair;
  const first = refs[0];
  const suspectMs =
    first === undefined
      ? 0
      : pairMs(
          [first, ...controls.map((control) => ({ ...control, every: CONTROLS_EVERY }))],
          shapeOf(policy, "confirm"),
        );
  const patience = patienceMs(policy, refs.length);
  const laterMs = budgetMs ?? (patience === null ? null : preparedMs + patience);
  const confirm = planConfirm(policy.confirmPairs, FEWEST_PAIRS, suspectMs, laterMs, preparedMs + screenMs);
  const lines = [
    `base: ${staged.base.resolved}`,
    `head: ${staged.head.resolved}`,
    "",
    ...benchTable(arms, setup, screenPairs),
    "",
    ...checked.failing.map(({ base }) => `fails in base, not compared: ${base.id}, ${faultOfFirstCall(base)}`),
    ...checked.added.map(({ id }) => `only in head, not compared: ${id}`),
    `screening: ${screenPairs} pairs of ${refs.length} benches, about ${formatDuration(screenMs)}`,
    `confirmation: ${confirm.pairs} pairs of what is suspected or not cleared, about ${formatDuration(confirm.pairs * suspectMs)} for one`,
    ...(policy.extensionPairs === 0
      ? []
      : [`extension: ${policy.extensionPairs} pairs of each bench that the confirmation leaves open`]),
    ...(budgetMs === null ? [] : [`budget: ${formatDuration(budgetMs)}`]),
    ...(budgetMs !== null || patience === null
      ? []
      : [`${policy.profile}: no pair of what is open is begun ${formatDuration(patience)} after the first`]),
    `profile ${policy.profile}, seed ${config.settings.seed}`,
    calibration === undefined
      ? setup.foreignCalibration
        ? "MDE: unknown, the calibration is of another class of machine"
        : "MDE: unknown before `calibrate` has measured how much identical code differs here"
      : `MDE: smallest change that would be found in 95 of 100 runs, by ${calibration.runs} runs of ${calibration.createdAt.slice(0, 10)}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** Threshold of each bench, and the smallest change that so many pairs would find. */
function benchTable({ entries }: GateArms, { policy, calibration }: GateSetup, screenPairs: number): string[] {
  const confirmPairs = policy.confirmPairs + policy.extensionPairs;
  const rows = entries.map(({ id, delta, failure }) => {
    const sw = calibration?.benches[id]?.sw;
    const found =
      sw === undefined ? "–" : formatPercent(detectableEffect({ sw, delta, screenPairs, confirmPairs }, policy));
    return [id, formatPercent(delta), found, failure ?? ""];
  });
  return formatTable(
    [
      { title: "bench", align: "left" },
      { title: "threshold", align: "right" },
      { title: "MDE", align: "right" },
      { title: "", align: "left" },
    ],
    rows,
  );
}
