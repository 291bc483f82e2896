/** `history` as users meet it: its options, what it prints, and exit codes. */

import { existsSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { recordLine } from "../history/record.ts";
import { GIT_ENVIRONMENT, git, sampleRecords, temporaryFolder } from "../history/sample-history.test-support.ts";
import { addRecords } from "../history/shards.ts";
import { DirectoryStore } from "../history/directory-store.ts";
import { sampleGate } from "../results/sample-gate.ts";
import type { Results } from "../results/schema.ts";
import { addHistory } from "./history.ts";

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);

interface Outcome {
  readonly out: string;
  readonly err: string;
  readonly code: number;
}

/** Runs the command here; rejects as the program would print it. */
async function history(...args: string[]): Promise<Outcome> {
  const program = new Command("quern").exitOverride().configureOutput({ writeErr: () => {} });
  addHistory(program);
  let [out, err] = ["", ""];
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean((out += String(text))));
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => Boolean((err += String(text))));
  try {
    await program.parseAsync(["history", ...args], { from: "user" });
    return { out, err, code: Number(process.exitCode ?? 0) };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
    process.exitCode = undefined;
  }
}

function gate(change: Partial<Results> = {}): Results {
  const results = sampleGate();
  return { ...results, environment: { ...results.environment!, changed: [] }, ...change };
}

beforeAll(async () => {
  const { env } = process;
  Object.assign(env, GIT_ENVIRONMENT);
  writeFileSync(path("r.json"), JSON.stringify(gate()));
  const records = [
    ...sampleRecords({ days: 60, level: (day) => (day < 30 ? 1 : 1.1) }),
    ...sampleRecords({ days: 60, bench: "flat", seed: 5 }),
    ...sampleRecords({ days: 5, bench: "new", seed: 6, class: "other" }),
  ];
  await new DirectoryStore(path("h")).update(undefined, () => addRecords(new Map(), records).changed);
});

describe("add", () => {
  it("to a folder, once", async () => {
    const first = await history("add", path("r.json"), "--dir", path("new"));
    expect(first.err).toContain("5 added");
    expect(first.err).toContain("r.json: not added: noop: INVALID, timer-bound");
    expect((await history("add", path("r.json"), "--dir", path("new"))).err).toContain("0 added, 5 were there");
    expect((await history("show", "--dir", path("new"))).out).toMatch(/sort\/1e4 n=10000 .*1\.083 +REGRESSED/);
  });

  it("to a branch, with the date of the commit, and to another repository", async () => {
    const repository = path("repository");
    git(folder, "init", "--quiet", "--initial-branch=main", repository);
    writeFileSync(join(repository, "a"), "");
    git(repository, "add", "a");
    git(repository, "commit", "--quiet", "-m", "first", "--date", "2026-05-01T00:00:00Z");
    const commit = git(repository, "rev-parse", "HEAD");
    git(folder, "init", "--quiet", "--bare", path("remote"));
    const { err } = await history(
      "add",
      path("r.json"),
      "--repo",
      repository,
      "--commit",
      "main",
      "--push",
      path("remote"),
    );
    expect(err).toContain("5 added (branch bench-data of");
    const shard = git(path("remote"), "show", "bench-data:example-2/2026-11.jsonl").split("\n")[0]!;
    expect(JSON.parse(shard)).toMatchObject({ commit, committedAt: expect.any(String) as string });
    expect(git(repository, "status", "--porcelain")).toBe("");
    expect((await history("show", "--repo", repository, "--json", "-")).out).toContain(commit);
  });

  it("one bad file: nothing of the others is added", async () => {
    writeFileSync(path("bad.json"), '{"schema":"quern.results/9"}');
    await expect(history("add", path("r.json"), path("bad.json"), "--dir", path("none"))).rejects.toThrow("bad.json");
    expect(existsSync(path("none"))).toBe(false);
    writeFileSync(path("disturbed.json"), JSON.stringify(sampleGate()));
    await expect(history("add", path("disturbed.json"), "--dir", path("none"))).rejects.toThrow(
      "the machine was disturbed",
    );
  });
});

it("what is not added is told without commanding the terminal", async () => {
  const benches = gate().benches!.map((bench) =>
    bench.verdict === "INVALID" ? { ...bench, reason: "\u001b[31mred\u202e" } : bench,
  );
  writeFileSync(path("hostile.json"), JSON.stringify(gate({ benches })));
  const { err } = await history("add", path("hostile.json"), "--dir", path("hostile"));
  expect(err).toContain("[31mred");
  for (const sign of ["\u001b", "\u202e"]) expect(err).not.toContain(sign);
});

describe("show", () => {
  it("the last first, by bench, class, time and number", async () => {
    const { out } = await history("show", "--dir", path("h"), "--limit", "2", "--bench", "sort");
    const rows = out.split("\n").filter((line) => line.startsWith("2026-"));
    expect(rows.map((row) => row.slice(0, 10))).toEqual(["2026-07-30", "2026-07-29"]);
    expect(out).toContain("2 of 60; --limit shows more");
    expect((await history("show", "--dir", path("h"), "--class", "other")).out.match(/^2026-.*other$/gm)).toHaveLength(
      5,
    );
    expect(
      (await history("show", "--dir", path("h"), "--since", "2026-07-29", "--json", "-")).out.match(/"run"/g),
    ).toHaveLength(4);
    expect((await history("show", "--dir", path("h"), "--since", "2027-01-01")).out).toContain("nothing was measured");
  });

  it("text of strangers commands no terminal", async () => {
    const [record] = sampleRecords({ days: 1, bench: "\u001b[31mred\u202e" });
    await new DirectoryStore(path("evil")).update([], () => addRecords(new Map(), [record!]).changed);
    const { out } = await history("show", "--dir", path("evil"));
    for (const sign of ["\u001b", "\u202e"]) expect(out).not.toContain(sign);
    expect(out).toContain("[31mred");
  });
});

describe("analyze", () => {
  it("changes with commits and the command to go on with", async () => {
    const { out, code } = await history("analyze", "--dir", path("h"));
    expect(code).toBe(0);
    expect(out).toMatch(/^sort\/1e4 on example-2, 60 points, over ctl\.fma and ctl\.triad$/m);
    expect(out).toMatch(/▲ \+\d+\.\d % slower, 2026-06-30 … 2026-07-01, p = /);
    expect(out).toMatch(/quern bisect sort\/1e4 --good 0{32}1000001d --bad 0{32}1000001e/);
    expect(out).toContain("1 without a change");
    expect(out).toContain("1 with fewer than 8 points, of which nothing can be said");
  });

  it("--fail-since makes what is found since then the exit code, and says which change it is", async () => {
    // The step is at 2026-07-11; it is small, and two points of it show nothing yet.
    const records = sampleRecords({ days: 60, level: (day) => (day < 40 ? 1 : 1.02), spread: 0.01, seed: 3 });
    await new DirectoryStore(path("small")).update(undefined, () => addRecords(new Map(), records).changed);
    const failing = await history("analyze", "--dir", path("small"), "--fail-since", "2026-07-13");
    expect(failing.code).toBe(1);
    expect(failing.out).toMatch(
      /2026-07-10 … 2026-07-11, p = [^]*not found without what was measured since 2026-07-13/,
    );
    const known = await history("analyze", "--dir", path("small"), "--fail-since", "2026-07-29");
    expect(known.code).toBe(0);
    expect(known.out).not.toContain("not found without");
    expect((await history("analyze", "--dir", path("h"), "--fail-since", "2026-07-20")).code).toBe(0);
    const flat = await history("analyze", "--dir", path("h"), "--bench", "flat", "--fail-since", "2026-06-15");
    expect(flat.code).toBe(0);
  });

  it("a time of which there is no measurement is not green", async () => {
    const { code, err } = await history("analyze", "--dir", path("h"), "--fail-since", "2026-09-01");
    expect(code).toBe(5);
    expect(err).toContain("nothing was measured since 2026-09-01");
    await expect(history("analyze", "--dir", path("h"), "--since", "2026-09-01")).rejects.toThrow(
      /nothing was measured in that time[^]*--since 2026-09-01/,
    );
  });

  it("uncommitted changes are left out, and it says so", async () => {
    const records = sampleRecords({ days: 20 });
    const dirty = records.map((record) => ({ ...record, dirty: true }));
    await new DirectoryStore(path("dirty")).update(undefined, () => addRecords(new Map(), dirty).changed);
    await expect(history("analyze", "--dir", path("dirty"))).rejects.toThrow(
      /all 20 records are of uncommitted changes[^]*--dirty/,
    );
    expect((await history("analyze", "--dir", path("dirty"), "--dirty")).out).toContain("1 without a change");
    const mixed = [...records.slice(0, 15), ...dirty.slice(15)];
    await new DirectoryStore(path("mixed")).update(undefined, () => addRecords(new Map(), mixed).changed);
    expect((await history("analyze", "--dir", path("mixed"))).err).toContain("5 of uncommitted changes left out");
  });

  it("--json - prints JSON and nothing else", async () => {
    const { out } = await history("analyse", "--dir", path("h"), "--json", "-", "--min-change", "0.5");
    expect(JSON.parse(out)).toMatchObject({ changes: [] });
  });
});

describe("export and prune", () => {
  it("several forms at once", async () => {
    const args = [
      "--class",
      "example-2",
      "--dir",
      path("h"),
      "--sqlite",
      path("h.db"),
      "--bmf",
      path("b.json"),
      "--csv",
      "-",
    ];
    const { out, err } = await history("export", ...args);
    expect(out.split("\r\n")).toHaveLength(122);
    expect(err).toBe("");
    expect(Object.keys(JSON.parse(readFileSync(path("b.json"), "utf8")) as object)).toEqual(["flat", "sort/1e4"]);
    expect(readFileSync(path("h.db")).subarray(0, 15).toString()).toBe("SQLite format 3");
  });

  it("classes are not mixed, and nothing is written then", async () => {
    await expect(history("export", "--dir", path("h"), "--badge", path("x.json"))).rejects.toThrow("2 classes");
    expect(existsSync(path("x.json"))).toBe(false);
  });

  it("prunes, or says what it would", async () => {
    const dry = await history("prune", "--dir", path("h"), "--older-than", "2026-07-20", "--dry-run");
    expect(dry.err).toMatch(/^(\d+) would be removed, (\d+) left/);
    const before = readdirSync(path("h"), { recursive: true });
    const { err } = await history("prune", "--dir", path("h"), "--older-than", "2026-07-20");
    expect(err.replace("removed", "would be removed")).toBe(dry.err);
    expect(readdirSync(path("h"), { recursive: true }).length).toBeLessThanOrEqual(before.length);
    expect((await history("analyze", "--dir", path("h"))).out).toMatch(/▲ \+\d+\.\d % slower/);
  });
});

describe("wrong use", () => {
  it.each([
    [["show", "--dir", "nowhere"], "the history is empty"],
    [["show", "--dir", "h", "--bench", "srot/1e4"], 'Did you mean "sort/1e4"?'],
    [["show", "--dir", "h", "--class", "exmple-2"], 'Did you mean "example-2"?'],
    [["show", "--dir", "h", "--since", "yesterday"], "neither a date nor an age"],
    [["show", "--dir", "h", "--limit", "0"], "whole number from 1"],
    [["show", "--dir", "h", "--branch", "x"], "cannot be used with option"],
    [["analyze", "--dir", "h", "--control", "ctl.none"], 'the control kernel "ctl.none"'],
    [["analyze", "--dir", "h", "--fail-since", "3x"], "neither a date nor an age"],
    [["export", "--dir", "h"], "no form is asked for"],
    [["export", "--dir", "h", "--csv", "-", "--json", "-"], "written to the same file"],
    [["export", "--dir", "h", "--sqlite", "-"], "not written to standard output"],
    [["prune", "--dir", "h"], "required option"],
    [["add"], "missing required argument"],
    [["add", "missing.json", "--dir", "h"], "there is no such file"],
  ])("%j", async (args, message) => {
    const placed = args.map((arg, i) => (args[i - 1] === "--dir" || arg === "missing.json" ? path(arg) : arg));
    await expect(history(...placed)).rejects.toThrow(message);
  });

  it("two forms to one file, however it is named", async () => {
    symlinkSync(folder, path("link"));
    const same = history("export", "--dir", path("h"), "--csv", path("x"), "--json", join(path("link"), "x"));
    await expect(same).rejects.toThrow("written to the same file");
    expect(existsSync(path("x"))).toBe(false);
  });

  it("a bad line is told with its place; --skip-bad goes on", async () => {
    const [record] = sampleRecords({ days: 1 });
    await new DirectoryStore(path("torn")).update(
      [],
      () => new Map([["a/2026-06.jsonl", `${recordLine(record!)}\n{"half\n`]]),
    );
    await expect(history("show", "--dir", path("torn"))).rejects.toThrow("a/2026-06.jsonl:2: no valid JSON");
    const { out, err } = await history("show", "--dir", path("torn"), "--skip-bad");
    expect(err).toContain("left out: a/2026-06.jsonl:2");
    expect(out).toContain("sort/1e4");
  });
});
