import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { listBenches } from "../../define/list-benches.ts";
import { adviceFor } from "./advice.ts";
import type { StagedArm } from "./arm.ts";
import { copyTree, isWithin } from "./copy-tree.ts";
import { makeRepository, temporaryFolder, writeFiles, type Repository } from "./repository.test-support.ts";
import { Refusal, saysDiskFull } from "./refusal.ts";
import { readSource } from "./source.ts";
import { readSources, stageArms, type StagedPair, type StagePlan } from "./stage.ts";

const BENCH = "export default { id: 'a', run: () => 1 };";

const plan = (folder: string, part: Partial<StagePlan>): StagePlan => ({
  base: "main",
  head: ".",
  cwd: folder,
  project: folder,
  benches: ["bench/**/*.bench.js"],
  files: ["bench/**"],
  prepare: [],
  seed: 1,
  ...part,
});

async function staged(folder: string, part: Partial<StagePlan>): Promise<StagedPair> {
  const pair = await stageArms(plan(folder, part), () => {});
  onTestFinished(() => pair.remove());
  return pair;
}

const read = (arm: StagedArm, file: string): string => readFileSync(join(arm.directory, file), "utf8");

/** A repository whose branch `topic` changes `lib.js` of `main`, which went on. */
function branched(): Repository & { readonly fork: string; readonly mainTip: string; readonly topic: string } {
  const repository = makeRepository();
  const fork = repository.commit("fork", { "lib.js": "old", "bench/a.bench.js": BENCH, ".gitignore": "ignored\n" });
  const mainTip = repository.commit("main goes on", { "other.js": "main" });
  repository.git("checkout", "--quiet", "-b", "topic", fork);
  const topic = repository.commit("topic", { "lib.js": "new" });
  return { ...repository, fork, mainTip, topic };
}

describe("sources", () => {
  it("are commits, the working tree, folders, packages", async () => {
    const { folder, topic, write } = branched();
    write({ "build/x.js": "1", "sub/y.js": "2" });
    const kinds = async (text: string, cwd = folder): Promise<string> =>
      (await readSource(text, { cwd, project: folder, option: "--base" })).kind;
    expect(await kinds("topic")).toBe("commit");
    expect(await kinds("HEAD~1")).toBe("commit");
    expect(await kinds(topic.slice(0, 8))).toBe("commit");
    expect(await kinds(".")).toBe("tree");
    expect(await kinds("..", join(folder, "sub"))).toBe("tree");
    expect(await kinds(folder)).toBe("tree");
    expect(await kinds("build")).toBe("directory");
    expect(await kinds("./build")).toBe("directory");
    expect(await kinds("npm:@scope/name@^1.2.3")).toBe("npm");
    expect(await kinds("npm:a@1.0.0, b@next")).toBe("npm");
  });

  it("are refused where they could be two things", async () => {
    const { folder, git, write } = branched();
    git("branch", "build");
    write({ "build/x.js": "1" });
    const at = { cwd: folder, project: folder, option: "--base" };
    await expect(readSource("build", at)).rejects.toThrow(
      '"build" is a commit and a file or folder\n  at --base build\n  Write git:build or ./build.',
    );
    expect((await readSource("git:build", at)).kind).toBe("commit");
    expect((await readSource("dir:build", at)).kind).toBe("directory");
  });

  it.each([
    ["nowhere", '"nowhere" is neither a commit nor a folder\n  at --base nowhere'],
    ["./nowhere", "the folder does not exist"],
    ["./lib.js", "this is a file, not a folder"],
    ["", "there is nothing named"],
    ["npm:", '"" is no package of npm'],
    ["npm:a b", '"a b" is no package of npm'],
    ["npm:--global", '"--global" is no package of npm'],
    ["npm:git+ssh://x/y", "is no package of npm"],
    ["npm:./missing.tgz", "there is no such tarball"],
    ["--upload-pack=x", "is neither a commit nor a folder"],
  ])("of %j are errors", async (text, message) => {
    const { folder } = branched();
    await expect(readSource(text, { cwd: folder, project: folder, option: "--base" })).rejects.toThrow(message);
  });

  it("need no repository where they are folders", async () => {
    const folder = temporaryFolder();
    writeFiles(folder, { "x/a.js": "" });
    const at = { cwd: folder, project: folder, option: "--base" };
    expect((await readSource("x", at)).kind).toBe("directory");
    expect((await readSource(".", at)).kind).toBe("directory");
    await expect(readSource("main", at)).rejects.toThrow("there is no git repository here");
  });
});

describe("readSources", () => {
  it("compares with the newest common commit unless told otherwise", async () => {
    const { folder, fork, mainTip } = branched();
    expect(await readSources(plan(folder, {}))).toMatchObject({ base: { commit: fork }, merged: true });
    expect(await readSources(plan(folder, { exact: true }))).toMatchObject({
      base: { commit: mainTip },
      merged: false,
    });
  });

  it.each([
    ["a merged branch", { base: "topic", head: "topic~1" }, "base and head are the same commit"],
    ["a clean working tree at the base", { base: "topic" }, "base and head are the same commit"],
    ["the working tree twice", { base: "." }, "base and head are both the working tree"],
    ["one folder", { base: "./bench", head: "dir:bench" }, "base and head are the same folder"],
    ["one package", { base: "npm:a@1", head: "npm:a@1" }, "base and head are the same package"],
  ])("refuses %s", async (_, part, message) => {
    const { folder } = branched();
    const error = await readSources(plan(folder, part)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(Refusal);
    expect(error).toMatchObject({ reason: "same-source", exitCode: 2 });
    expect((error as Error).message).toContain(message);
    await readSources(plan(folder, { ...part, allowIdentical: true }));
  });

  it("compares a changed working tree with its own commit", async () => {
    const { folder, write } = branched();
    write({ "lib.js": "newer" });
    expect(await readSources(plan(folder, { base: "topic" }))).toMatchObject({ head: { changed: ["lib.js"] } });
  });

  it("says what to do where there is no common commit", async () => {
    const { folder, git, commit } = branched();
    git("checkout", "--quiet", "--orphan", "other");
    commit("other", { "z.js": "" });
    await expect(readSources(plan(folder, {}))).rejects.toThrow(/have no common commit.*--exact/s);
    const shallow = temporaryFolder();
    execFileSync("git", ["clone", "--quiet", "--depth=1", "--no-single-branch", `file://${folder}`, shallow]);
    const error = readSources(plan(shallow, { base: "origin/main" }));
    await expect(error).rejects.toThrow("fetch-depth: 0");
  });
});

describe("stageArms", () => {
  it("checks commits out into directories of equally long paths", async () => {
    const { folder, fork, topic } = branched();
    const { base, head } = await staged(folder, { head: "topic" });
    expect(read(base, "lib.js")).toBe("old");
    expect(read(head, "lib.js")).toBe("new");
    expect(existsSync(join(base.directory, "other.js"))).toBe(false);
    expect(base).toMatchObject({ commit: fork, dirty: false, resolved: `${fork.slice(0, 10)} (merge base with main)` });
    expect(head).toMatchObject({ commit: topic, source: "topic", name: "head" });
    expect(base.directory.length).toBe(head.directory.length);
    expect(new Set([base.letter, head.letter])).toEqual(new Set(["a", "b"]));
    expect(basename(base.directory)).toBe(base.letter);
  });

  it("draws from the seed which arm gets which letter", async () => {
    const { folder } = branched();
    const letters = new Set<string>();
    for (let seed = 1; seed <= 8; seed++) {
      const first = (await staged(folder, { head: "topic", seed })).base.letter;
      expect((await staged(folder, { head: "topic", seed })).base.letter).toBe(first);
      letters.add(first);
    }
    expect(letters).toEqual(new Set(["a", "b"]));
  });

  it("lays the working tree over its commit: changed, new, deleted, staged, links", async () => {
    const { folder, git, write, commit } = branched();
    commit("more", { "gone.js": "x", "staged.js": "x", "file-to-folder": "x", "d/e.js": "x", "moved.js": "moved" });
    write({ "lib.js": "changed", "new/deep.js": "new", ignored: "no", "staged.js": "staged" });
    git("add", "staged.js");
    git("rm", "--quiet", "gone.js", "file-to-folder");
    git("mv", "moved.js", "moved-here.js");
    write({ "file-to-folder/x.js": "y" });
    git("rm", "--quiet", "-r", "d");
    writeFileSync(join(folder, "d"), "now a file");
    symlinkSync("lib.js", join(folder, "link.js"));
    symlinkSync("nowhere", join(folder, "dangling"));
    const { head } = await staged(folder, { head: "." });
    expect(head.dirty).toBe(true);
    expect(head.resolved).toMatch(/^working tree at .{10}, \d+ files changed$/);
    const files = readdirSync(head.directory).filter((name) => name !== ".git");
    const expected = git("ls-files", "--cached", "--others", "--exclude-standard")
      .split("\n")
      .map((path) => path.split("/")[0]);
    expect(files.sort()).toEqual([...new Set(expected)].sort());
    expect(read(head, "lib.js")).toBe("changed");
    expect(read(head, "new/deep.js")).toBe("new");
    expect(read(head, "staged.js")).toBe("staged");
    expect(read(head, "file-to-folder/x.js")).toBe("y");
    expect(read(head, "d")).toBe("now a file");
    expect(read(head, "moved-here.js")).toBe("moved");
    expect(readlinkSync(join(head.directory, "link.js"))).toBe("lib.js");
    expect(lstatSync(join(head.directory, "dangling")).isSymbolicLink()).toBe(true);
  });

  it("finds the project's folder in both arms", async () => {
    const repository = makeRepository();
    repository.commit("one", { "packages/p/bench/a.bench.js": BENCH, "x.js": "1" });
    repository.commit("two", { "x.js": "2" });
    const project = join(repository.folder, "packages/p");
    const { base, head } = await staged(project, { base: "main~1" });
    expect(relative(base.directory, base.project)).toBe(join("packages", "p"));
    expect(existsSync(join(head.project, "bench/a.bench.js"))).toBe(true);
    repository.commit("elsewhere", { "packages/q/bench/a.bench.js": BENCH });
    const elsewhere = stageArms(plan(join(repository.folder, "packages/q"), { base: "main~1" }), () => {});
    await expect(elsewhere).rejects.toThrow(`has no folder ${join("packages", "q")}`);
  });

  it("runs the commands that build an arm in both, in the project's folder, without the repository of a hook", async () => {
    const { folder } = branched();
    process.env["GIT_DIR"] = join(folder, "nonsense");
    onTestFinished(() => void delete process.env["GIT_DIR"]);
    const said: string[] = [];
    const prepare = ["git rev-parse HEAD > commit.txt", "cp lib.js built.js"];
    const pair = await stageArms(plan(folder, { head: "topic", prepare }), (text) => said.push(text));
    onTestFinished(() => pair.remove());
    expect(read(pair.base, "commit.txt").trim()).toBe(pair.base.commit);
    expect(read(pair.head, "built.js")).toBe("new");
    expect(said).toEqual([
      "staging base: main",
      `preparing base: ${prepare[0]}`,
      `preparing base: ${prepare[1]}`,
      "staging head: topic",
      `preparing head: ${prepare[0]}`,
      `preparing head: ${prepare[1]}`,
    ]);
  });

  it("says what a build printed when it fails, and leaves nothing behind", async () => {
    const { folder, git } = branched();
    const prepare = ["echo compiling; echo 'lib.js:1: no such thing' >&2; exit 7"];
    const error = await stageArms(plan(folder, { head: "topic", prepare }), () => {}).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ reason: "prepare-failed", exitCode: 4 });
    expect((error as Error).message).toMatch(
      /ended with exit code 7\n {2}at prepare of base .*\n {2}compiling\nlib.js:1: no such thing/,
    );
    expect(git("worktree", "list").split("\n")).toHaveLength(1);
  });

  it("ends a build that takes too long, with all that it has started", async () => {
    const { folder } = branched();
    const mark = join(temporaryFolder(), "mark");
    const prepare = [`(sleep 4; echo late > ${mark}) & wait`];
    await expect(stageArms(plan(folder, { head: "topic", prepare, prepareTimeoutS: 0.3 }), () => {})).rejects.toThrow(
      "did not end within 0 s",
    );
    await new Promise((resolve) => setTimeout(resolve, 5000));
    expect(existsSync(mark)).toBe(false);
  });

  it("ends when it is told to", async () => {
    const { folder, git } = branched();
    const signal = AbortSignal.timeout(300);
    const work = stageArms(plan(folder, { head: "topic", prepare: ["sleep 60"], signal }), () => {});
    await expect(work).rejects.toThrow(/timeout/);
    expect(git("worktree", "list").split("\n")).toHaveLength(1);
  });

  it("names a full disk as such", async ({ skip }) => {
    if (!existsSync("/dev/full")) skip("this system has no /dev/full");
    const { folder } = branched();
    const prepare = ["head -c 100000 /dev/zero > /dev/full"];
    const error = await stageArms(plan(folder, { head: "topic", prepare }), () => {}).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ reason: "disk-full", exitCode: 3 });
    expect((error as Error).message).toMatch(
      /the disk is full\n {2}at .*quern-gate-.*\n {2}Free some space, or set TMPDIR/,
    );
    expect(saysDiskFull("fatal: cannot create directory: No space left on device")).toBe(true);
    expect(saysDiskFull("npm error code ENOSPC")).toBe(true);
    expect(saysDiskFull("ENOENT: no space-time found")).toBe(false);
  });

  it("takes everything away at the end and knows no hooks", async () => {
    const { folder, git, write } = branched();
    write({ ".git/hooks/post-checkout": "#!/bin/sh\necho ran > hook-ran\n" });
    execFileSync("chmod", ["+x", join(folder, ".git/hooks/post-checkout")]);
    const pair = await stageArms(plan(folder, { head: "topic" }), () => {});
    expect(existsSync(join(pair.base.directory, "hook-ran"))).toBe(false);
    expect(git("worktree", "list").split("\n")).toHaveLength(3);
    const before = git("status", "--porcelain");
    pair.remove();
    expect(existsSync(dirname(pair.base.directory))).toBe(false);
    expect(git("worktree", "list").split("\n")).toHaveLength(1);
    expect(git("status", "--porcelain")).toBe(before);
    pair.remove();
  });

  it.each(["SIGINT", "SIGTERM"] as const)("takes everything away when %s ends the process", async (signal) => {
    const { folder, git } = branched();
    const script = join(temporaryFolder(), "stage.ts");
    const stage = fileURLToPath(new URL("./stage.ts", import.meta.url));
    const asked = JSON.stringify(plan(folder, { head: "topic", prepare: ["echo ready > ready; sleep 60"] }));
    writeFileSync(
      script,
      `import { stageArms } from ${JSON.stringify(stage)};
       await stageArms(${asked}, (text) => console.log(text));`,
    );
    const tmp = temporaryFolder();
    const child = spawn(process.execPath, ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", script], {
      env: { ...process.env, TMPDIR: tmp },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => child.on("exit", (_, by) => resolve(by)));
    const ready = (): boolean =>
      readdirSync(tmp).some((name) => ["a", "b"].some((letter) => existsSync(join(tmp, name, letter, "ready"))));
    while (!ready()) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(git("worktree", "list").split("\n").length).toBeGreaterThan(1);
    child.kill(signal);
    expect(await ended).toBe(signal);
    expect(readdirSync(tmp)).toEqual([]);
    expect(git("worktree", "list").split("\n")).toHaveLength(1);
  });
});

describe("folders as arms", () => {
  it("are copied, and bring their own benches", async () => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      "one/lib.js": "1",
      "one/bench/a.bench.js": BENCH,
      "two/lib.js": "2",
      "two/bench/a.bench.js": BENCH,
      "two/.git/HEAD": "ref",
      "bench/own.bench.js": BENCH,
    });
    const { base, head } = await staged(folder, { base: "one", head: "two" });
    expect(read(base, "lib.js")).toBe("1");
    expect(read(head, "lib.js")).toBe("2");
    expect(existsSync(join(head.directory, ".git"))).toBe(false);
    expect(existsSync(join(head.directory, "bench/own.bench.js"))).toBe(false);
    expect(base.resolved).toBe(`copy of ${join(folder, "one")}`);
    writeFiles(folder, { "one/lib.js": "changed" });
    expect(read(base, "lib.js")).toBe("1");
  });

  it("get the project's benches where they have none", async () => {
    const folder = temporaryFolder();
    writeFiles(folder, {
      "one/lib.js": "1",
      "two/lib.js": "2",
      "bench/own.bench.js": BENCH,
      "bench/data/x.json": "{}",
    });
    const { base, head } = await staged(folder, { base: "one", head: "two" });
    for (const arm of [base, head]) {
      expect(read(arm, "bench/own.bench.js")).toBe(BENCH);
      expect(read(arm, "bench/data/x.json")).toBe("{}");
    }
    expect(existsSync(join(folder, "one/bench"))).toBe(false);
  });

  it("know their commit where they are working trees", async () => {
    const { folder } = branched();
    const other = temporaryFolder();
    execFileSync("git", ["clone", "--quiet", folder, join(other, "clone")]);
    writeFiles(other, { "clone/lib.js": "dirty" });
    const { base } = await staged(folder, { base: join(other, "clone"), head: "topic" });
    expect(base).toMatchObject({ dirty: true, commit: expect.stringMatching(/^[0-9a-f]{40}$/) });
  });

  it("keep links within the copy and lead others to where they led", async () => {
    const folder = temporaryFolder();
    writeFiles(folder, { "from/a/x.js": "x", "outside/y.js": "y" });
    symlinkSync("a/x.js", join(folder, "from/relative"));
    symlinkSync(join(folder, "from/a"), join(folder, "from/absolute"));
    symlinkSync("../outside", join(folder, "from/out"));
    symlinkSync("..", join(folder, "from/a/up"));
    await copyTree(join(folder, "from"), join(folder, "deep/er/to"));
    const to = join(folder, "deep/er/to");
    expect(readlinkSync(join(to, "relative"))).toBe("a/x.js");
    expect(readlinkSync(join(to, "absolute"))).toBe("a");
    expect(readlinkSync(join(to, "a/up"))).toBe("..");
    expect(readlinkSync(join(to, "out"))).toBe(join(folder, "outside"));
    expect(readFileSync(join(to, "out/y.js"), "utf8")).toBe("y");
  });

  it("are within each other by their parts, not by their letters", () => {
    expect(isWithin("/x/a", "/x/a/b")).toBe(true);
    expect(isWithin("/x/a", "/x/a")).toBe(true);
    expect(isWithin("/x/a", "/x/ab")).toBe(false);
    expect(isWithin("/x/a", "/x/a/../b")).toBe(false);
    expect(isWithin("/x/a", "/x/a/..b")).toBe(true);
  });
});

describe("packages as arms", () => {
  /** Tarballs of two versions: npm takes them as it takes those of the registry, and needs no network for them. */
  function tarball(folder: string, name: string, version: string, text: string): string {
    const source = join(folder, `${basename(name)}-${version}`);
    mkdirSync(source, { recursive: true });
    writeFiles(source, {
      "package.json": JSON.stringify({
        name,
        version,
        type: "module",
        exports: "./index.js",
        scripts: { postinstall: "exit 1" },
      }),
      "index.js": text,
    });
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--ignore-scripts"], { cwd: source, encoding: "utf8" }),
    ) as [{ readonly filename: string }];
    return join(source, packed.filename);
  }

  it("are installed without scripts, with the project's benches beside them", async () => {
    const folder = temporaryFolder();
    const old = tarball(folder, "@scope/lib", "1.0.0", "export const value = 1;");
    const extra = tarball(folder, "extra", "3.0.0", "export const extra = 3;");
    const current = tarball(folder, "@scope/lib", "1.1.0", "export const value = 2;");
    writeFiles(folder, {
      "package.json": JSON.stringify({ name: "project", type: "module" }),
      "bench/a.bench.js":
        "import { value } from '@scope/lib'; import { helper } from './helper.js'; export default { id: 'a', run: () => value + helper };",
      "bench/helper.js": "export const helper = 1;",
      ".npmrc": "fund=false",
      "bench/node_modules/x/index.js": "",
    });
    const { base, head } = await staged(folder, { base: `npm:${old},${extra}`, head: current });
    expect(base).toMatchObject({ version: "1.0.0", resolved: "@scope/lib@1.0.0" });
    expect(head).toMatchObject({ version: "1.1.0", resolved: "@scope/lib@1.1.0" });
    const value = (arm: StagedArm): string =>
      execFileSync(
        process.execPath,
        ["--input-type=module", "-e", "import b from './bench/a.bench.js'; process.stdout.write(String(b.run()))"],
        {
          cwd: arm.project,
          encoding: "utf8",
        },
      );
    expect([value(base), value(head)]).toEqual(["2", "3"]);
    expect(existsSync(join(base.directory, "node_modules/extra"))).toBe(true);
    expect(read(base, ".npmrc")).toBe("fund=false");
    expect(existsSync(join(base.directory, "bench/node_modules"))).toBe(false);
  });

  it("take the settings of npm from the nearest file of the repository, and tell of scripts that were not run", async () => {
    const { folder, write } = makeRepository();
    const lib = tarball(temporaryFolder(), "lib", "1.0.0", "throw new Error('no binary was found');");
    const project = join(folder, "packages/p");
    write({
      "packages/p/package.json": JSON.stringify({ name: "p", type: "module" }),
      "packages/p/bench/a.bench.js": "import 'lib'; export default { id: 'a', run: () => 1 };",
      ".npmrc": "fund=false",
    });
    const { base } = await staged(project, { base: `npm:${lib}`, head: `npm:${lib}`, allowIdentical: true });
    expect(read(base, ".npmrc")).toBe("fund=false");
    expect(base.kind).toBe("npm");
    const listing = listBenches(base, { what: "base", benches: ["bench/*.js"], advice: adviceFor(base, []) });
    await expect(listing).rejects.toThrow(/no binary was found[^]*\(--ignore-scripts\), and these have some: lib\./);
  });

  it("say what npm said when they cannot be installed", async () => {
    const folder = temporaryFolder();
    writeFiles(folder, { "bench/a.bench.js": BENCH, "broken.tgz": "no archive" });
    const error = await stageArms(plan(folder, { base: "./broken.tgz", head: "npm:other@1" }), () => {}).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ reason: "prepare-failed", exitCode: 4 });
    expect((error as Error).message).toMatch(
      /the package could not be installed\n {2}at \.\/broken\.tgz\n.*npm error code TAR_BAD_ARCHIVE/s,
    );
  });
});
