/** A history in a folder: writers at once, lost processes, full disks, and what should not be there. */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DirectoryStore } from "./directory-store.ts";
import { FolderLock } from "./folder-lock.ts";
import { type HistoryRecord, recordLine } from "./record.ts";
import { sampleRecords, temporaryFolder } from "./sample-history.test-support.ts";
import { addRecords, parseShards, shardPath } from "./shards.ts";
import { readHistory } from "./store.ts";

const root = temporaryFolder();
let count = 0;
const fresh = (): string => join(root, `h${++count}`);

async function add(folder: string, records: readonly HistoryRecord[]): Promise<void> {
  const paths = [...new Set(records.map(shardPath))];
  await new DirectoryStore(folder).update(paths, (shards) => addRecords(shards, records).changed);
}

const allFiles = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();

/** Adds to a folder from another process: `add-many.ts` beside this file does the same as `add`. */
const source = (name: string): string => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
const PROGRAM = `
import { DirectoryStore } from ${source("./directory-store.ts")};
import { addRecords, shardPath } from ${source("./shards.ts")};
const [folder, text] = process.argv.slice(2);
for (const record of JSON.parse(text))
  await new DirectoryStore(folder).update([shardPath(record)], (shards) => addRecords(shards, [record]).changed);
`;
const program = join(root, "add-many.ts");
writeFileSync(program, PROGRAM);
const nodeArgs = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", program];

it("what is added is read, in files by class and month", async () => {
  const folder = fresh();
  const records = [...sampleRecords({ days: 40 }), ...sampleRecords({ days: 2, class: "other" })];
  await add(folder, records);
  expect(allFiles(folder)).toEqual([
    ".gitattributes",
    "example-2",
    "example-2/2026-06.jsonl",
    "example-2/2026-07.jsonl",
    "other",
    "other/2026-06.jsonl",
  ]);
  const lines = await readHistory(new DirectoryStore(folder));
  expect(lines.map(({ record }) => record)).toEqual(records);
});

it("a folder that is not there is an empty history, and reading makes none", async () => {
  const folder = fresh();
  expect(await readHistory(new DirectoryStore(folder))).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});

describe("writers at once", () => {
  it("lose nothing, within a process", async () => {
    const folder = fresh();
    const records = sampleRecords({ days: 30 });
    await Promise.all(records.map((record) => add(folder, [record])));
    const { lines, problems } = parseShards(await new DirectoryStore(folder).read());
    expect([lines.length, problems]).toEqual([30, []]);
    expect(allFiles(folder).filter((name) => /lock|part/.test(name))).toEqual([]);
  });

  it("lose nothing, across processes", async () => {
    const folder = fresh();
    const records = sampleRecords({ days: 80 });
    const groups = [0, 1, 2, 3].map((n) => records.filter((_, i) => i % 4 === n));
    const ends = groups.map(async (group) => {
      const child = spawn(process.execPath, [...nodeArgs, folder, JSON.stringify(group)], { stdio: "inherit" });
      return new Promise((done) => child.once("close", done));
    });
    expect(await Promise.all(ends)).toEqual([0, 0, 0, 0]);
    const { lines, problems } = parseShards(await new DirectoryStore(folder).read());
    expect(problems).toEqual([]);
    expect(new Set(lines.map(({ record }) => record.run)).size).toBe(80);
  });

  it("the lock of a process that is gone is taken over, that of a living or foreign one is waited for", async () => {
    const folder = fresh();
    mkdirSync(folder);
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    writeFileSync(join(folder, ".lock"), `${pid} ${hostname()} 1 1\n`);
    (await FolderLock.take(folder, 2000)).release();
    for (const owner of [`${process.pid} ${hostname()} 1 1`, `${pid} elsewhere 1 1`, "", "scribble"]) {
      writeFileSync(join(folder, ".lock"), owner);
      await expect(FolderLock.take(folder, 50)).rejects.toThrow("another process is writing the history");
      expect(readFileSync(join(folder, ".lock"), "utf8")).toBe(owner);
    }
  });
});

describe("what goes wrong", () => {
  it("a full disk leaves the file as it was, and no part of another", async (context) => {
    if (process.platform === "win32") context.skip("there is no limit of file sizes to set on Windows");
    const folder = fresh();
    const records = sampleRecords({ days: 30 });
    await add(folder, records.slice(0, 2));
    const before = (await new DirectoryStore(folder).read()).get("example-2/2026-06.jsonl");
    const last = records.at(-1)!;
    const long = Array.from({ length: 40 }, (_, i) => ({ ...last, run: `long-${i}`, source: "x".repeat(1000) }));
    writeFileSync(join(root, "long.json"), JSON.stringify(long));
    // Files of more than 8 KiB cannot be written; without the signal, which would end the process.
    const script = `trap '' XFSZ; ulimit -f 8; exec "$@"`;
    const text = readFileSync(join(root, "long.json"), "utf8");
    const { status, stderr } = spawnSync("bash", ["-c", script, "bash", process.execPath, ...nodeArgs, folder, text], {
      encoding: "utf8",
    });
    expect(status).not.toBe(0);
    expect(stderr).toContain("the history cannot be read or written (EFBIG");
    const after = parseShards(await new DirectoryStore(folder).read());
    expect(after.problems).toEqual([]);
    expect(after.lines[0]?.text).toBe(before?.split("\n")[0]);
    expect(after.lines[1]?.text).toBe(before?.split("\n")[1]);
    expect(allFiles(folder).filter((name) => /lock|part/.test(name))).toEqual([]);
  });

  it("a change that throws writes nothing and leaves no lock", async () => {
    const folder = fresh();
    const store = new DirectoryStore(folder);
    const fail = (): never => {
      throw new Error("no");
    };
    await expect(store.update(undefined, fail)).rejects.toThrow("no");
    expect(allFiles(folder)).toEqual([]);
    await add(folder, sampleRecords({ days: 1 }));
  });

  it("lines that are no records are refused with their places, or left out when asked for", async () => {
    const folder = fresh();
    const [first, second] = sampleRecords({ days: 2 }) as [HistoryRecord, HistoryRecord];
    mkdirSync(join(folder, "example-2"), { recursive: true });
    writeFileSync(join(folder, "example-2/2026-06.jsonl"), `${recordLine(first)}\nbroken\n${recordLine(second)}\n`);
    const store = new DirectoryStore(folder);
    await expect(readHistory(store)).rejects.toThrow(/example-2\/2026-06\.jsonl:2: no valid JSON[^]*--skip-bad/);
    const told: number[] = [];
    expect(await readHistory(store, ({ line }) => told.push(line))).toHaveLength(2);
    expect(told).toEqual([2]);
    writeFileSync(join(folder, "example-2/2026-07.jsonl"), recordLine(first).replace("history/1", "history/9"));
    await expect(readHistory(store, () => {})).rejects.toThrow(/2026-07\.jsonl:1: .*history\/9[^]*newer version/);
  });

  it("what is no regular file is refused", async () => {
    const folder = fresh();
    await add(folder, sampleRecords({ days: 1 }));
    symlinkSync("/etc/passwd", join(folder, "example-2/2026-09.jsonl"));
    await expect(new DirectoryStore(folder).read()).rejects.toThrow("this is no regular file");
    const file = join(root, "file");
    writeFileSync(file, "");
    await expect(new DirectoryStore(file).read()).rejects.toThrow("the history is no folder");
    await expect(add(file, sampleRecords({ days: 1 }))).rejects.toThrow("the history is no folder");
    await expect(add("/proc/nowhere/h", sampleRecords({ days: 1 }))).rejects.toThrow("cannot be read or written");
  });

  it("bytes that are no text are refused", async () => {
    const folder = fresh();
    mkdirSync(join(folder, "example-2"), { recursive: true });
    writeFileSync(join(folder, "example-2/2026-06.jsonl"), Buffer.from([0xff, 0xfe, 0x00]));
    await expect(new DirectoryStore(folder).read()).rejects.toThrow("no text in UTF-8");
  });
});
