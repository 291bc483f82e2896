/** Change points of histories: found where a level changed, never across machines, with the commits that are to blame. */

import { describe, expect, it } from "vitest";
import { analyseSeries, bisectCommand, newlyFound, trendOf } from "./analyse.ts";
import { pruneShards } from "./prune.ts";
import { type HistoryRecord, recordLine } from "./record.ts";
import { commitOf, sampleRecords } from "./sample-history.test-support.ts";
import { seriesOf } from "./series.ts";
import { addRecords, parseShards } from "./shards.ts";

const step = (at: number, to: number) => (day: number) => (day < at ? 1 : to);
const analyse = (records: readonly HistoryRecord[], options = {}): ReturnType<typeof analyseSeries>[] =>
  seriesOf(records, options).map((series) => analyseSeries(series));

describe("series", () => {
  it("never mix classes, parameters or units", () => {
    const records = [
      ...sampleRecords({ days: 3 }),
      ...sampleRecords({ days: 2, class: "other" }),
      ...sampleRecords({ days: 2 }).map((record) => ({ ...record, params: { n: 2 } })),
      ...sampleRecords({ days: 1 }).map((record) => ({ ...record, unit: "bytes" as const })),
      ...sampleRecords({ days: 1 }).map((record) => ({ ...record, kind: "engines" as const })),
    ];
    expect(
      seriesOf(records)
        .map(({ points }) => points.length)
        .sort((a, b) => a - b),
    ).toEqual([1, 1, 2, 2, 3]);
    for (const { points } of seriesOf(records)) expect(new Set(points.map(({ record }) => record.class)).size).toBe(1);
  });

  it("divide by the controls that all points have, but not by the start of processes", () => {
    const records = sampleRecords({ days: 4, spread: 0 });
    const [series] = seriesOf(records);
    expect(series!.controls).toEqual(["ctl.fma", "ctl.triad"]);
    for (const { value } of series!.points) expect(value).toBeCloseTo(800_000 / Math.sqrt(5000 * 90_000), 8);
    const fewer = records.map((record, i) =>
      i === 1 ? { ...record, controls: { "ctl.fma": record.controls["ctl.fma"]! } } : record,
    );
    expect(seriesOf(fewer)[0]!.controls).toEqual(["ctl.fma"]);
    expect(seriesOf(records, { control: "none" })[0]!.points[0]!.value).toBe(records[0]!.value);
    expect(seriesOf(fewer, { control: "ctl.triad" })[0]!.points).toHaveLength(3);
    expect(seriesOf(records, { control: "ctl.none" })).toEqual([]);
  });

  it("follow the commits where all are known, and leave out what was not committed", () => {
    const records = sampleRecords({ days: 3 });
    const made = (i: number): string => new Date(Date.UTC(2026, 0, 10 - i)).toISOString();
    const dated = records.map((record, i) => ({ ...record, committedAt: made(i) }));
    const order = (list: readonly HistoryRecord[]): string[] =>
      seriesOf(list)[0]!.points.map(({ record }) => record.run);
    expect(order(dated)).toEqual(["run-2", "run-1", "run-0"]);
    expect(order([...dated.slice(1), records[0]!])).toEqual(["run-0", "run-1", "run-2"]);
    expect(order([{ ...records[0]!, dirty: true }, records[1]!])).toEqual(["run-1"]);
  });
});

describe("changes", () => {
  it("a step is found, with commits and the command that searches them; machines moving by a fifth hide nothing", () => {
    const [found] = analyse(sampleRecords({ days: 100, level: step(60, 1.05) }));
    expect(found!.changes).toHaveLength(1);
    const [change] = found!.changes;
    expect(Math.abs(change!.index - 60)).toBeLessThanOrEqual(2);
    expect(change!.ratio).toBeCloseTo(1.05, 2);
    expect(change!.range).toEqual({ good: commitOf(change!.index - 1), bad: commitOf(change!.index) });
    expect(bisectCommand(found!, change!, "quern")).toBe(
      `quern bisect sort/1e4 --good ${commitOf(change!.index - 1)} --bad ${commitOf(change!.index)}`,
    );
    expect(trendOf(found!)).toMatchObject({ bench: "sort/1e4", unit: "ratio", changes: [{ index: change!.index }] });
  });

  it("none is found where the step is in another class, nor without one", () => {
    const slow = sampleRecords({ days: 60, class: "slow", level: () => 1.5, seed: 2 });
    const fast = sampleRecords({ days: 60, class: "fast", seed: 3 });
    const mixed = [...fast.slice(0, 30), ...slow.slice(30)];
    expect(analyse(mixed).flatMap(({ changes }) => changes)).toEqual([]);
    expect(analyse([...fast, ...slow]).flatMap(({ changes }) => changes)).toEqual([]);
  });

  it("says what else changed, and what makes a finding weak", () => {
    const records = sampleRecords({ days: 40, level: step(20, 1.2), controls: false });
    const later = records.map((record, i) =>
      i < 20 ? record : { ...record, tool: "quern 0.2.0", fingerprint: "other" },
    );
    const [{ changes } = { changes: [] }] = analyse(later);
    expect(changes[0]!.notes).toEqual([
      "measured by quern 0.1.0 before, quern 0.2.0 after",
      "another machine of the class, or another state of it, after",
      "no control kernel: the machine itself may have changed",
    ]);
    const same = records.map((record) => ({ ...record, commit: commitOf(1) }));
    const [first] = analyse(same);
    expect(first!.changes[0]!.range).toBeUndefined();
    expect(bisectCommand(first!, first!.changes[0]!, "quern")).toBeUndefined();
  });

  it("names of benches are words of a shell", () => {
    const records = sampleRecords({ days: 40, level: step(20, 1.2), bench: "it's; rm -rf $HOME" });
    const [found] = analyse(records);
    expect(bisectCommand(found!, found!.changes[0]!, "quern")).toMatch(
      /^quern bisect 'it'\\''s; rm -rf \$HOME' --good /,
    );
    const [faster] = analyse(sampleRecords({ days: 40, level: step(20, 0.8) }));
    expect(faster!.changes[0]!.ratio).toBeCloseTo(0.8, 1);
    expect(bisectCommand(faster!, faster!.changes[0]!, "quern")).toBeUndefined();
  });

  it("a few points say nothing; the search is given logarithms", () => {
    expect(analyse(sampleRecords({ days: 7, level: step(4, 3) }))[0]).toMatchObject({ short: true, changes: [] });
    const [series] = seriesOf(sampleRecords({ days: 10, spread: 0, controls: false }));
    let given: readonly number[] = [];
    analyseSeries(series!, {}, (logs) => {
      given = logs;
      return [];
    });
    for (const log of given) expect(log).toBeCloseTo(Math.log(800_000), 10);
  });
});

describe("alarms of a nightly job", () => {
  const DAY = 86_400_000;

  /** Nights, counted from 0, on which `analyze --fail-since 3d` fails. */
  function alarmNights(records: readonly HistoryRecord[], first: number): number[] {
    const nights: number[] = [];
    for (let night = first; night < records.length; night++) {
      const since = Date.parse(records[night]!.at) - 2.5 * DAY;
      const alarms = analyse(records.slice(0, night + 1)).flatMap((found) => newlyFound(found, since));
      if (alarms.some(({ ratio }) => ratio > 1)) nights.push(night);
    }
    return nights;
  }

  it.each([
    { change: 1.05, seed: 1 },
    { change: 1.05, seed: 2 },
    { change: 1.025, seed: 3 },
    { change: 1.025, seed: 4 },
  ])("$change × at 2 % of noise fails it when it is found, and not for ever (seed $seed)", ({ change, seed }) => {
    const nights = alarmNights(sampleRecords({ days: 75, level: step(40, change), spread: 0.02, seed }), 38);
    // Long after the change it was the date of, where the change is small.
    expect(nights.length).toBeGreaterThan(0);
    expect(nights[0]).toBeGreaterThanOrEqual(40);
    expect(nights.length).toBeLessThanOrEqual(9);
  });

  it("what became faster is none, nor is what was known; what grows is one again", () => {
    const faster = analyse(sampleRecords({ days: 60, level: step(30, 0.9) }))[0]!;
    expect(newlyFound(faster, Date.parse(faster.series.points[30]!.record.at))).toEqual(faster.changes);
    expect(
      alarmNights(
        faster.series.points.map(({ record }) => record),
        30,
      ),
    ).toEqual([]);

    const stairs = (day: number): number => (day < 30 ? 1 : day < 45 ? 1.1 : 1.2);
    const [found] = analyse(sampleRecords({ days: 60, level: stairs }));
    const at = (day: number): number => Date.parse(found!.series.points[day]!.record.at);
    expect(found!.changes.map(({ index }) => index)).toEqual([30, 45]);
    expect(newlyFound(found!, at(59))).toEqual([]);
    expect(newlyFound(found!, at(45))).toEqual([found!.changes[1]]);
    expect(newlyFound(found!, at(30))).toEqual(found!.changes);
    expect(newlyFound(found!, at(59) + DAY)).toEqual([]);

    // The same place, but the search sees a larger step than before.
    const sizes = [1.03, 1.08];
    const find = (): { index: number; ratio: number; p: number }[] => [{ index: 30, ratio: sizes.pop()!, p: 1e-9 }];
    const grown = analyseSeries(found!.series, {}, find);
    expect(newlyFound(grown, at(50), {}, find)).toEqual(grown.changes);
    sizes.push(1.075, 1.08);
    const still = analyseSeries(found!.series, {}, find);
    expect(newlyFound(still, at(50), {}, find)).toEqual([]);
  });

  it("measurements of older commits, made now, count as of now", () => {
    const records = sampleRecords({ days: 60, level: step(30, 1.1) }).map((record) => ({
      ...record,
      committedAt: record.at,
    }));
    const late = (from: number, to: number): HistoryRecord[] =>
      records.map((record, i) =>
        i >= from && i < to ? { ...record, at: new Date(Date.parse(record.at) + 400 * DAY).toISOString() } : record,
      );
    const since = Date.parse(records[59]!.at) + DAY;
    expect(newlyFound(analyse(late(0, 60))[0]!, since)).toHaveLength(1);
    expect(newlyFound(analyse(late(28, 58))[0]!, since)).toHaveLength(1);
    expect(newlyFound(analyse(late(5, 8))[0]!, since)).toEqual([]);
  });
});

describe("pruning", () => {
  const records = sampleRecords({ days: 120, level: step(40, 1.1) });
  const shards = addRecords(new Map(), records).changed;
  const before = Date.parse(records[90]!.at);

  it("removes old records, keeps those around a change, and the change is still told", () => {
    const { changed, removed, left } = pruneShards(shards, { before });
    expect(removed + left).toBe(120);
    expect(left).toBe(30 + 6);
    const after = parseShards(new Map([...new Map([...shards, ...changed])].filter(([, text]) => text !== "")));
    expect([after.lines.length, after.problems]).toEqual([left, []]);
    const [found] = analyse(after.lines.map(({ record }) => record));
    expect(found!.changes).toHaveLength(1);
    expect(found!.changes[0]!.ratio).toBeCloseTo(1.1, 1);
    const again = pruneShards(new Map([...shards, ...changed]), { before });
    expect([again.removed, again.left]).toEqual([0, left]);
    expect(again.changed.size).toBe(0);
  });

  it("nothing is old: nothing changes", () => {
    expect(pruneShards(shards, { before: 0 })).toMatchObject({ removed: 0, left: 120, changed: new Map() });
  });

  it("files of which nothing is left are empty; others stay byte for byte", () => {
    const flat = sampleRecords({ days: 60 });
    const made = addRecords(new Map(), flat).changed;
    const { changed } = pruneShards(made, { before: Date.parse("2026-07-01T00:00:00Z") });
    expect([...changed]).toEqual([["example-2/2026-06.jsonl", ""]]);
  });

  it("what is not understood is not rewritten", () => {
    const broken = new Map([["example-2/2026-06.jsonl", `${recordLine(records[0]!)}\nhalf a li\n`]]);
    expect(() => pruneShards(broken, { before })).toThrow(
      /left as it is[^]*example-2\/2026-06\.jsonl:2: no valid JSON/,
    );
  });
});
