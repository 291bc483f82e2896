/** What measured acceptance tests share: how a gate run is made, kept and counted. */

import { UserError } from "@quern/core/errors";
import type { BenchConfig } from "../define/config.ts";
import { resolveConfig, type Flags } from "../define/resolve-config.ts";
import { GATE_PARTS, type GateParts } from "../gate/gate-parts.ts";
import { EXIT } from "../gate/exit-codes.ts";
import type { GateProgress, GateRequest } from "../gate/gate-request.ts";
import { runGate } from "../gate/run-gate.ts";
import type { Results } from "../results/schema.ts";
import { readFingerprint } from "../paired/fingerprint.ts";
import { SAMPLER_VERSION } from "../paired/sampler-version.ts";
import { policyOf, presetsWith } from "../gate/presets.ts";
import { keepRun, keptRun } from "./kept-runs.ts";
import type { SelftestOptions, SelftestResult } from "./result.ts";
import { suiteArms, type ArmFolders, type SuiteArm } from "./suite-arms.ts";

export interface MeasuredOptions extends SelftestOptions {
  /** Valid gate runs, instead of the default of the test. */
  readonly runs?: number | undefined;
  /** Settings of the gate runs over the whole suite: smaller ones take less time. */
  readonly flags: Flags;
  readonly progress: GateProgress;
  readonly signal?: AbortSignal | undefined;
}

export type MeasuredTest = (options: MeasuredOptions) => Promise<SelftestResult>;

/** How a gate run ended: with results, or refused. */
export interface Ended {
  readonly exitCode: number;
  readonly results: Results | undefined;
  /** Message of the error that refused it. */
  readonly refused: string | undefined;
}

const TOOL = { name: "quern-selftest", version: SAMPLER_VERSION };

/** Where the suite lies in an arm. */
const SUITE_CONFIG: BenchConfig = { version: 1, benches: ["suite.bench.{ts,js}"] };

type Call = Pick<MeasuredOptions, "progress" | "signal"> &
  Pick<GateRequest, "flags"> &
  Partial<Pick<GateRequest, "config" | "allowIdentical" | "filter" | "base" | "head">>;

/** Runs a gate over two folders; a refusal is an outcome. */
export async function gateFolders(
  { base, head, root }: Pick<ArmFolders, "base" | "head" | "root">,
  call: Call,
  parts: GateParts = GATE_PARTS,
): Promise<Ended> {
  const { progress, ...rest } = call;
  const request: GateRequest = {
    kind: "gate",
    base,
    head,
    cwd: root,
    config: { version: 1 },
    env: {},
    tool: TOOL,
    argv: [],
    ...rest,
  };
  try {
    const results = await runGate(request, progress, parts);
    return { exitCode: results.summary?.exitCode ?? EXIT.internal, results, refused: undefined };
  } catch (error) {
    call.signal?.throwIfAborted();
    if (!(error instanceof UserError)) throw error;
    const { exitCode } = error as { readonly exitCode?: number };
    return { exitCode: exitCode ?? EXIT.usage, results: undefined, refused: error.message };
  }
}

/** A run over the suite that measured something. */
export interface SuiteRun {
  readonly results: Results;
  readonly exitCode: number;
  /** Runs before it that the machine made invalid. */
  readonly invalid: number;
}

const ATTEMPTS = 3;

interface GateSuiteOptions {
  readonly repeatInvalid?: (results: Results) => boolean;
  readonly allowIdentical?: boolean;
}

/**
 * Gates the suite once. What exit code 3 asks for is done: a run that the machine made invalid is repeated with another
 * seed, twice at most. What `repeatInvalid` says no to is taken as it is.
 */
export async function gateSuite(
  name: string,
  run: number,
  arms: { readonly base: SuiteArm; readonly head: SuiteArm },
  options: MeasuredOptions,
  { repeatInvalid = () => true, allowIdentical = true }: GateSuiteOptions = {},
): Promise<SuiteRun> {
  for (let attempt = 0; ; attempt++) {
    const kept = alreadyKept(name, run, attempt, options);
    const made = kept ?? (await measureSuite(name, run, attempt, arms, allowIdentical, options));
    const exitCode = made.summary?.exitCode ?? EXIT.internal;
    const again = exitCode === EXIT.invalid && attempt + 1 < ATTEMPTS && repeatInvalid(made);
    if (!again) return { results: made, exitCode, invalid: attempt };
  }
}

/** A run of a series that was interrupted. */
function alreadyKept(name: string, run: number, attempt: number, options: MeasuredOptions): Results | undefined {
  const { keep, flags } = options;
  if (keep === undefined) return undefined;
  const config = resolveConfig({ flags, env: {}, file: SUITE_CONFIG, presets: presetsWith(0) });
  const expected = {
    seed: seedOf(options.seed, run, attempt),
    policy: policyOf(config),
    class: readFingerprint(config.nodeOptions).class,
    sampler: TOOL.version,
  };
  return keptRun(keep, name, run, attempt, expected);
}

async function measureSuite(
  name: string,
  run: number,
  attempt: number,
  arms: { readonly base: SuiteArm; readonly head: SuiteArm },
  allowIdentical: boolean,
  options: MeasuredOptions,
): Promise<Results> {
  const folders = suiteArms(arms.base, arms.head);
  try {
    const ended = await gateFolders(folders, {
      config: SUITE_CONFIG,
      allowIdentical,
      flags: { ...options.flags, seed: seedOf(options.seed, run, attempt) },
      progress: (stage, text, share, left) => options.progress(`${name} run ${run + 1}, ${stage}`, text, share, left),
      signal: options.signal,
    });
    const { results, refused } = ended;
    if (results === undefined) throw new UserError(`${name}: the run was refused: ${refused}`);
    if (results.run?.aborted === true) options.signal?.throwIfAborted();
    if (options.keep !== undefined) keepRun(options.keep, name, run, attempt, results);
    return results;
  } finally {
    folders.remove();
  }
}

/** Seeds of all runs of all tests differ, and a run can be repeated alone. */
export function seedOf(seed: number, run: number, attempt: number = 0): number {
  return (seed * 1_000_003 + run * 101 + attempt * 7) % (2 ** 31 - 1);
}

/** Median, for numbers that are shown. */
export function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
