/** What staging asks of git. Nothing here changes a branch, the index or the files of the user's repository. */

import { spawnSync } from "node:child_process";
import { realpathSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "@quern/core/errors";
import { cleanUpAtEnd } from "../../harness/worker-process.ts";
import { CommandFailure, environmentOfCommands, runCommand } from "./command.ts";

/** Standard output of git. */
export function git(cwd: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  return runCommand({ program: "git", args, cwd, signal });
}

/** Standard output without the last line break, or undefined where git fails. */
async function ask(cwd: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await git(cwd, args)).replace(/\r?\n$/, "");
  } catch (error) {
    // A question that git answers by failing, or no git at all.
    if (error instanceof CommandFailure) return undefined;
    throw error;
  }
}

/** Root of the working tree that a folder lies in. */
export async function rootOfRepository(folder: string): Promise<string | undefined> {
  const root = await ask(folder, ["rev-parse", "--show-toplevel"]);
  return root === undefined || root === "" ? undefined : realpathSync(resolve(root));
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
  const options = { cwd: repository, env: environmentOfCommands(), stdio: "ignore" } as const;
  const remove = cleanUpAtEnd(() => {
    spawnSync("git", ["worktree", "remove", "--force", "--force", directory], options);
    rmSync(directory, { recursive: true, force: true });
    spawnSync("git", ["worktree", "prune"], options);
  });
  try {
    await git(repository, [...NO_HOOKS, "worktree", "add", "--detach", "--quiet", directory, commit], signal);
  } catch (error) {
    remove();
    throw error;
  }
  return remove;
}
