/**
 * Where the level of a benchmark changed over its history, and between which commits. Small losses, each below what the gate
 * of a pull request can see, add up: this finds them.
 */

import {
  type ChangePoint,
  type ChangePointOptions,
  CHANGE_POINT_DEFAULTS,
  changePoints,
} from "../statistics/change-points.ts";
import type { Trend } from "../results/schema.ts";
import { commandLine } from "../report/gate-facts.ts";
import type { HistoryRecord } from "./record.ts";
import { type Series, seriesName } from "./series.ts";

export interface LevelChange {
  /** First point of the new level. */
  readonly index: number;
  /** New level over old; > 1 is slower, or larger. */
  readonly ratio: number;
  readonly p: number;
  readonly before: HistoryRecord;
  readonly after: HistoryRecord;
  /** Commits between which the cause lies; absent where the records do not tell them apart. */
  readonly range?: { readonly good: string; readonly bad: string };
  /** What else changed there, and what makes the finding weak. */
  readonly notes: readonly string[];
}

export interface SeriesAnalysis {
  readonly series: Series;
  readonly changes: readonly LevelChange[];
  /** True: too short to find anything in. */
  readonly short: boolean;
}

/** Finds change points of a series of logarithms; the signature of `changePoints`. */
export type FindChanges = (series: readonly number[], options: Partial<ChangePointOptions>) => readonly ChangePoint[];

/** Fewer points cannot show a change at the limits of the search. */
export const LEAST_POINTS = 8;

/** Kept changes this near to a found one are the same. */
const SAME_PLACE = 2;

/** By so many points the place of a small change moves as points are added behind it. */
const MOVED_PLACE = 10;

export function analyseSeries(
  series: Series,
  options: Partial<ChangePointOptions> = CHANGE_POINT_DEFAULTS,
  find: FindChanges = changePoints,
): SeriesAnalysis {
  const { points } = series;
  const short = points.length < LEAST_POINTS;
  const found = short
    ? []
    : find(
        points.map(({ value }) => Math.log(value)),
        options,
      );
  const kept = points.flatMap(({ record: { change } }, index) =>
    change === undefined || index === 0 || found.some((other) => Math.abs(other.index - index) <= SAME_PLACE)
      ? []
      : [{ index, ...change }],
  );
  const changes = [
    ...found.map((point) => levelChange(series, point, [])),
    ...kept.map((point) => levelChange(series, point, ["found before earlier records were pruned"])),
  ];
  return { series, changes: changes.toSorted((a, b) => a.index - b.index), short };
}

/**
 * The changes of an analysis that are found only with what was measured since a moment (ms since 1970), or that have grown with it
 * by as much as makes a change: alarms of a nightly job. When a change happened says little of when it is seen, since a small one
 * needs many nights to stand out; so the series is searched again without these points, with the same options. A change that was
 * known accounts for one of now.
 */
export function newlyFound(
  { series, changes }: SeriesAnalysis,
  since: number,
  options: Partial<ChangePointOptions> = CHANGE_POINT_DEFAULTS,
  find: FindChanges = changePoints,
): readonly LevelChange[] {
  const earlier = series.points.filter(({ record }) => Date.parse(record.at) < since);
  if (earlier.length === series.points.length) return [];
  // Records may be of commits between others: places are those of the whole series.
  const place = new Map(series.points.map(({ record }, index) => [record, index]));
  const known = analyseSeries({ ...series, points: earlier }, options, find).changes.map(({ after, ratio }) => ({
    index: place.get(after) as number,
    ratio,
  }));
  const { minMagnitude } = { ...CHANGE_POINT_DEFAULTS, ...options };
  return changes.filter(({ index, ratio }) => {
    const step = Math.log(ratio);
    const distance = (other: { readonly index: number }): number => Math.abs(other.index - index);
    const [same] = known
      .filter((other) => distance(other) <= MOVED_PLACE && Math.log(other.ratio) * step > 0)
      .toSorted((x, y) => distance(x) - distance(y));
    if (same === undefined) return true;
    known.splice(known.indexOf(same), 1);
    return Math.abs(step) - Math.abs(Math.log(same.ratio)) > Math.log1p(minMagnitude);
  });
}

function levelChange({ points, controls, unit }: Series, point: ChangePoint, notes: readonly string[]): LevelChange {
  const { index, ratio, p } = point;
  const before = (points[index - 1] as Series["points"][number]).record;
  const after = (points[index] as Series["points"][number]).record;
  const range =
    before.commit === undefined || after.commit === undefined || before.commit === after.commit
      ? {}
      : { range: { good: before.commit, bad: after.commit } };
  return {
    index,
    ratio,
    p,
    before,
    after,
    ...range,
    notes: [
      ...notes,
      ...(before.tool === after.tool
        ? []
        : [`measured by ${before.tool ?? "unknown"} before, ${after.tool ?? "unknown"} after`]),
      ...(before.fingerprint === after.fingerprint
        ? []
        : ["another machine of the class, or another state of it, after"]),
      ...(before.commit !== undefined && before.commit === after.commit ? ["the commit is the same"] : []),
      ...(controls.length === 0 && unit === "ns" ? ["no control kernel: the machine itself may have changed"] : []),
    ],
  };
}

/** As reports draw it. */
export function trendOf({ series, changes }: SeriesAnalysis): Trend {
  const { points, controls, unit } = series;
  return {
    bench: seriesName(series),
    class: series.class,
    unit: controls.length > 0 ? "ratio" : unit,
    points: points.map(({ record, value }) => {
      const scale = value / record.value;
      const { low, high, commit, at } = record;
      return {
        at,
        value,
        ...(low === undefined || high === undefined ? {} : { low: low * scale, high: high * scale }),
        ...(commit === undefined ? {} : { commit }),
      };
    }),
    changes: changes.map((change) => ({ index: change.index, ratio: change.ratio, p: change.p })),
  };
}

/** The words of a shell that search the commit which made a benchmark slower; none for what made it faster. */
export function bisectCommand(
  { series }: SeriesAnalysis,
  { range, ratio }: LevelChange,
  tool: string,
): string | undefined {
  if (range === undefined || series.unit !== "ns" || ratio < 1) return undefined;
  return commandLine([tool, "bisect", series.bench, "--good", range.good, "--bad", range.bad]);
}
