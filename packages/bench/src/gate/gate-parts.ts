/** What a gate is put together from. Tests put in others: a fake machine has no noise, and takes no time. */

import { setTimeout } from "node:timers/promises";
import { listBenches } from "../define/list-benches.ts";
import { loadConfig } from "../define/load-config.ts";
import { describeMachine } from "../harness/machine.ts";
import { stageArms } from "../paired/arms/stage.ts";
import { preflight } from "../paired/arms/preflight.ts";
import { controlBenches, measureSpeed } from "../paired/controls.ts";
import { readFingerprint } from "../paired/fingerprint.ts";
import { planPinning } from "../paired/pinning.ts";
import { readPressure } from "../paired/pressure.ts";
import { measurePairs } from "../paired/measure.ts";

export interface GateParts {
  readonly loadConfig: typeof loadConfig;
  readonly stageArms: typeof stageArms;
  readonly listBenches: typeof listBenches;
  readonly preflight: typeof preflight;
  readonly controlBenches: typeof controlBenches;
  readonly measureSpeed: typeof measureSpeed;
  readonly readFingerprint: typeof readFingerprint;
  readonly readPressure: typeof readPressure;
  readonly planPinning: typeof planPinning;
  readonly measurePairs: typeof measurePairs;
  readonly describeMachine: typeof describeMachine;
  readonly now: () => number;
  readonly wait: (ms: number) => Promise<void>;
}

export const GATE_PARTS: GateParts = {
  loadConfig,
  stageArms,
  listBenches,
  preflight,
  controlBenches,
  measureSpeed,
  readFingerprint,
  readPressure,
  planPinning,
  measurePairs,
  describeMachine,
  now: Date.now,
  wait: (ms) => setTimeout(ms),
};
