/**
 * What comes before measuring: the configuration, both builds in their directories, and what benches are in them. All that
 * can be wrong with a request is found here.
 */

import { randomInt } from "node:crypto";
import { UserError } from "@quern/core/errors";
import { resolveConfig, type ResolvedConfig } from "../define/resolve-config.ts";
import { filterPart } from "../define/filter.ts";
import type { LoadedConfig } from "../define/load-config.ts";
import { adviceFor } from "../paired/arms/advice.ts";
import { CommandFailure } from "../paired/arms/command.ts";
import { commitOf, messagesBetween, rootOfRepository } from "../paired/arms/git.ts";
import type { ArmPair, LoadedFile } from "../paired/arms/arm.ts";
import type { StagedPair } from "../paired/arms/stage.ts";
import type { Preflight } from "../paired/arms/preflight.ts";
import type { BenchRef } from "../paired/plan.ts";
import type { PinPlan } from "../paired/pinning.ts";
import { collectAcceptances, requireKnownBenches, type Acceptance } from "./accept.ts";
import { readCalibration, type Calibration } from "./calibration.ts";
import { entriesOf, refOf } from "./entries.ts";
import { GATE_PARTS, type GateParts } from "./gate-parts.ts";
import type { GateProgress, GateRequest } from "./gate-request.ts";
import type { GatePolicy } from "./policy.ts";
import { policyOf, presetsWith } from "./presets.ts";
import type { EntryFacts } from "./run-state.ts";
import { withinBudget } from "./within-budget.ts";

/** Controls of later stages are measured in every fourth pair. */
export const CONTROLS_EVERY = 4;

/** What is needed before anything is staged. */
export interface GateSetup {
  /** When the run began, ms since 1970. */
  readonly startedAt: number;
  readonly loaded: LoadedConfig;
  readonly config: ResolvedConfig;
  readonly policy: GatePolicy;
  /** Of this class of machine. */
  readonly calibration: Calibration | undefined;
  /** There is a calibration of another class of machine, which counts for nothing. */
  readonly foreignCalibration: boolean;
  readonly pin: PinPlan;
}

/** Throws a `UserError` for options that are wrong whatever is compared. */
export function requireConsistent({ allowIdentical, identical, filter = [] }: GateRequest): void {
  if (allowIdentical === true && identical === "neutral") {
    throw new UserError("identical builds are either measured or left unmeasured", {
      where: "--allow-identical --identical neutral",
      hint: "Give one of the two.",
    });
  }
  // A term that is none is found before anything is built; whether it speaks of a bench, when the benches are known.
  filterPart([], filter);
}

/** Loads and merges the configuration. Throws a `UserError` for what is wrong in it, or in the request. */
export async function setUpGate(request: GateRequest, parts: GateParts = GATE_PARTS): Promise<GateSetup> {
  const startedAt = parts.now();
  const { cwd, configFile: file, signal } = request;
  requireConsistent(request);
  const loaded: LoadedConfig =
    request.config === undefined
      ? await parts.loadConfig(cwd, { file, signal })
      : { config: request.config, file: undefined, folder: cwd };
  const config = resolveConfig({
    flags: request.flags,
    env: request.env,
    file: loaded.config,
    presets: presetsWith(randomInt(2 ** 31 - 1)),
  });
  const found = readCalibration(request.calibrationFile);
  // Floors and ceilings of another machine would widen thresholds, or call right results impossible.
  const isOfThis = found !== undefined && found.class === parts.readFingerprint(config.nodeOptions).class;
  const calibration = isOfThis ? found : undefined;
  const foreignCalibration = found !== undefined && !isOfThis;
  const pin = await parts.planPinning(config.settings.pin);
  return { startedAt, loaded, config, policy: policyOf(config), calibration, foreignCalibration, pin };
}

/** Of the whole run; null: none. */
export function budgetMsOf({ config }: GateSetup): number | null {
  const { budgetS } = config.settings;
  return budgetS === null ? null : 1000 * budgetS;
}

/** The two builds, staged and checked. */
export interface GateArms {
  readonly staged: StagedPair;
  readonly checked: Preflight;
  /** What each arm loaded when its benches were tried. */
  readonly loaded: ArmPair<readonly LoadedFile[]>;
  /** Both load the same files, which is neutral: nothing is to be measured. */
  readonly identical: boolean;
  /** The base has no bench files, which is neutral: there is nothing to compare with. */
  readonly allNew: boolean;
  /** Benches that get a verdict, those that failed their first call among them; where nothing is to be measured, only these. */
  readonly entries: readonly EntryFacts[];
  /** What can be measured. */
  readonly refs: readonly BenchRef[];
  /** Regressions that somebody has accepted. */
  readonly accepted: readonly Acceptance[];
}

/**
 * Stages both arms and looks at what is in them. Throws a `Refusal` where they are not fit for a comparison, or where the budget
 * is spent before that is known.
 */
export function prepareArms(
  request: GateRequest,
  setup: GateSetup,
  progress: GateProgress,
  parts: GateParts = GATE_PARTS,
): Promise<GateArms> {
  const limits = {
    budgetMs: budgetMsOf(setup),
    spentMs: parts.now() - setup.startedAt,
    signal: request.signal,
  };
  return withinBudget(limits, (signal, at) =>
    prepareUntil({ ...request, signal }, setup, parts, (text) => {
      at(text);
      progress("preparing", text);
    }),
  );
}

/** Prepares; ends with the signal of the request. */
async function prepareUntil(
  request: GateRequest,
  setup: GateSetup,
  parts: GateParts,
  progress: (text: string) => void,
): Promise<GateArms> {
  const { loaded, config } = setup;
  const { base, head, cwd, signal, allowIdentical = false, filter = [] } = request;
  const neutral = request.identical === "neutral";
  const { benches, files, prepare, removed, shared, nodeOptions, settings } = config;
  const staged = await parts.stageArms(
    {
      base,
      head,
      exact: request.exact ?? false,
      allowIdentical,
      cwd,
      project: loaded.folder,
      benches,
      files,
      prepare,
      seed: settings.seed,
      signal,
    },
    progress,
  );
  try {
    const list = (what: "base" | "head", mayBeEmpty: boolean): ReturnType<typeof parts.listBenches> => {
      progress(`trying the benches of ${what}`);
      return parts.listBenches(staged[what], {
        what,
        benches,
        mayBeEmpty,
        advice: adviceFor(staged[what], prepare),
        // All are listed; those that are not measured need not be tried.
        attempt: true,
        filter,
        seed: settings.seed,
        env: environmentOf(config),
        nodeOptions,
        timeoutMs: 1000 * settings.timeoutS,
        ...(signal === undefined ? {} : { signal }),
      });
    };
    // A change may bring the first benches, or take the last ones: then each of them is missing, or declared as removed.
    const listed = await list("base", true);
    const lists = { base: listed, head: await list("head", listed.benches.length > 0) };
    const checked = parts.preflight(staged, lists, {
      filter,
      removed,
      shared,
      allowIdentical: allowIdentical || neutral,
      allowNew: neutral,
    });
    const identical = neutral && checked.identical;
    const allNew = neutral && lists.base.benches.length === 0;
    const all = entriesOf(checked, setup);
    const entries = identical ? all.filter(({ failure }) => failure !== undefined) : all;
    const fit = new Set(entries.filter(({ failure }) => failure === undefined).map(({ id }) => id));
    const refs = checked.compared.filter(({ head: now }) => fit.has(now.id)).map(refOf);
    const accepted = await acceptancesOf(request, staged, loaded.folder);
    // Of all benches: an acceptance may speak of one that the filter leaves out.
    requireKnownBenches(
      accepted,
      [...lists.head.benches, ...lists.base.benches].map(({ id }) => id),
    );
    const loadedFiles = { base: lists.base.loaded, head: lists.head.loaded };
    return { staged, checked, loaded: loadedFiles, identical, allNew, entries, refs, accepted };
  } catch (error) {
    staged.remove();
    throw error;
  }
}

async function acceptancesOf(request: GateRequest, arms: StagedPair, folder: string): Promise<Acceptance[]> {
  const commits = await commitsBetween(arms, folder);
  return collectAcceptances({ commits, file: request.acceptFrom, environment: request.env["BENCH_ACCEPT"] });
}

/**
 * Messages of the commits from base to head; none where the folder is in no repository, or an arm of none of its commits: it may
 * be a folder with a repository of its own.
 */
async function commitsBetween({ base, head }: StagedPair, folder: string): ReturnType<typeof messagesBetween> {
  const repository = await rootOfRepository(folder);
  if (repository === undefined || base.commit === undefined || head.commit === undefined) return [];
  const known = await Promise.all([base.commit, head.commit].map((commit) => commitOf(repository, commit)));
  if (known.includes(undefined)) return [];
  try {
    return await messagesBetween(repository, base.commit, head.commit);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    throw new UserError("the commit messages between base and head cannot be read, and one may accept a regression", {
      where: repository,
      hint: error.output,
      cause: error,
    });
  }
}

/** Variables of the processes of both arms. */
export function environmentOf({ env, settings }: ResolvedConfig): Record<string, string> {
  return { ...env, BENCH_THREADS: String(settings.threads) };
}
