/** What staging asks of git. Nothing here changes a branch, the index or the files of the user's repository. */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { UserError } from "@quern/core/errors";
import { cleanUpAtEnd } from "../../harness/worker-process.ts";
import { CommandFailure, environmentOfCommands, runCommand } from "./command.ts";

/** Standard output of git. */
export function git(cwd: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  return runCommand({ program: "git", args, cwd, signal });
}

/** Standard output without the last line break, or undefined where git says no, by exit code 1. Other failures are thrown. */
async function ask(cwd: string, args: readonly string[]): Promise<string | undefined> {
  try {
    // Failures are told apart by their text.
    const answer = await runCommand({ program: "git", args, cwd, env: { LC_ALL: "C" } });
    return answer.replace(/\r?\n$/, "");
  } catch (error) {
    if (error instanceof CommandFailure && error.code === 1) return undefined;
    throw error;
  }
}

async function readRoot(folder: string): Promise<string | undefined> {
  const root = await ask(folder, ["rev-parse", "--show-toplevel"]);
  return root === undefined || root === "" ? undefined : realpathSync(resolve(root));
}

/**
 * Root of the working tree that a folder lies in. Undefined also where git cannot be asked: folders and packages are compared
 * without it, and who needs a commit asks `whyNoRepository`.
 */
export async function rootOfRepository(folder: string): Promise<string | undefined> {
  try {
    return await readRoot(folder);
  } catch (error) {
    if (error instanceof CommandFailure) return undefined;
    throw error;
  }
}

/** What git says where there is no root; undefined where the folder simply lies in no repository. */
export async function whyNoRepository(folder: string): Promise<string | undefined> {
  try {
    await readRoot(folder);
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    if (isNotFound(error)) return "git is not installed, or not in the PATH.";
    return /^fatal: not a git repository \(or any/m.test(error.output) ? undefined : error.output;
  }
}

function isNotFound({ cause }: CommandFailure): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
}

/** Full id of the commit that a name stands for. */
export function commitOf(repository: string, name: string): Promise<string | undefined> {
  return ask(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`]);
}

export const SHORT = 10;

export function shortId(commit: string): string {
  return commit.slice(0, SHORT);
}

/** The newest commit that both have. */
export async function mergeBase(repository: string, one: string, other: string): Promise<string> {
  const found = await ask(repository, ["merge-base", one, other]);
  if (found !== undefined && found !== "") return found;
  const shallow = (await ask(repository, ["rev-parse", "--is-shallow-repository"])) === "true";
  throw new UserError(`${shortId(one)} and ${shortId(other)} have no common commit`, {
    where: repository,
    hint: shallow
      ? "The history here is cut off: run `git fetch --unshallow`, or set fetch-depth: 0 in the checkout of CI."
      : "--exact compares with the named commit itself.",
  });
}

/** Paths, relative to the root, that differ from HEAD or are new and not ignored. */
export async function changedPaths(repository: string, signal?: AbortSignal): Promise<string[]> {
  const tracked = await git(repository, ["diff", "--name-only", "--no-renames", "-z", "HEAD", "--"], signal);
  const others = await git(repository, ["ls-files", "--others", "--exclude-standard", "-z"], signal);
  return [...new Set(`${tracked}${others}`.split("\0"))].filter((path) => path !== "").sort();
}

/** Messages of the commits in `base..head`, oldest first. */
export async function messagesBetween(
  repository: string,
  base: string,
  head: string,
): Promise<{ readonly commit: string; readonly message: string }[]> {
  const log = await git(repository, ["log", "--reverse", "-z", "--format=%H%n%B", `${base}..${head}`, "--"]);
  return log
    .split("\0")
    .filter((entry) => entry.trim() !== "")
    .map((entry) => {
      const end = entry.indexOf("\n");
      return { commit: entry.slice(0, end), message: entry.slice(end + 1) };
    });
}

// Hooks of the user's repository are not meant for copies of it.
const NO_HOOKS = ["-c", `core.hooksPath=${process.platform === "win32" ? "NUL" : "/dev/null"}`];

/** Checks a commit out into `directory`. The function given back takes it away again; so does the end of the process. */
export async function addWorktree(
  repository: string,
  commit: string,
  directory: string,
  signal?: AbortSignal,
): Promise<() => void> {
  const remove = cleanUpAtEnd(() => removeWorktree(repository, directory));
  try {
    await git(repository, [...NO_HOOKS, "worktree", "add", "--detach", "--quiet", directory, commit], signal);
  } catch (error) {
    remove();
    throw error;
  }
  return remove;
}

/**
 * Takes a working tree away and what the repository knows of it. `git worktree prune` would do more: it forgets all trees that
 * are not there at the moment, those of the user on a disk that is not mounted among them.
 */
function removeWorktree(repository: string, directory: string): void {
  const options = { cwd: repository, env: environmentOfCommands() } as const;
  const removed = spawnSync("git", ["worktree", "remove", "--force", "--force", directory], options);
  rmSync(directory, { recursive: true, force: true });
  if (removed.status === 0) return;
  // The tree is not whole: a build broke it, or Ctrl-C came while it was made.
  const asked = spawnSync("git", ["rev-parse", "--git-common-dir"], { ...options, encoding: "utf8" });
  if (asked.status !== 0) return;
  const entries = join(resolve(repository, asked.stdout.replace(/\r?\n$/, "")), "worktrees");
  if (!existsSync(entries)) return;
  for (const name of readdirSync(entries)) {
    if (treeOf(join(entries, name)) === directory) rmSync(join(entries, name), { recursive: true, force: true });
  }
}

/** The working tree that an entry of a repository stands for; undefined where it does not say. */
function treeOf(entry: string): string | undefined {
  try {
    return dirname(resolve(entry, readFileSync(join(entry, "gitdir"), "utf8").trimEnd()));
  } catch {
    return undefined;
  }
}
