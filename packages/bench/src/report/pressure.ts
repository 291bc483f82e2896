/** What others took from the machine while a run measured, in one line. It is shown and decides nothing. */

import type { Results } from "../results/schema.ts";
import { formatDuration, formatPercent } from "./format.ts";

/** A smaller share of the processors' time that went to other machines is nothing to speak of, */
const NOTABLE_STEAL = 0.01;
/** nor that some task waited for a processor for less of the run: both processes of a pair warm up side by side. */
const NOTABLE_STALL = 0.25;

interface Part {
  readonly text: string;
  readonly notable: boolean;
}

function partsOf({ environment, run, machine }: Results): Part[] {
  const {
    stealMs = null,
    throttledPeriods = null,
    involuntarySwitches = null,
    stalledMs = null,
  } = environment?.pressure ?? {};
  const wallMs = Math.max(1, run?.wallMs ?? 1);
  const stolen = (stealMs ?? 0) / (wallMs * Math.max(1, machine.cpu.cores));
  const stalled = (stalledMs ?? 0) / wallMs;
  return [
    ...(stealMs === null
      ? []
      : [
          {
            text: `${formatPercent(stolen)} of the processors' time went to other machines`,
            notable: stolen > NOTABLE_STEAL,
          },
        ]),
    ...(throttledPeriods === null
      ? []
      : [{ text: `quota used up in ${throttledPeriods} periods`, notable: throttledPeriods > 0 }]),
    ...(stalledMs === null
      ? []
      : [{ text: `tasks waited for a processor for ${formatDuration(stalledMs)}`, notable: stalled > NOTABLE_STALL }]),
    ...(involuntarySwitches === null
      ? []
      : [{ text: `the orchestrator was interrupted ${involuntarySwitches} times`, notable: false }]),
  ];
}

/** All that is known; undefined where nothing is. */
export function pressureText(results: Results): string | undefined {
  const parts = partsOf(results);
  return parts.length === 0 ? undefined : parts.map(({ text }) => text).join(", ");
}

/** What is worth a line in a report that has few; none otherwise. */
export function pressureLines(results: Results): string[] {
  const notable = partsOf(results).filter((part) => part.notable);
  return notable.length === 0 ? [] : [`while it measured: ${notable.map(({ text }) => text).join(", ")}`];
}
