/** From what a run has measured to a result file: the record, judged. */

import { createHash } from "node:crypto";
import type { StagedArm } from "../paired/arms/arm.ts";
import { faultOfFirstCall, type Artefact } from "../paired/arms/preflight.ts";
import type { Fingerprint } from "../paired/fingerprint.ts";
import { IDLE } from "../harness/worker-process.ts";
import type { ArmRecord, BenchRecord, Machine, Pressure, Results, Skipped } from "../results/schema.ts";
import { acceptanceFor } from "./accept.ts";
import { EXIT } from "./exit-codes.ts";
import type { GateRequest } from "./gate-request.ts";
import { judge } from "./judge.ts";
import type { GatePolicy } from "./policy.ts";
import type { GateArms } from "./prepare.ts";
import type { RunState } from "./run-state.ts";
import { gateRecord } from "./types.ts";

/** What a result says beside the samples. */
export interface RunFacts {
  readonly request: GateRequest;
  readonly policy: GatePolicy;
  readonly seed: number;
  readonly threads: number;
  /** ms since 1970 */
  readonly startedAt: number;
  readonly wallMs: number;
  readonly arms: GateArms;
  readonly before: Fingerprint;
  readonly after: Fingerprint;
  readonly changed: readonly string[];
  readonly disturbances: readonly string[];
  /** What others took in the course of the run; undefined where nothing was measured. */
  readonly pressure: Pressure | undefined;
  readonly foreignCalibration: boolean;
  readonly foreignFiles: readonly string[];
  readonly advisory: boolean;
  readonly machine: Machine;
}

/** What the judgement fills in. */
const UNJUDGED = { estimate: null, verdict: "INCONCLUSIVE", reason: "" } as const;

/** The result file of the run, with the verdicts that follow from it. */
export function resultsOf(state: RunState, facts: RunFacts): Results {
  return judged(unjudged(state, facts), facts.policy);
}

/**
 * The same results with verdicts, controls and summary judged again by `policy`: equal samples, equal text. What was accepted
 * stays.
 */
export function judged(results: Results, policy: GatePolicy): Results {
  const verdicts = judge(gateRecord(results), policy);
  const found = new Map(verdicts.benches.map((bench) => [bench.id, bench]));
  const controls = new Map(verdicts.controls.map((control) => [control.id, control]));
  const { environment, benches = [], run } = results;
  const summary = run?.kind === "ab" ? comparisonOnly(verdicts.summary) : verdicts.summary;
  return {
    ...results,
    ...(environment === undefined
      ? {}
      : {
          environment: {
            ...environment,
            controls: environment.controls.map((control) => ({ ...control, ...controls.get(control.id) })),
          },
        }),
    benches: benches.map((bench): BenchRecord => {
      const verdict = found.get(bench.id);
      if (verdict === undefined) return bench;
      const { estimate, reason, flags } = verdict;
      return { ...bench, estimate, verdict: verdict.verdict, reason, flags: [...flags] };
    }),
    summary,
  };
}

/** `ab` shows what is there: only what makes a comparison worthless fails it. */
function comparisonOnly<S extends { readonly exitCode: number }>(summary: S): S {
  const harmless = summary.exitCode === EXIT.regressed || summary.exitCode === EXIT.inconclusive;
  return harmless ? { ...summary, exitCode: EXIT.pass } : summary;
}

function unjudged(state: RunState, facts: RunFacts): Results {
  const { request, policy, seed, threads, arms, machine, before, after } = facts;
  const startedAt = new Date(facts.startedAt).toISOString();
  const { kind, tool, argv } = request;
  const id = createHash("sha256")
    .update([startedAt, seed, arms.checked.artefacts.base.sha256, arms.checked.artefacts.head.sha256].join(" "))
    .digest("hex");
  return {
    schema: "quern.results/1",
    createdAt: new Date(facts.startedAt + facts.wallMs).toISOString(),
    machine,
    engines: [],
    settings: {
      seed,
      secondsPerEngine: 0,
      processes: policy.screenPairs,
      sliceMs: policy.sliceMs,
      idle: IDLE,
      command: [tool.name, ...argv].join(" "),
    },
    results: [],
    comparisons: [],
    skipped: skippedBenches(arms, threads),
    run: {
      kind,
      id: id.slice(0, 16),
      seed,
      startedAt,
      wallMs: Math.round(facts.wallMs),
      tool,
      argv: [...argv],
      ...(state.aborted ? { aborted: true } : {}),
      ...(state.outOfTime ? { outOfTime: true } : {}),
      ...(state.cutShort ? { cutShort: true } : {}),
      ...(arms.identical ? { identical: true } : {}),
      ...(arms.allNew ? { allNew: true } : {}),
      ...(facts.advisory ? { advisory: true } : {}),
      policy,
    },
    arms: [
      armRecord(arms.staged.base, request.base, arms.checked.artefacts.base),
      armRecord(arms.staged.head, request.head, arms.checked.artefacts.head),
    ],
    environment: {
      before: plain(before),
      after: plain(after),
      controls: state.controls().map((control) => ({ ...control, estimate: null, disturbed: 0, moved: false })),
      changed: [...facts.changed],
      ...(facts.pressure === undefined ? {} : { pressure: facts.pressure }),
      ...(facts.foreignCalibration ? { foreignCalibration: true } : {}),
      ...(facts.disturbances.length === 0 ? {} : { disturbances: [...facts.disturbances] }),
      ...(facts.foreignFiles.length === 0 ? {} : { foreignFiles: [...facts.foreignFiles] }),
    },
    benches: state.benches().map((bench): BenchRecord => {
      const accepted = acceptanceFor(bench.id, arms.accepted);
      return {
        ...state.factsOf(bench.id),
        ...bench,
        ...UNJUDGED,
        ...(accepted === undefined
          ? {}
          : { accepted: { trailer: accepted.trailer, limit: accepted.limit, reason: accepted.reason } }),
      };
    }),
  };
}

/** What was not compared, and why. */
function skippedBenches(arms: GateArms, threads: number): Skipped[] {
  const { failing, added, removed } = arms.checked;
  const judged = new Set(arms.entries.map(({ id }) => id));
  return [
    ...unmeasured(arms).map((name) => skippedBench(name, "head", "base and head load the same files", threads)),
    ...failing.map(({ base }): Skipped => {
      const [why] = (faultOfFirstCall(base) ?? "").split("\n", 1);
      return { ...skippedBench(base.id, "base", `it fails in the base: ${why}`, threads), failed: true };
    }),
    ...added.filter(({ id }) => !judged.has(id)).map(({ id }) => skippedBench(id, "base", "only head has it", threads)),
    ...removed.map(({ id }) => skippedBench(id, "head", "declared as removed", threads)),
  ];
}

/** Benches of both arms that were left out because nothing that they load has changed. */
function unmeasured({ identical, checked, entries }: GateArms): string[] {
  if (!identical) return [];
  const kept = new Set(entries.map(({ id }) => id));
  return checked.compared.map(({ head }) => head.id).filter((id) => !kept.has(id));
}

function plain({ hash, class: name, facts }: Fingerprint): {
  hash: string;
  class: string;
  facts: Record<string, string>;
} {
  return { hash, class: name, facts: { ...facts } };
}

function skippedBench(id: string, engine: string, reason: string, threads: number): Skipped {
  return { case: id, engine, threads, precision: "highest", reason };
}

function armRecord({ name, letter, commit, dirty }: StagedArm, source: string, { sha256, files }: Artefact): ArmRecord {
  return {
    name,
    source,
    ...(commit === undefined ? {} : { commit }),
    ...(dirty === undefined ? {} : { dirty }),
    directory: letter,
    artefactSha256: sha256,
    files,
  };
}
