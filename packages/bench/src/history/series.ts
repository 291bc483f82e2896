/**
 * Records in rows that may be compared: of one benchmark, on one class of machine. The level of a machine moves from day to
 * day by more than code does, so where control kernels were measured beside, their time divides that of the benchmark.
 */

import { type HistoryRecord, paramText } from "./record.ts";

export interface SeriesPoint {
  readonly record: HistoryRecord;
  /** Time of the benchmark over that of the control, or its time where there is none. */
  readonly value: number;
}

export interface Series {
  readonly bench: string;
  readonly params: HistoryRecord["params"];
  readonly class: string;
  readonly unit: HistoryRecord["unit"];
  /** Kernels whose geometric mean divides the values; none: the values are absolute. */
  readonly controls: readonly string[];
  /** In the order of the commits where all of them are known, else of the measurements. */
  readonly points: readonly SeriesPoint[];
}

export interface SeriesOptions {
  /** A control kernel, "none", or "auto" (the default): all that every point has, but for those that time processes. */
  readonly control?: string | undefined;
  /** Takes measurements of uncommitted changes in. */
  readonly dirty?: boolean | undefined;
}

/** Starting a process says nothing of how fast code runs. */
const SPAWN_CONTROL = "ctl.spawn";

/** Rows by class, benchmark and parameters, in that order. Points without the control that is asked for are left out. */
export function seriesOf(records: readonly HistoryRecord[], options: SeriesOptions = {}): Series[] {
  const { control = "auto", dirty = false } = options;
  const wanted = records.filter((record) => (dirty || record.dirty !== true) && hasControl(record, control));
  const groups = Map.groupBy(wanted, (record) =>
    JSON.stringify([record.class, record.bench, paramText(record.params), record.unit, kindOf(record)]),
  );
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => {
      const { bench, params, class: machine, unit } = group[0] as HistoryRecord;
      const ordered = inOrder(group);
      const controls = controlsOf(ordered, control);
      const points = ordered.map((record) => ({ record, value: valueOf(record, controls) }));
      return { bench, params, class: machine, unit, controls, points };
    });
}

/** Runs of pairs measure a benchmark in the same way; others each in their own. */
function kindOf({ kind }: HistoryRecord): string {
  return kind === "ab" ? "gate" : kind;
}

function hasControl({ controls }: HistoryRecord, control: string): boolean {
  return control === "auto" || control === "none" || Object.hasOwn(controls, control);
}

function controlsOf(records: readonly HistoryRecord[], control: string): string[] {
  if (control === "none" || records.some(({ unit }) => unit !== "ns")) return [];
  if (control !== "auto") return [control];
  const [first, ...others] = records.map(({ controls }) => Object.keys(controls));
  return (first ?? []).filter((id) => id !== SPAWN_CONTROL && others.every((ids) => ids.includes(id))).sort();
}

function valueOf({ value, controls }: HistoryRecord, ids: readonly string[]): number {
  if (ids.length === 0) return value;
  const logs = ids.map((id) => Math.log(controls[id] as number));
  return value / Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
}

function inOrder(records: readonly HistoryRecord[]): HistoryRecord[] {
  const byCommit = records.every(({ committedAt }) => committedAt !== undefined);
  const keys = (record: HistoryRecord): (number | string)[] => [
    byCommit ? Date.parse(record.committedAt as string) : 0,
    Date.parse(record.at),
    record.run,
  ];
  return records.toSorted((a, b) => {
    const [left, right] = [keys(a), keys(b)];
    const at = left.findIndex((key, i) => key !== right[i]);
    return at < 0 ? 0 : (left[at] as number | string) < (right[at] as number | string) ? -1 : 1;
  });
}

/** The name of a row for people. */
export function seriesName({
  bench,
  params,
}: Pick<HistoryRecord, "bench"> & { readonly params?: HistoryRecord["params"] }): string {
  const text = paramText(params);
  return text === "" ? bench : `${bench} ${text}`;
}
