/** A history on a branch: nothing but the branch is touched, writers at once lose nothing, and two histories are joined. */

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { BranchStore } from "./branch-store.ts";
import type { HistoryRecord } from "./record.ts";
import { GIT_ENVIRONMENT, git, sampleRecords, temporaryFolder } from "./sample-history.test-support.ts";
import { addRecords, parseShards, shardPath } from "./shards.ts";
import { readHistory } from "./store.ts";

const root = temporaryFolder();
let count = 0;

beforeAll(() => {
  const { env } = process;
  Object.assign(env, GIT_ENVIRONMENT);
});

/** A repository with a commit, a change in the index, one in the work tree, and a file that git does not know. */
function repository(): string {
  const folder = join(root, `r${++count}`);
  git(root, "init", "--quiet", "--initial-branch=main", folder);
  for (const name of ["a", "b"]) writeFileSync(join(folder, name), "one");
  git(folder, "add", ".");
  git(folder, "commit", "--quiet", "-m", "first");
  for (const name of ["a", "b", "c"]) writeFileSync(join(folder, name), "two");
  git(folder, "add", "a");
  return folder;
}

function untouched(folder: string): unknown[] {
  return [
    git(folder, "status", "--porcelain"),
    git(folder, "rev-parse", "HEAD", "--abbrev-ref", "HEAD"),
    readFileSync(join(folder, ".git/index")),
    git(folder, "stash", "list"),
  ];
}

async function add(store: BranchStore, records: readonly HistoryRecord[]): Promise<void> {
  const paths = [...new Set(records.map(shardPath))];
  await store.update(paths, (shards) => addRecords(shards, records).changed, "Add");
}

const runs = async (store: BranchStore): Promise<string[]> =>
  (await readHistory(store)).map(({ record }) => record.run).sort();
const runsOf = (records: readonly HistoryRecord[]): string[] => records.map(({ run }) => run).sort();

it("touches neither index nor work tree, and shares nothing with the code", async () => {
  const folder = repository();
  const before = untouched(folder);
  const store = await BranchStore.open(folder);
  expect(await readHistory(store)).toEqual([]);
  const records = sampleRecords({ days: 40 });
  await add(store, records.slice(0, 10));
  await add(store, records.slice(5));
  expect(untouched(folder)).toEqual(before);
  expect(await runs(store)).toEqual(runsOf(records));
  expect(git(folder, "log", "--format=%s %an", "bench-data")).toBe("Add Tester\nAdd Tester");
  expect(git(folder, "ls-tree", "-r", "--name-only", "bench-data").split("\n")).toEqual([
    ".gitattributes",
    "example-2/2026-06.jsonl",
    "example-2/2026-07.jsonl",
  ]);
  expect(git(folder, "show", "bench-data:.gitattributes")).toBe("*.jsonl merge=union");
  git(folder, "fsck", "--strict", "--no-dangling");
  expect(() => git(folder, "merge-base", "main", "bench-data")).toThrow("git merge-base");
});

it("what is there makes no commit", async () => {
  const folder = repository();
  const store = await BranchStore.open(folder, "numbers/bench");
  await add(store, sampleRecords({ days: 3 }));
  const tip = git(folder, "rev-parse", "numbers/bench");
  await add(store, sampleRecords({ days: 3 }));
  expect(git(folder, "rev-parse", "numbers/bench")).toBe(tip);
});

it("writers at once lose nothing", async () => {
  const folder = repository();
  const records = sampleRecords({ days: 12 });
  await Promise.all(records.map(async (record) => add(await BranchStore.open(folder), [record])));
  const store = await BranchStore.open(folder);
  expect(await runs(store)).toEqual(runsOf(records));
  expect(git(folder, "rev-list", "--count", "bench-data")).toBe("12");
});

it("from a folder below the root it is the same history", async () => {
  const folder = repository();
  const records = sampleRecords({ days: 6 });
  await add(await BranchStore.open(folder), [...records.slice(0, 3), ...sampleRecords({ days: 1, class: "other" })]);
  mkdirSync(join(folder, "packages", "one"), { recursive: true });
  const below = await BranchStore.open(join(folder, "packages", "one"));
  expect(await runs(below)).toHaveLength(4);
  await add(below, records.slice(3));
  expect(await runs(await BranchStore.open(folder))).toHaveLength(7);
  expect(git(folder, "ls-tree", "-r", "--name-only", "bench-data").split("\n")).toEqual([
    ".gitattributes",
    "example-2/2026-06.jsonl",
    "other/2026-06.jsonl",
  ]);
});

it("works without a name of the user, and in a bare repository", async () => {
  const folder = join(root, "bare");
  git(root, "init", "--quiet", "--bare", folder);
  const nameless = Object.keys(GIT_ENVIRONMENT).filter((name) => /AUTHOR|COMMITTER/.test(name));
  const { env } = process;
  for (const name of nameless) delete env[name];
  git(folder, "config", "user.useConfigOnly", "true");
  try {
    await add(await BranchStore.open(folder), sampleRecords({ days: 1 }));
  } finally {
    Object.assign(env, GIT_ENVIRONMENT);
  }
  expect(git(folder, "log", "--format=%an <%ae>", "bench-data")).toBe("quern <quern@localhost>");
});

it("removes a file of which nothing is left, and its folder", async () => {
  const folder = repository();
  const store = await BranchStore.open(folder);
  await add(store, [...sampleRecords({ days: 1 }), ...sampleRecords({ days: 1, class: "other" })]);
  await store.update(
    undefined,
    (shards) => new Map([...shards.keys()].slice(0, 1).map((path) => [path, ""])),
    "Remove",
  );
  expect(git(folder, "ls-tree", "-r", "--name-only", "bench-data")).toBe(".gitattributes\nother/2026-06.jsonl");
});

it("a full disk leaves the branch where it was", async (context) => {
  if (process.platform === "win32") context.skip("there is no limit of file sizes to set on Windows");
  const folder = repository();
  await add(await BranchStore.open(folder), sampleRecords({ days: 2 }));
  const tip = git(folder, "rev-parse", "bench-data");
  const source = (name: string): string => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  // What cannot be compressed, so that its object is larger than the 2 KiB that files may have.
  writeFileSync(
    join(root, "full.ts"),
    `import { randomBytes } from "node:crypto";
import { BranchStore } from ${source("./branch-store.ts")};
const store = await BranchStore.open(process.argv[2]);
const text = randomBytes(6000).toString("hex") + "\\n";
await store.update(undefined, () => new Map([["full/2026-01.jsonl", text]]), "Full");`,
  );
  const script = `ulimit -f 2; exec "$@"`;
  const nodeArgs = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", join(root, "full.ts"), folder];
  const { status, stderr } = spawnSync("bash", ["-c", script, "bash", process.execPath, ...nodeArgs], {
    encoding: "utf8",
  });
  expect(status).not.toBe(0);
  expect(stderr).toContain("git hash-object: ");
  expect(git(folder, "rev-parse", "bench-data")).toBe(tip);
  git(folder, "fsck", "--strict", "--no-dangling");
  expect(await runs(await BranchStore.open(folder))).toHaveLength(2);
});

describe("refusals", () => {
  it("no repository, no branch name, a branch that is checked out", async () => {
    await expect(BranchStore.open(root)).rejects.toThrow(/this is no git repository[^]*--dir/);
    const folder = repository();
    for (const name of ["-f", "a..b", "", "a b"])
      await expect(BranchStore.open(folder, name)).rejects.toThrow("no name of a branch");
    const store = await BranchStore.open(folder, "main");
    await expect(add(store, sampleRecords({ days: 1 }))).rejects.toThrow("is checked out in a work tree");
  });

  it("a name that a branch stands in the way of, and a lock that a killed git has left", async () => {
    const folder = repository();
    const inTheWay = await BranchStore.open(folder, "main/bench");
    await expect(add(inTheWay, sampleRecords({ days: 1 }))).rejects.toThrow(/'refs\/heads\/main' exists/);
    const store = await BranchStore.open(folder);
    await add(store, sampleRecords({ days: 1 }));
    writeFileSync(join(folder, ".git/refs/heads/bench-data.lock"), "");
    await expect(add(store, sampleRecords({ days: 2 }))).rejects.toThrow(/bench-data\.lock[^]*remove it/);
    expect(await runs(store)).toHaveLength(1);
  }, 60_000);

  it("a remote that is an option, and one that is not there", async () => {
    const store = await BranchStore.open(repository());
    await add(store, sampleRecords({ days: 1 }));
    await expect(store.push("--upload-pack=touch /tmp/x")).rejects.toThrow("no name of a remote repository");
    await expect(store.push(join(root, "nowhere"))).rejects.toThrow("does not appear to be a git repository");
  });

  it("links in the branch", async () => {
    const folder = repository();
    const blob = git(folder, "hash-object", "-w", "a");
    const made = spawnSync("git", ["mktree"], {
      cwd: folder,
      input: `120000 blob ${blob}\tx.jsonl\n`,
      encoding: "utf8",
    });
    git(folder, "update-ref", "refs/heads/bench-data", git(folder, "commit-tree", made.stdout.trim(), "-m", "x"));
    await expect((await BranchStore.open(folder)).read()).rejects.toThrow('"x.jsonl" is no regular file');
  });
});

describe("other repositories", () => {
  /** A bare repository and two clones of it. */
  function clones(): { readonly origin: string; readonly one: string; readonly two: string } {
    const origin = join(root, `o${++count}`);
    git(root, "clone", "--quiet", "--bare", repository(), origin);
    const [one, two] = [join(root, `c${count}-1`), join(root, `c${count}-2`)] as const;
    for (const folder of [one, two]) git(root, "clone", "--quiet", origin, folder);
    return { origin, one, two };
  }

  it("pushes, and joins what two have added; nothing that one removed comes back", async () => {
    const { origin, one, two } = clones();
    const records = sampleRecords({ days: 9 });
    const [a, b] = [await BranchStore.open(one), await BranchStore.open(two)];
    await add(a, records.slice(0, 4));
    await a.push("origin");
    // The second has begun on its own: two roots.
    await add(b, records.slice(4, 6));
    await b.push("origin");
    expect(await runs(b)).toEqual(runsOf(records.slice(0, 6)));
    // Both go on; the first one also removes.
    await a.push("origin");
    await add(a, records.slice(6, 7));
    await a.update(
      undefined,
      (shards) => new Map([...shards].map(([path, text]) => [path, text.split("\n").slice(1).join("\n")])),
      "Remove",
    );
    await a.push("origin");
    await add(b, records.slice(7));
    await b.push("origin");
    const gone = (await runs(b)).length;
    expect(gone).toBe(8);
    const lines = parseShards(await (await BranchStore.open(origin)).read());
    expect([lines.lines.length, lines.problems]).toEqual([8, []]);
    git(origin, "fsck", "--strict", "--no-dangling");
    expect(git(two, "status", "--porcelain")).toBe("");
  });

  it("a clone without the branch reads what was fetched, and goes on from it", async () => {
    const { origin, one, two } = clones();
    const records = sampleRecords({ days: 3 });
    const a = await BranchStore.open(one);
    await add(a, records.slice(0, 2));
    await a.push(origin);
    git(two, "fetch", "--quiet");
    const b = await BranchStore.open(two);
    expect(await runs(b)).toEqual(runsOf(records.slice(0, 2)));
    await add(b, records.slice(2));
    expect(await runs(b)).toEqual(runsOf(records));
    await b.push("origin");
    expect(git(origin, "rev-list", "--count", "bench-data")).toBe("2");
  });

  it("a branch that has fallen behind what was fetched, or gone another way, is read joined with it", async () => {
    const { one, two } = clones();
    const records = sampleRecords({ days: 6 });
    const [a, b] = [await BranchStore.open(one), await BranchStore.open(two)];
    await add(a, records.slice(0, 2));
    await a.push("origin");
    await b.startFrom("origin");
    await add(a, records.slice(2, 4));
    await a.push("origin");
    git(two, "fetch", "--quiet");
    expect(await runs(b)).toEqual(runsOf(records.slice(0, 4)));
    // What is added goes behind what was fetched.
    await add(b, records.slice(4, 5));
    expect(git(two, "rev-list", "--count", "bench-data")).toBe("3");
    await add(a, records.slice(5));
    await a.push("origin");
    git(two, "fetch", "--quiet");
    expect(await runs(b)).toEqual(runsOf(records));
  });

  it("starts from a remote that was never fetched", async () => {
    const { origin, one, two } = clones();
    const a = await BranchStore.open(one);
    await add(a, sampleRecords({ days: 2 }));
    await a.push("origin");
    const b = await BranchStore.open(two);
    await b.startFrom(origin);
    expect(await runs(b)).toHaveLength(2);
    expect(git(two, "for-each-ref", "--format=%(refname)", "refs/remotes")).not.toContain("bench-data");
  });

  it("git's own merge joins the lines too", async () => {
    const { one, two } = clones();
    const records = sampleRecords({ days: 4 });
    const [a, b] = [await BranchStore.open(one), await BranchStore.open(two)];
    await add(a, records.slice(0, 2));
    await a.push("origin");
    await b.startFrom("origin");
    await add(b, records.slice(2, 3));
    await add(a, records.slice(3));
    await a.push("origin");
    git(two, "fetch", "--quiet");
    git(two, "checkout", "--quiet", "bench-data");
    git(two, "merge", "--quiet", "--no-edit", "origin/bench-data");
    expect(await runs(b)).toEqual(runsOf(records));
  });

  it("what a hook refuses is an error, not a loop", async () => {
    const { origin, one } = clones();
    writeFileSync(join(origin, "hooks/update"), "#!/bin/sh\necho not allowed >&2\nexit 1\n", { mode: 0o755 });
    const store = await BranchStore.open(one);
    await add(store, sampleRecords({ days: 1 }));
    await expect(store.push("origin")).rejects.toThrow("not allowed");
  });
});
