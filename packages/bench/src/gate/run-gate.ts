/**
 * A gate run from beginning to end: stage both builds, check that they are what they should be, screen all benches,
 * measure suspects again on fresh processes, judge, and record.
 *
 * Verdicts come from `judge`, a pure function of what is recorded; this file decides only what is measured, and when to
 * stop. Once measuring has begun nothing is lost: an interruption or the end of the budget gives a result that says so.
 */

import { changedFacts, type Fingerprint } from "../paired/fingerprint.ts";
import { emptyMemory, type BenchRef, type MeasurePlan } from "../paired/plan.ts";
import { speedIndex, type SpeedIndex } from "../paired/controls.ts";
import { pressureBetween } from "../paired/pressure.ts";
import type { Pressure, Results } from "../results/schema.ts";
import { beginScreen, furtherScreenPairs, pairMs, patienceMs, planConfirm, shapeOf } from "./budget.ts";
import { ceilingsOf } from "./ceilings.ts";
import { GATE_PARTS, type GateParts } from "./gate-parts.ts";
import { resultsOf, type RunFacts } from "./gate-results.ts";
import type { GateProgress, GateRequest } from "./gate-request.ts";
import { LoadedCheck } from "./loaded-check.ts";
import { extendable, suspectsOf } from "./judge.ts";
import { FEWEST_PAIRS } from "../define/settings.ts";
import { isAdvisory } from "./policy.ts";
import {
  budgetMsOf,
  CONTROLS_EVERY,
  environmentOf,
  prepareArms,
  setUpGate,
  type GateArms,
  type GateSetup,
} from "./prepare.ts";
import { faultOf, isEvaluated } from "./screen.ts";
import { RunState } from "./run-state.ts";
import type { StageName } from "./samples.ts";

/**
 * Runs a gate. Before measuring begins it throws a `UserError` (what is wrong in the request or in a build; a `Refusal` has an
 * `exitCode`), or the reason of the signal; from then on the outcome is in the result.
 */
export async function runGate(
  request: GateRequest,
  progress: GateProgress,
  parts: GateParts = GATE_PARTS,
): Promise<Results> {
  const setup = await setUpGate(request, parts);
  const arms = await prepareArms(request, setup, progress, parts);
  try {
    return await new GateRun(request, setup, arms, progress, parts).run();
  } finally {
    arms.staged.remove();
  }
}

class GateRun {
  readonly #request: GateRequest;
  readonly #setup: GateSetup;
  readonly #arms: GateArms;
  readonly #progress: GateProgress;
  readonly #parts: GateParts;
  readonly #startedAt: number;
  readonly #state: RunState;
  readonly #loaded: LoadedCheck;
  readonly #memory = emptyMemory();
  /** Index of the next pair: stages go on counting. */
  #nextIndex = 0;
  /** How much longer pairs take than predicted: measured by the stages so far. */
  #slowness = 1;
  /** When measuring began, ms from the start. */
  #measuringMs = 0;

  constructor(request: GateRequest, setup: GateSetup, arms: GateArms, progress: GateProgress, parts: GateParts) {
    this.#request = request;
    this.#setup = setup;
    this.#arms = arms;
    this.#progress = progress;
    this.#parts = parts;
    this.#startedAt = setup.startedAt;
    this.#state = new RunState(arms.entries);
    this.#loaded = new LoadedCheck(arms.staged, arms.loaded, setup.config.shared);
  }

  async run(): Promise<Results> {
    const { nodeOptions } = this.#setup.config;
    const { measureSpeed } = this.#parts;
    const readFingerprint = (): Fingerprint =>
      this.#parts.readFingerprint(nodeOptions, { pinning: this.#setup.pin.text });
    const before = readFingerprint();
    if (this.#arms.identical || this.#arms.allNew) return this.#results(before, before, []);
    const pressureBefore = this.#parts.readPressure();
    const firstSpeed = await measureSpeed();
    await this.#measureStages();
    this.#progress("measuring", "the machine once more");
    // Who has pressed Ctrl-C waits for nothing more.
    const speed = this.#state.aborted ? undefined : await this.#speedAtEnd(firstSpeed);
    const after = readFingerprint();
    const pressure = pressureBetween(pressureBefore, this.#parts.readPressure());
    const disturbances = [
      ...(speed?.throttled === true
        ? [`the machine was ${Math.round(100 * (1 - speed.ratio))} % slower at the end than at the start`]
        : []),
      ...[...this.#state.changedFiles].map((file) => `${file} changed while it was measured`),
      ...this.#state.failedControls.values(),
    ];
    return this.#results(before, after, disturbances, pressure);
  }

  /**
   * A clock that was lowered stays so; what neighbours take for a moment does not make a run invalid. Undefined after Ctrl-C,
   * which ends the control: what the stages have measured is kept, as that of an interrupted run.
   */
  async #speedAtEnd(firstNs: number): Promise<SpeedIndex | undefined> {
    const { signal } = this.#request;
    let fastest = Infinity;
    try {
      for (const pauseMs of SPEED_PAUSES_MS) {
        if (pauseMs > 0) await this.#parts.wait(pauseMs);
        signal?.throwIfAborted();
        fastest = Math.min(fastest, await this.#parts.measureSpeed());
        if (!speedIndex(firstNs, fastest).throttled) break;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
      this.#state.aborted = true;
      return undefined;
    }
    return speedIndex(firstNs, fastest);
  }

  get #spentMs(): number {
    return this.#parts.now() - this.#startedAt;
  }

  get #budgetMs(): number | null {
    return budgetMsOf(this.#setup);
  }

  /** When later stages end, ms from the start of the run; null: when all is measured. */
  get #laterUntilMs(): number | null {
    const { policy } = this.#setup;
    const patience = patienceMs(policy, this.#arms.refs.length);
    return this.#budgetMs ?? (patience === null ? null : this.#measuringMs + patience);
  }

  /** Not all was measured. */
  #cut(): void {
    if (this.#budgetMs === null) this.#state.cutShort = true;
    else this.#state.outOfTime = true;
  }

  #results(before: Fingerprint, after: Fingerprint, disturbances: readonly string[], pressure?: Pressure): Results {
    const { config, policy } = this.#setup;
    const facts: RunFacts = {
      request: this.#request,
      policy,
      seed: config.settings.seed,
      threads: config.settings.threads,
      startedAt: this.#startedAt,
      wallMs: this.#spentMs,
      arms: this.#arms,
      before,
      after,
      changed: changedFacts(before, after),
      disturbances,
      pressure,
      foreignCalibration: this.#setup.foreignCalibration,
      foreignFiles: [...this.#state.foreignFiles],
      advisory: this.#request.advisory === true || isAdvisory(policy.profile),
      machine: this.#parts.describeMachine(this.#setup.calibration?.roofline),
    };
    return resultsOf(this.#state, facts);
  }

  async #measureStages(): Promise<void> {
    const { policy } = this.#setup;
    const { refs } = this.#arms;
    if (refs.length === 0) return;
    this.#measuringMs = this.#spentMs;
    await this.#screen(refs);
    await this.#measureAgain("confirm", policy.confirmPairs, suspectsOf(this.#record(), policy));
    if (policy.extensionPairs > 0) {
      await this.#measureAgain("extension", policy.extensionPairs, extendable(this.#record(), policy));
    }
  }

  async #screen(refs: readonly BenchRef[]): Promise<void> {
    const { policy } = this.#setup;
    const all = [...refs, ...this.#parts.controlBenches()];
    const onePair = pairMs(all, shapeOf(policy, "screen"));
    const screen = beginScreen(policy, onePair, this.#budgetMs, this.#spentMs);
    await this.#stage("screen", all, screen);
    if (screen.cut) this.#cut();
    if (!this.#isWorthMore) return;
    const pairs = furtherScreenPairs(policy, refs.length, screen.pairs, this.#slowness * onePair);
    // A bench that hangs would do so once more, and one that is too short stays so.
    const left = this.#state.benches().filter((bench) => faultOf(bench) === undefined && isEvaluated(bench));
    const ids = new Set(left.map(({ id }) => id));
    const sound = refs.filter(({ id }) => ids.has(id));
    if (pairs === 0 || sound.length === 0) return;
    await this.#stage("screen", [...sound, ...this.#controls()], { pairs, untilMs: undefined });
  }

  /** Without those that have failed: the run is invalid by them already, and one that hangs would do so once more. */
  #controls(): BenchRef[] {
    return this.#parts.controlBenches().filter(({ id }) => !this.#state.failedControls.has(id));
  }

  /** False where what ran was not what was asked for, or nobody waits for more of it. */
  get #isWorthMore(): boolean {
    return !this.#state.aborted && this.#state.foreignFiles.size === 0;
  }

  /** A later stage, of some benches. */
  async #measureAgain(stage: StageName, pairs: number, ids: readonly string[]): Promise<void> {
    if (ids.length === 0 || !this.#isWorthMore) return;
    // A few suspects would take less time than the controls beside them.
    const controls = this.#controls().map((control) => ({ ...control, every: CONTROLS_EVERY }));
    const refs = [...this.#arms.refs.filter(({ id }) => ids.includes(id)), ...controls];
    const onePair = this.#slowness * pairMs(refs, shapeOf(this.#setup.policy, stage));
    const plan = planConfirm(pairs, FEWEST_PAIRS, onePair, this.#laterUntilMs, this.#spentMs);
    if (plan.pairs < pairs) this.#cut();
    if (plan.pairs > 0) await this.#stage(stage, refs, plan);
  }

  #record(): ReturnType<RunState["record"]> {
    return this.#state.record(this.#setup.config.settings.seed);
  }

  async #stage(
    stage: StageName,
    benches: readonly BenchRef[],
    { pairs, untilMs }: { readonly pairs: number; readonly untilMs: number | undefined },
  ): Promise<void> {
    const { config, policy } = this.#setup;
    const { base, head } = this.#arms.staged;
    const shape = shapeOf(policy, stage);
    const plan: MeasurePlan = {
      benches,
      arms: [base, head],
      pairs,
      firstIndex: this.#nextIndex,
      ...shape,
      seed: config.settings.seed,
      deadline: untilMs === undefined ? undefined : this.#startedAt + untilMs,
      signal: this.#request.signal,
      timeoutMs: 1000 * config.settings.timeoutS,
      env: environmentOf(config),
      nodeOptions: config.nodeOptions,
      processors: this.#setup.pin.processors,
      peaks: ceilingsOf(this.#setup.calibration?.roofline ?? []),
      memory: this.#memory,
    };
    const what = `${STAGE_TEXT[stage]} ${count(benches.filter(({ control }) => control !== true).length)}`;
    const samples = await this.#parts.measurePairs(plan, ({ text, share, leftMs }) =>
      this.#progress(what, text, share, leftMs),
    );
    this.#nextIndex += pairs;
    if (!samples.outOfTime && !samples.aborted) {
      this.#slowness = Math.max(0.2, samples.wallMs / (pairs * pairMs(benches, shape)));
    }
    if (samples.outOfTime) this.#cut();
    this.#state.add(stage, samples);
    const { foreign, changed } = this.#loaded.add(samples.loaded);
    for (const text of foreign) this.#state.foreignFiles.add(text);
    for (const path of changed) this.#state.changedFiles.add(path);
  }
}

/** Pauses before looks at the speed: a neighbour may stay for seconds. */
const SPEED_PAUSES_MS: readonly number[] = [0, 1000, 2000, 4000, 8000];

const STAGE_TEXT: Readonly<Record<StageName, string>> = {
  screen: "screening",
  confirm: "confirming",
  extension: "measuring more of",
};

function count(benches: number): string {
  return benches === 1 ? "1 bench" : `${benches} benches`;
}
