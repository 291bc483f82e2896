/** The history in the forms of other tools, read back. */

import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { analyseSeries } from "./analyse.ts";
import { EXPORT_COLUMNS, toBadge, toBmf, toCsv, toGithubActionBenchmark, toJson } from "./exports.ts";
import { commitOf, sampleRecords, temporaryFolder } from "./sample-history.test-support.ts";
import { seriesOf } from "./series.ts";
import { writeSqlite } from "./sqlite.ts";

const folder = temporaryFolder();
const step = sampleRecords({ days: 60, level: (day) => (day < 30 ? 1 : 1.1) });
const flat = sampleRecords({ days: 60, bench: "flat", seed: 5 }).map((record) => ({ ...record, params: { n: 4 } }));
const records = [...step, ...flat];
const analyses = seriesOf(records).map((series) => analyseSeries(series));
const [first] = step;

describe("text", () => {
  it("CSV: a row for each record, and no cell that a spreadsheet runs", () => {
    const evil = { ...first!, bench: '=HYPERLINK("x"),\n', base: { ratio: 1.5, low: 1.4, high: 1.6 } };
    const lines = toCsv([evil, ...records]).split("\r\n");
    expect(lines).toHaveLength(records.length + 3);
    expect(lines[0]).toBe(EXPORT_COLUMNS.join(","));
    expect(lines[1]).toContain(`"'=HYPERLINK(""x""), "`);
    expect(lines[1]).toContain(",1.5,1.4,1.6,");
    expect(lines[2]!.split(",").slice(0, 3)).toEqual([first!.at, "example-2", "sort/1e4"]);
  });

  it("JSON: records and changes", () => {
    const found = JSON.parse(toJson(records, analyses)) as {
      records: unknown[];
      changes: { bench: string; range: unknown }[];
    };
    expect(found.records).toEqual(records);
    expect(found.changes).toMatchObject([{ bench: "sort/1e4", range: { bad: commitOf(30) } }]);
  });

  it("Bencher Metric Format: the last of each", () => {
    const last = step.at(-1)!;
    expect(JSON.parse(toBmf(records))).toEqual({
      "flat n=4": {
        latency: { value: flat.at(-1)!.value, lower_value: flat.at(-1)!.low, upper_value: flat.at(-1)!.high },
      },
      "sort/1e4": { latency: { value: last.value, lower_value: last.low, upper_value: last.high } },
    });
    const memory = { ...first!, unit: "bytes" as const, value: 12 };
    expect(JSON.parse(toBmf([first!, memory]))["sort/1e4"]).toMatchObject({ latency: {}, memory: { value: 12 } });
  });

  it("github-action-benchmark: the last of each", () => {
    const found = JSON.parse(toGithubActionBenchmark(records)) as Record<string, unknown>[];
    expect(found.map(({ name }) => name)).toEqual(["flat n=4", "sort/1e4"]);
    expect(found[1]).toEqual({
      name: "sort/1e4",
      unit: "ns",
      value: step.at(-1)!.value,
      range: expect.stringMatching(/^\d.* … \d/) as string,
      extra: "class example-2\n16 samples",
    });
  });

  it("badge: the time of one bench, or how many are slower", () => {
    const badge = (list = records, found = analyses): unknown => JSON.parse(toBadge(list, found));
    expect(badge()).toEqual({
      schemaVersion: 1,
      label: "benchmarks",
      message: "1 of 2 benches slower",
      color: "orange",
    });
    expect(badge(flat, [])).toMatchObject({
      label: "flat n=4",
      message: expect.stringMatching(/µs$/) as string,
      color: "brightgreen",
    });
    expect(badge([], [])).toMatchObject({ message: "none yet", color: "lightgrey" });
  });

  it("numbers of different machines are never put beside each other", () => {
    const mixed = [...records, ...sampleRecords({ days: 1, class: "other" })];
    for (const make of [() => toBmf(mixed), () => toGithubActionBenchmark(mixed), () => toBadge(mixed, [])])
      expect(make).toThrow(/2 classes of machines, which are not mixed[^]*example-2, other/);
  });
});

describe("SQLite", () => {
  it("holds records, controls and changes, in the place of an older file", async () => {
    const path = join(folder, "h.db");
    writeFileSync(path, "older");
    await writeSqlite(path, records, analyses);
    const database = new DatabaseSync(path, { readOnly: true });
    const one = (sql: string): unknown => Object.values(database.prepare(sql).get() ?? {})[0];
    expect(one("SELECT count(*) FROM records")).toBe(120);
    expect(one("SELECT count(*) FROM controls")).toBe(360);
    expect(one(`SELECT value FROM records WHERE "commit" = '${commitOf(0)}' AND bench = 'sort/1e4'`)).toBe(
      first!.value,
    );
    expect(one("SELECT bad FROM changes")).toBe(commitOf(30));
    expect(one("SELECT value FROM about WHERE name = 'schema'")).toBe("quern.history/1");
    expect(one("PRAGMA integrity_check")).toBe("ok");
    database.close();
    expect(readdirSync(folder)).toEqual(["h.db"]);
  });

  it("what cannot be written leaves nothing", async () => {
    mkdirSync(join(folder, "taken.db"));
    await expect(writeSqlite(join(folder, "taken.db"), records, analyses)).rejects.toThrow(
      "the database cannot be written",
    );
    await expect(writeSqlite("/proc/nowhere/h.db", records, analyses)).rejects.toThrow(
      "the database cannot be written",
    );
    expect(readdirSync(folder).sort()).toEqual(["h.db", "taken.db"]);
  });
});
