/** What is asked of git, where git has no answer, and what a working tree leaves behind. */

import { chmodSync, existsSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { addWorktree, commitOf, rootOfRepository } from "./git.ts";
import { makeRepository, temporaryFolder, writeFiles } from "./repository.test-support.ts";
import { readSource } from "./source.ts";

const { PATH } = process.env;

/** For this test `git` is a script for the shell, or is not there at all. */
function withGit(script?: string): void {
  const folder = temporaryFolder();
  if (script !== undefined) {
    writeFiles(folder, { git: `#!/bin/sh\n${script}\n` });
    chmodSync(join(folder, "git"), 0o755);
  }
  process.env["PATH"] = folder;
  onTestFinished(() => void (process.env["PATH"] = PATH));
}

function project(): { readonly cwd: string; readonly project: string; readonly option: string } {
  const folder = temporaryFolder();
  writeFiles(folder, { "old/a.js": "" });
  return { cwd: folder, project: folder, option: "--base" };
}

const DUBIOUS = "detected dubious ownership in repository at '/work'";

describe("a commit where git has no answer", () => {
  it("is refused with what git says, and folders are compared all the same", async () => {
    const place = project();
    withGit(`echo "fatal: ${DUBIOUS}" >&2; exit 128`);
    for (const text of ["main", "git:main"]) {
      await expect(readSource(text, place)).rejects.toThrow(
        `"main" is no folder, and git cannot be asked for a commit\n  at --base ${text}\n  fatal: ${DUBIOUS}`,
      );
    }
    expect((await readSource("old", place)).kind).toBe("directory");
    expect(await rootOfRepository(place.project)).toBeUndefined();
  });

  it("is refused with the advice to install git where there is none, and folders are compared all the same", async () => {
    const place = project();
    withGit();
    await expect(readSource("main", place)).rejects.toThrow(/git cannot be asked.*\n.*\n {2}git is not installed/);
    expect((await readSource("./old", place)).kind).toBe("directory");
  });

  it("is not said to be missing: only exit code 1 is a no", async () => {
    const { cwd } = project();
    withGit("exit 1");
    expect(await commitOf(cwd, "main")).toBeUndefined();
    withGit('echo "fatal: bad object HEAD" >&2; exit 128');
    await expect(commitOf(cwd, "main")).rejects.toThrow(/rev-parse.*exit code 128\n.*\n {2}fatal: bad object HEAD/);
  });
});

describe("a working tree that is taken away", () => {
  it("takes nothing with it of other trees, such as one on a disk that is not mounted", async () => {
    const { folder, git, commit } = makeRepository();
    const id = commit("one", { "a.js": "1" });
    const other = join(temporaryFolder(), "other");
    git("worktree", "add", "--quiet", "--detach", other, id);
    renameSync(other, `${other}-unmounted`);
    const remove = await addWorktree(folder, id, join(temporaryFolder(), "a"));
    remove();
    renameSync(`${other}-unmounted`, other);
    const trees = git("worktree", "list").split("\n");
    expect(trees).toHaveLength(2);
    expect(trees[1]).toContain(other);
    expect(git("-C", other, "rev-parse", "HEAD")).toBe(id);
  });

  it("leaves no trace, also where git does not know it as a whole one any more", async () => {
    const { folder, git, commit } = makeRepository();
    const id = commit("one", { "a.js": "1" });
    const keep = await addWorktree(folder, id, join(temporaryFolder(), "keep"));
    const directory = join(temporaryFolder(), "broken");
    const remove = await addWorktree(folder, id, directory);
    writeFileSync(join(directory, ".git"), "no link to a repository");
    remove();
    expect(existsSync(directory)).toBe(false);
    expect(existsSync(dirname(directory))).toBe(true);
    expect(git("worktree", "list").split("\n")).toHaveLength(2);
    keep();
    expect(git("worktree", "list").split("\n")).toHaveLength(1);
  });
});
