/** A solo run from a folder to a result file: which benches there are, which are chosen, their times. */

import { createHash } from "node:crypto";
import { resolveConfig, type Flags, type ResolvedConfig } from "../define/resolve-config.ts";
import { filterBenches } from "../define/filter.ts";
import { listBenches, type ListedBench } from "../define/list-benches.ts";
import { loadConfig } from "../define/load-config.ts";
import { WARM_UP_MS } from "../gate/budget.ts";
import { environmentOf } from "../gate/prepare.ts";
import { presetsWith } from "../gate/presets.ts";
import { describeMachine } from "../harness/machine.ts";
import { changedPaths, commitOf, rootOfRepository, shortId } from "../paired/arms/git.ts";
import type { Result, Results } from "../results/schema.ts";
import { medianInterval } from "../statistics/basics.ts";
import { measureSolo, type SoloBench } from "./measure.ts";

export interface OwnBenches {
  readonly config: ResolvedConfig;
  /** Absolute folder of the configuration. */
  readonly folder: string;
  readonly benches: readonly ListedBench[];
}

export interface OwnBenchesRequest {
  readonly cwd: string;
  readonly configFile?: string | undefined;
  readonly flags: Flags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly filter: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** The benches of a folder as it is, those that the filter chooses. Nothing is staged, and none is called. */
export async function ownBenches(request: OwnBenchesRequest): Promise<OwnBenches> {
  const { cwd, configFile: file, flags, env, filter, signal } = request;
  const { config: written, folder } = await loadConfig(cwd, { file, signal });
  const config = resolveConfig({ flags, env, file: written, presets: presetsWith(1) });
  const { benches } = await listBenches(
    { directory: folder, project: folder },
    {
      what: "this folder",
      benches: config.benches,
      seed: config.settings.seed,
      env: environmentOf(config),
      nodeOptions: config.nodeOptions,
      timeoutMs: 1000 * config.settings.timeoutS,
      ...(signal === undefined ? {} : { signal }),
    },
  );
  return { config, folder, benches: filterBenches(benches, filter) };
}

export interface SoloRequest extends OwnBenchesRequest {
  /** Timed seconds of each bench. */
  readonly seconds: number;
  /** For the record. */
  readonly tool: { readonly name: string; readonly version: string };
  readonly argv: readonly string[];
}

export interface SoloRun {
  readonly results: Results;
  readonly benches: readonly SoloBench[];
}

/** Measures and records. Throws before measuring begins; a bench that fails afterwards is in the result. */
export async function runSolo(
  request: SoloRequest,
  progress: (text: string, share?: number) => void,
): Promise<SoloRun> {
  const startedAt = Date.now();
  progress("reading bench files");
  const { config, folder, benches: listed } = await ownBenches(request);
  const { seed, sliceMs, threads, timeoutS } = config.settings;
  const benches = await measureSolo(
    {
      arm: { name: "head", directory: folder, project: folder },
      benches: listed,
      seconds: request.seconds,
      sliceMs,
      warmUpMs: WARM_UP_MS,
      seed,
      timeoutMs: 1000 * timeoutS,
      processOptions: { env: environmentOf(config), nodeOptions: config.nodeOptions },
      signal: request.signal,
    },
    progress,
  );
  const { tool, argv } = request;
  const at = new Date(startedAt).toISOString();
  const results: Results = {
    schema: "quern.results/1",
    createdAt: new Date().toISOString(),
    machine: describeMachine(),
    engines: [{ name: ENGINE, version: await versionOf(folder), library: null, sha256: null, settings: {} }],
    settings: {
      seed,
      secondsPerEngine: request.seconds,
      processes: 1,
      sliceMs,
      // There is only one.
      idle: "blocked",
      command: [tool.name, ...argv].join(" "),
    },
    results: benches.filter(({ samples }) => samples.length > 0).map((bench) => rowOf(bench, threads)),
    comparisons: [],
    skipped: benches.flatMap(({ ref, failure, samples }) =>
      failure === undefined || samples.length > 0
        ? []
        : [{ case: ref.id, engine: ENGINE, threads, precision: "highest", reason: failure, failed: true } as const],
    ),
    run: {
      kind: "solo",
      id: createHash("sha256").update(`${at} ${seed} ${folder}`).digest("hex").slice(0, 16),
      seed,
      startedAt: at,
      wallMs: Date.now() - startedAt,
      tool,
      argv: [...argv],
      ...(request.signal?.aborted === true ? { aborted: true } : {}),
    },
  };
  return { results, benches };
}

/** In the place where comparisons have the name of an engine. */
const ENGINE = "solo";

/** "a1b2c3d4e5", with a plus sign where the folder differs from it. */
async function versionOf(folder: string): Promise<string> {
  const repository = await rootOfRepository(folder);
  const commit = repository === undefined ? undefined : await commitOf(repository, "HEAD");
  if (repository === undefined || commit === undefined) return "no commit";
  return `${shortId(commit)}${(await changedPaths(repository)).length > 0 ? "+" : ""}`;
}

function rowOf({ ref, samples, calls, flags, check, failure }: SoloBench, threads: number): Result {
  const { centre, low, high } = medianInterval(samples);
  const { flops, bytes } = ref.work ?? {};
  const compared = check !== undefined && check.checked > 0;
  const notes = [...flags, ...(failure === undefined ? [] : [failure])].join("; ");
  return {
    case: ref.id,
    phase: "steady",
    engine: ENGINE,
    threads,
    precision: "highest",
    dtype: String(ref.params?.["dtype"] ?? ""),
    shape: Object.entries(ref.params ?? {})
      .map(([name, value]) => `${name}=${value}`)
      .join(" "),
    unit: "ms",
    samples: samples.map((ns) => ns / 1e6),
    // All slices of one process.
    processes: [samples.length],
    calls,
    median: centre / 1e6,
    low: low === null ? null : low / 1e6,
    high: high === null ? null : high / 1e6,
    verified: failure !== undefined ? false : compared ? true : null,
    maxError: check?.maxError ?? null,
    checkedOutputs: check?.checked ?? 0,
    ...(flops === undefined ? {} : { flops, gflops: flops / centre }),
    ...(bytes === undefined ? {} : { bytes, gbps: bytes / centre }),
    ...(notes === "" ? {} : { note: notes }),
  };
}
