/** From a result file to the records of the history: one per benchmark that was measured and not disturbed. */

import { createHash } from "node:crypto";
import { UserError } from "@quern/core/errors";
import { EXIT } from "../gate/exit-codes.ts";
import { isAccepted } from "../results/accepted.ts";
import type { BenchRecord, Result, Results, StageRecord } from "../results/schema.ts";
import { median, medianInterval } from "../statistics/basics.ts";
import { RECORD_VERSION, type HistoryRecord } from "./record.ts";

/** The machine was disturbed while the results were measured: measuring again may help. */
export class DisturbedResults extends UserError {
  override readonly name: string = "DisturbedResults";
  /** For command lines: an invalid environment, as the gate says it. */
  readonly exitCode: number = EXIT.invalid;
}

export interface RecordOptions {
  /** Commit of what was measured, where the results do not say. */
  readonly commit?: string | undefined;
  /** When a commit was made; undefined where it is not known. */
  readonly committedAt?: (commit: string) => string | undefined;
}

export interface ResultRecords {
  readonly records: readonly HistoryRecord[];
  /** What has no place in the history, and why. */
  readonly skipped: readonly string[];
}

/**
 * The records of a result file; of a run that compares two builds those of its head. Throws a `UserError` where the run as a
 * whole has no place in the history.
 */
export function recordsOf(results: Results, where: string, options: RecordOptions = {}): ResultRecords {
  const { run } = results;
  if (run?.aborted === true)
    throw new UserError("the run was interrupted: its results are no part of the history", { where });
  if (run?.refused !== undefined)
    throw new UserError("the run was refused: it has measured nothing for the history", { where });
  requireCalm(results, where);
  const { records, skipped } = results.benches === undefined ? ofEngines(results) : ofBenches(results, results.benches);
  if (records.length === 0) {
    const reasons = skipped.slice(0, 5).map((reason) => `\n  ${reason}`);
    throw new UserError(`nothing in the results has a place in the history${reasons.join("")}`, { where });
  }
  return { records: records.map((record) => withCommit(record, options)), skipped };
}

type Common = Pick<HistoryRecord, "schema" | "run" | "at" | "kind" | "tool" | "class" | "fingerprint">;

function commonOf(results: Results): Common {
  const { run, environment, machine, createdAt } = results;
  // Results of older versions have no run: the same file is always the same one.
  const id = run?.id ?? createHash("sha256").update(JSON.stringify(results)).digest("hex").slice(0, 16);
  return {
    schema: RECORD_VERSION,
    run: id,
    at: new Date(run?.startedAt ?? createdAt).toISOString(),
    kind: run?.kind ?? "engines",
    ...(run === undefined ? {} : { tool: `${run.tool.name} ${run.tool.version}` }),
    class: environment?.before.class ?? machine.fingerprint,
    fingerprint: environment?.before.hash ?? machine.fingerprint,
  };
}

/** One number for each process of the head, from all stages. */
function headTimes(stages: readonly StageRecord[]): number[] {
  return stages.flatMap(({ pairs }) => pairs.filter(({ head }) => head.length > 0).map(({ head }) => median(head)));
}

function centreOf(times: readonly number[]): Pick<HistoryRecord, "value" | "low" | "high" | "samples"> {
  const { centre, low, high } = medianInterval(times);
  return { value: centre, ...(low === null || high === null ? {} : { low, high }), samples: times.length };
}

function requireCalm({ environment }: Results, where: string): void {
  const moved = environment?.controls.filter((control) => control.moved).map(({ id }) => id) ?? [];
  const changed = environment?.changed ?? [];
  const [other] = environment?.disturbances ?? [];
  if (moved.length === 0 && changed.length === 0 && other === undefined) return;
  const what =
    moved.length > 0
      ? `${moved.join(", ")} moved`
      : changed.length > 0
        ? `${changed.join(", ")} changed during the run`
        : other;
  throw new DisturbedResults(`the results have no place in the history: the machine was disturbed, ${what}`, { where });
}

function ofBenches(results: Results, benches: readonly BenchRecord[]): ResultRecords {
  const { environment, arms } = results;
  const controls: Record<string, number> = {};
  for (const { id, stages } of environment?.controls ?? []) {
    const times = headTimes(stages);
    if (times.length > 0) controls[id] = median(times);
  }
  const head = arms?.find(({ name }) => name === "head");
  const base = arms?.find(({ name }) => name === "base");
  const records: HistoryRecord[] = [];
  const skipped: string[] = [];
  for (const bench of benches) {
    const { id, verdict, reason, stages, estimate, params, accepted } = bench;
    const times = headTimes(stages);
    if (verdict === "ERROR" || verdict === "INVALID" || times.length === 0) {
      skipped.push(`${id}: ${verdict}${reason === "" ? "" : `, ${reason}`}`);
      continue;
    }
    records.push({
      ...commonOf(results),
      bench: id,
      ...(params === undefined ? {} : { params }),
      unit: "ns",
      ...centreOf(times),
      controls,
      ...armFacts(head),
      ...(estimate === null
        ? {}
        : {
            base: { ...baseFacts(base), ratio: estimate.ratio, low: estimate.low, high: estimate.high },
          }),
      verdict,
      ...(accepted !== undefined && isAccepted(bench) ? { accepted: accepted.trailer } : {}),
    });
  }
  return { records, skipped };
}

type Arm = NonNullable<Results["arms"]>[number];

function armFacts(arm: Arm | undefined): Pick<HistoryRecord, "commit" | "dirty" | "source"> {
  if (arm === undefined) return {};
  const { commit, dirty, source } = arm;
  return { ...(commit === undefined ? {} : { commit }), ...(dirty === undefined ? {} : { dirty }), source };
}

function baseFacts(arm: Arm | undefined): { readonly source?: string; readonly commit?: string } {
  if (arm === undefined) return {};
  return { source: arm.source, ...(arm.commit === undefined ? {} : { commit: arm.commit }) };
}

/** Of comparisons of engines: every row whose outputs were not found wrong. They have no control kernels. */
function ofEngines(results: Results): ResultRecords {
  const records: HistoryRecord[] = [];
  const skipped: string[] = [];
  for (const row of results.results) {
    const { verified, median: value } = row;
    const name = `${row.case} ${row.engine} ${row.phase}`;
    if (verified === false) skipped.push(`${name}: its outputs are wrong`);
    else if (value === null || !(value > 0)) skipped.push(`${name}: no time`);
    else records.push({ ...commonOf(results), ...engineRow(row, value), controls: {} });
  }
  return { records, skipped };
}

const NS_PER_MS = 1e6;

function engineRow(row: Result, value: number): Omit<HistoryRecord, keyof Common | "controls"> {
  const { engine, phase, threads, precision, weights, keyValues, low, high, samples, unit } = row;
  const scale = unit === "ms" ? NS_PER_MS : 1;
  const interval = low === null || high === null ? {} : { low: low * scale, high: high * scale };
  return {
    bench: row.case,
    params: {
      engine,
      phase,
      threads,
      precision,
      ...(weights === undefined ? {} : { weights }),
      ...(keyValues === undefined ? {} : { keyValues }),
    },
    unit: unit === "ms" ? "ns" : "bytes",
    value: value * scale,
    ...interval,
    samples: samples.length,
  };
}

function withCommit(record: HistoryRecord, { commit: given, committedAt }: RecordOptions): HistoryRecord {
  const commit = record.commit ?? given;
  if (commit === undefined) return record;
  const at = committedAt?.(commit);
  return { ...record, commit, ...(at === undefined ? {} : { committedAt: at }) };
}
