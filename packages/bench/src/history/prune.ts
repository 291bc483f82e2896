/**
 * Takes old records out of a history. Where a level changed, the records around stay and the first of the new level is marked,
 * so that the change is still told when what it was found in is gone.
 */

import { UserError } from "@quern/core/errors";
import { type ChangePointOptions, CHANGE_POINT_DEFAULTS } from "../statistics/change-points.ts";
import { analyseSeries } from "./analyse.ts";
import { type HistoryRecord, recordKey, recordLine } from "./record.ts";
import { seriesOf } from "./series.ts";
import { appendLines, parseShards, type Shards } from "./shards.ts";
import { problemText } from "./store.ts";

export interface PruneOptions {
  /** Milliseconds since 1970: older records go. */
  readonly before: number;
  /** Records that stay on either side of a change. */
  readonly around?: number;
  readonly changePoints?: Partial<ChangePointOptions>;
}

export interface Pruned {
  /** New texts of the files that change; empty where nothing is left. */
  readonly changed: Map<string, string>;
  readonly removed: number;
  readonly left: number;
}

const AROUND = 3;

/** Throws a `UserError` where a line is no record: what is not understood is not rewritten. */
export function pruneShards(shards: Shards, options: PruneOptions): Pruned {
  const { before, around = AROUND, changePoints = CHANGE_POINT_DEFAULTS } = options;
  const { lines, problems } = parseShards(shards);
  const [problem] = problems;
  if (problem !== undefined)
    throw new UserError("the history has lines that are no records, and is left as it is", {
      where: problemText(problem),
      hint: "Mend or remove the lines first.",
    });
  const stays = ({ at }: HistoryRecord): boolean => Date.parse(at) >= before;
  const keep = new Set<string>();
  const marks = new Map<string, HistoryRecord["change"]>();
  for (const series of seriesOf(records(lines), { dirty: true })) {
    const { points } = series;
    const { changes } = analyseSeries(series, changePoints);
    const near = (i: number): boolean => changes.some(({ index }) => i >= index - around && i < index + around);
    const kept = points.filter(({ record }, i) => stays(record) || near(i));
    for (const { record } of kept) keep.add(recordKey(record));
    if (kept.length === points.length) continue;
    const found = analyseSeries({ ...series, points: kept }, changePoints).changes;
    for (const { index, ratio, p } of changes) {
      const first = points[index] as (typeof points)[number];
      const place = kept.indexOf(first);
      if (!found.some((other) => Math.abs(other.index - place) <= 1)) marks.set(recordKey(first.record), { ratio, p });
    }
  }
  const changed = new Map<string, string>();
  let left = 0;
  for (const [path, group] of Map.groupBy(lines, (line) => line.path)) {
    const kept = group.filter(({ record }) => keep.has(recordKey(record)));
    left += kept.length;
    // Marks may belong into files from which nothing is taken.
    const texts = kept.map(({ record, text }) => marked(record, text, marks.get(recordKey(record))));
    if (texts.length < group.length || texts.some((text, i) => text !== group[i]?.text))
      changed.set(path, appendLines("", texts));
  }
  return { changed, removed: lines.length - left, left };
}

function records(lines: ReturnType<typeof parseShards>["lines"]): HistoryRecord[] {
  return lines.map(({ record }) => record);
}

function marked(record: HistoryRecord, text: string, change: HistoryRecord["change"]): string {
  return change === undefined || record.change !== undefined ? text : recordLine({ ...record, change });
}
