/** A bisection from what a user asks for: the configuration, the list of builds, the search. */

import { createHash } from "node:crypto";
import { loadConfig } from "../define/load-config.ts";
import { resolveConfig, type Flags, type ResolvedConfig } from "../define/resolve-config.ts";
import { policyOf, presetsWith } from "../gate/presets.ts";
import { bisect, type BisectProgress, type BisectResult } from "./bisect.ts";
import { commitCandidates, versionCandidates, versionsOfNpm, type ListVersions } from "./candidates.ts";
import { BuildComparer } from "./compare-builds.ts";

export interface BisectRequest {
  /** A commit, or `npm:package@version`, both of the same kind. */
  readonly good: string;
  readonly bad: string;
  /** Identifier of the bench. */
  readonly bench: string;
  readonly cwd: string;
  /** Path of the configuration; undefined: that of `cwd`. */
  readonly configFile?: string | undefined;
  readonly flags: Flags;
  /** `BENCH_*` and no other variables are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Only commits that touch one of these. */
  readonly paths?: readonly string[] | undefined;
  /** Every build runs the bench files of the project as they are now. Packages always do. */
  readonly currentBenches?: boolean | undefined;
  /** Ratio above which a build is slow. Default: halfway to that of the bad one. */
  readonly threshold?: number | undefined;
  /** Wanted probability of the result, 0.99 where it is not given. */
  readonly confidence?: number | undefined;
  readonly stateFile?: string | undefined;
  readonly restart?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `detail` is what goes on within the comparison that `progress` last spoke of. */
export interface BisectListener {
  progress(now: BisectProgress): void;
  detail(text: string): void;
}

/** Where none is given: whoever goes on with an interrupted search draws as it did. */
const SEED = 1;

/**
 * Runs a bisection; nothing of it stays but the state file. The budget of the configuration ends it between comparisons. Throws a
 * `UserError` where the builds or the bench are not there, the bad build cannot be measured, or the state is that of another question.
 */
export async function runBisect(
  request: BisectRequest,
  listener: BisectListener,
  listVersions: ListVersions = versionsOfNpm,
): Promise<BisectResult> {
  const { good, bad, bench, cwd, flags, env, configFile, signal, paths = [] } = request;
  const started = Date.now();
  const loaded = await loadConfig(cwd, { file: configFile, signal });
  const config = resolveConfig({ flags, env, file: loaded.config, presets: presetsWith(SEED) });
  const policy = policyOf(config);
  const ofNpm = good.startsWith("npm:") || bad.startsWith("npm:");
  const candidates = ofNpm
    ? await versionCandidates({ good, bad, cwd }, listVersions)
    : await commitCandidates(loaded.folder, { good, bad, paths, cwd });
  const ownBenches = !ofNpm && request.currentBenches !== true;
  const { budgetS } = config.settings;
  const comparer = new BuildComparer(
    {
      good: candidates.good,
      bench,
      config,
      policy,
      project: loaded.folder,
      cwd,
      ownBenches,
      signal,
    },
    (text) => listener.detail(text),
  );
  try {
    return await bisect(
      {
        candidates,
        bench,
        compare: (candidate, asked) => comparer.compare(candidate, asked),
        pairs: policy.screenPairs,
        threshold: request.threshold,
        confidence: request.confidence,
        measured: measuredBy(config, ownBenches),
        stateFile: request.stateFile,
        restart: request.restart,
        signal,
        ...(budgetS === null ? {} : { deadline: started + 1000 * budgetS }),
      },
      (now) => listener.progress(now),
    );
  } finally {
    comparer.remove();
  }
}

/** What answers depend on beside builds and rules: those given under other settings belong to another question. */
function measuredBy(config: ResolvedConfig, ownBenches: boolean): string {
  const { benches, files, prepare, env, nodeOptions } = config;
  const { seed, rounds, sliceMs, pin, threads } = config.settings;
  const parts = [ownBenches, benches, files, prepare, env, nodeOptions, seed, rounds, sliceMs, pin, threads];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}
