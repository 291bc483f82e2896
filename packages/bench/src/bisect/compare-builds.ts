/**
 * One comparison of a bisection, made for real: the good build stays staged, each candidate takes its place beside it, and
 * both are measured in pairs of processes as in a gate.
 */

import { UserError } from "@quern/core/errors";
import { listBenches, type ListAnswer, type ListedBench } from "../define/list-benches.ts";
import type { ResolvedConfig } from "../define/resolve-config.ts";
import { analyse } from "../gate/estimate.ts";
import { LoadedCheck } from "../gate/loaded-check.ts";
import type { GatePolicy } from "../gate/policy.ts";
import { WARM_UP_MS } from "../gate/budget.ts";
import { environmentOf } from "../gate/prepare.ts";
import { logRatios } from "../statistics/ratios.ts";
import type { StagedArm } from "../paired/arms/arm.ts";
import { faultOfFirstCall, preflight } from "../paired/arms/preflight.ts";
import { Refusal } from "../paired/arms/refusal.ts";
import { readSource } from "../paired/arms/source.ts";
import { replaceBenchFiles } from "../paired/arms/stage-source.ts";
import { StagingArea } from "../paired/arms/staging-area.ts";
import { measurePairs } from "../paired/measure.ts";
import type { PairSamples } from "../paired/plan.ts";
import { planPinning, type PinPlan } from "../paired/pinning.ts";
import type { CompareRequest } from "./bisect.ts";
import type { Candidate } from "./candidates.ts";
import type { Comparison } from "./probes.ts";

export interface BuildSettings {
  readonly good: Candidate;
  readonly bench: string;
  readonly config: ResolvedConfig;
  readonly policy: GatePolicy;
  /** Folder of the configuration. */
  readonly project: string;
  readonly cwd: string;
  /** Every build runs the bench files of the project as they are now, not its own. */
  readonly ownBenches: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A build in its directory, and what its benches are and load. */
interface Staged {
  readonly arm: StagedArm;
  readonly list: ListAnswer;
}

const SAME: Comparison = { ratio: 1, low: 1, high: 1, verdict: "measured", reason: "it loads the same files" };

export class BuildComparer {
  readonly #settings: BuildSettings;
  readonly #progress: (text: string) => void;
  readonly #area = new StagingArea();
  #good: Staged | undefined;
  #pin: PinPlan | undefined;
  /** The candidates compared last: the end of a search asks about two builds in turn. */
  readonly #kept = new Map<string, Staged>();

  constructor(settings: BuildSettings, progress: (text: string) => void) {
    this.#settings = settings;
    this.#progress = progress;
  }

  /** Takes the builds away. */
  remove(): void {
    this.#area.remove();
  }

  /** Compares a build with the good one. A build that cannot be measured is an outcome; a good one that cannot, an error. */
  async compare(candidate: Candidate, { pairs, number }: CompareRequest): Promise<Comparison> {
    this.#good ??= await this.#stageGood();
    const head = this.#kept.get(candidate.source) ?? (await this.#stageCandidate(candidate));
    if (!("arm" in head)) return head;
    const bench = this.#check(this.#good, head);
    return "verdict" in bench ? bench : await this.#measure(bench, head.arm, pairs, number);
  }

  async #stageGood(): Promise<Staged> {
    const { good, bench } = this.#settings;
    const staged = await this.#stage(good, { name: "base", letter: "a" });
    const found = staged.list.benches.find(({ id }) => id === bench);
    const where = `good build, ${good.label}`;
    if (found === undefined) {
      const hint = "--current-benches measures all builds with the bench files as they are now.";
      throw new Refusal("nothing-to-compare", `the good build has no bench "${bench}"`, { where, hint });
    }
    const fault = faultOfFirstCall(found);
    if (fault !== undefined) throw new Refusal("benches-failed", `the bench fails: ${fault}`, { where });
    return staged;
  }

  /** A candidate that does not build or list its benches is left out of the search; a full disk ends it. */
  async #stageCandidate(candidate: Candidate): Promise<Staged | Comparison> {
    const taken = [...this.#kept.values()].map(({ arm }) => arm.letter);
    const free = LETTERS.find((letter) => !taken.includes(letter)) ?? this.#makeRoom();
    try {
      const staged = await this.#stage(candidate, { name: "head", letter: free });
      this.#kept.set(candidate.source, staged);
      return staged;
    } catch (error) {
      if (this.#settings.signal?.aborted === true || !(error instanceof UserError)) throw error;
      if (error instanceof Refusal && error.reason === "disk-full") throw error;
      return failed(error.message);
    }
  }

  /** Takes the candidate away that was staged first; its letter is free then. */
  #makeRoom(): StagedArm["letter"] {
    const [[source, { arm }]] = [...this.#kept] as [[string, Staged]];
    this.#kept.delete(source);
    this.#area.discard(arm);
    return arm.letter;
  }

  async #stage(candidate: Candidate, place: Pick<StagedArm, "name" | "letter">): Promise<Staged> {
    const { project, cwd, config, signal, ownBenches } = this.#settings;
    const { benches, files, prepare, nodeOptions, settings } = config;
    const plan = { project, benches, files, prepare, signal };
    const option = place.name === "base" ? "--good" : "--bad";
    const source = await readSource(candidate.source, { cwd, project, option });
    const arm = await this.#area.stage(place, source, plan, this.#progress);
    try {
      if (!ownBenches) replaceBenchFiles(plan, arm);
      this.#progress(`trying the bench in ${candidate.label}`);
      const list = await listBenches(arm, {
        what: candidate.label,
        benches,
        attempt: true,
        filter: [this.#settings.bench],
        seed: settings.seed,
        env: environmentOf(config),
        nodeOptions,
        timeoutMs: 1000 * settings.timeoutS,
        ...(signal === undefined ? {} : { signal }),
      });
      return { arm, list };
    } catch (error) {
      this.#area.discard(arm);
      throw error;
    }
  }

  /** The bench to measure, or the outcome where there is nothing to measure. */
  #check(base: Staged, head: Staged): ListedBench | Comparison {
    const { bench } = this.#settings;
    const before = base.list.benches.find(({ id }) => id === bench);
    const now = head.list.benches.find(({ id }) => id === bench);
    if (before === undefined || now === undefined) return failed(`it has no bench "${bench}"`);
    const fault = faultOfFirstCall(now);
    if (fault !== undefined) return failed(fault);
    if (now.file !== before.file)
      return failed(`its bench lies in ${now.file}, that of the good build in ${before.file}`);
    try {
      preflight(
        { base: base.arm, head: head.arm },
        { base: base.list, head: head.list },
        { filter: [bench], shared: this.#settings.config.shared },
      );
      return now;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return error.reason === "identical-files" ? SAME : failed(error.message);
    }
  }

  /** What a measured process loaded and should not have, in plain words. */
  #foreignFile(head: StagedArm, loaded: PairSamples["loaded"]): string | undefined {
    const good = this.#good as Staged;
    const kept = [...this.#kept.values()].find(({ arm }) => arm === head);
    const before = { base: good.list.loaded, head: kept?.list.loaded ?? [] };
    const { shared } = this.#settings.config;
    return new LoadedCheck({ base: good.arm, head }, before, shared).add(loaded).foreign[0];
  }

  async #measure(bench: ListedBench, head: StagedArm, pairs: number, number: number): Promise<Comparison> {
    const { config, policy, signal } = this.#settings;
    this.#pin ??= await planPinning(config.settings.pin);
    const { arm: base } = this.#good as Staged;
    const { settings } = config;
    const { file: path, id, family, native } = bench;
    const ref = {
      id,
      file: path,
      ...(family === undefined ? {} : { family }),
      ...(native === undefined ? {} : { native }),
    };
    const samples = await measurePairs(
      {
        // Without controls, which take three quarters of the time of a bench: the search bears an answer that is wrong.
        benches: [ref],
        arms: [base, head],
        pairs,
        // No two comparisons draw the same orders and inputs.
        firstIndex: number * INDICES,
        rounds: policy.rounds,
        sliceMs: policy.sliceMs,
        warmUpMs: WARM_UP_MS,
        seed: settings.seed,
        signal,
        timeoutMs: 1000 * settings.timeoutS,
        env: environmentOf(config),
        nodeOptions: config.nodeOptions,
        processors: this.#pin.processors,
      },
      ({ text }) => this.#progress(text),
    );
    signal?.throwIfAborted();
    const [measured] = samples.benches;
    if (measured === undefined) return failed("it was not measured");
    if (measured.error !== undefined) return failed(`${measured.error.arm}: ${measured.error.reason}`);
    const analysis = analyse(measured.pairs.map((pair) => logRatios(pair.head, pair.base)));
    if (analysis === null) return failed("too few pairs could be measured");
    const foreign = this.#foreignFile(head, samples.loaded);
    if (foreign !== undefined) return failed(foreign);
    const { found, low, high } = analysis;
    const level = { ratio: Math.exp(found.centre), low: Math.exp(low), high: Math.exp(high) };
    const [file] = samples.changedFiles;
    if (file === undefined) return { ...level, verdict: "measured" };
    return { ...level, verdict: "invalid", reason: `${file} changed while it was measured` };
  }
}

/** Of candidates. */
const LETTERS: readonly StagedArm["letter"][] = ["b", "c"];

/** More pairs than any comparison has. */
const INDICES = 10_000;

function failed(reason: string): Comparison {
  return { ratio: null, low: null, high: null, verdict: "error", reason: reason.split("\n", 3).join(" ") };
}
