/**
 * The files of a history as objects of git: read from a commit, and written as trees and commits, with plumbing only. Neither
 * the index nor the work tree is looked at.
 */

import { UserError } from "@quern/core/errors";
import { GitError, type Git } from "./git.ts";

interface TreeEntry {
  readonly mode: string;
  readonly type: string;
  readonly object: string;
  /** Within its tree; from the root where the listing is recursive. */
  readonly name: string;
}

async function listTree(git: Git, tree: string, recursive = false): Promise<TreeEntry[]> {
  // The whole tree, also where git runs in a folder below the root.
  const args = ["ls-tree", "-z", "--full-tree", ...(recursive ? ["-r"] : []), tree];
  const listing = (await git.bytes(args)).toString("utf8");
  return listing
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const [facts = "", name = ""] = line.split(/\t([^]*)/);
      const [mode = "", type = "", object = ""] = facts.split(" ");
      return { mode, type, object, name };
    });
}

/** Objects of the files whose names end in `.jsonl`, by path. */
export async function shardObjects(git: Git, commit: string): Promise<Map<string, string>> {
  const entries = await listTree(git, commit, true);
  return new Map(
    entries
      .filter(({ name }) => name.endsWith(".jsonl"))
      .map(({ name, mode, type, object }) => {
        // 120000 is a link, 160000 another repository.
        if (type !== "blob" || !mode.startsWith("100"))
          throw new UserError(`"${name}" is no regular file`, { where: commit });
        return [name, object];
      }),
  );
}

/** The texts of objects, in order. */
export async function blobTexts(git: Git, objects: readonly string[]): Promise<string[]> {
  if (objects.length === 0) return [];
  const output = await git.bytes(["cat-file", "--batch"], objects.map((object) => `${object}\n`).join(""));
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let at = 0;
  return objects.map((object) => {
    const end = output.indexOf(10, at);
    const [, type, size] = output.subarray(at, end).toString("latin1").split(" ");
    if (type !== "blob") throw new UserError(`object ${object} of the history is missing`, { where: git.folder });
    const bytes = output.subarray(end + 1, end + 1 + Number(size));
    at = end + 1 + Number(size) + 1;
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw new UserError(`object ${object} of the history is no text in UTF-8`, { where: git.folder, cause });
    }
  });
}

/** Makes a tree from that of `commit` (an empty one without) with other texts for some files; an empty text removes one. */
export async function writeTree(
  git: Git,
  commit: string | undefined,
  changed: ReadonlyMap<string, string>,
): Promise<string> {
  const root = commit === undefined ? [] : await listTree(git, commit);
  const entries = new Map(root.map((entry) => [entry.name, entry]));
  const folders = Map.groupBy(changed, ([path]) => path.split("/").slice(0, -1).join("/"));
  for (const [folder, files] of folders) {
    if (folder.includes("/")) throw new UserError(`a path of the history has one folder: ${folder}`);
    const before = entries.get(folder);
    if (before !== undefined && before.type !== "tree") throw new UserError(`"${folder}" of the history is no folder`);
    const inside =
      folder === ""
        ? entries
        : new Map((before === undefined ? [] : await listTree(git, before.object)).map((e) => [e.name, e]));
    for (const [path, text] of files) {
      const name = path.slice(folder === "" ? 0 : folder.length + 1);
      if (text === "") inside.delete(name);
      else inside.set(name, { mode: "100644", type: "blob", object: await writeBlob(git, text), name });
    }
    if (folder === "") continue;
    if (inside.size === 0) entries.delete(folder);
    else entries.set(folder, { mode: "040000", type: "tree", object: await makeTree(git, inside), name: folder });
  }
  return makeTree(git, entries);
}

async function writeBlob(git: Git, text: string): Promise<string> {
  return git.text(["hash-object", "-w", "--no-filters", "--stdin"], text);
}

async function makeTree(git: Git, entries: ReadonlyMap<string, TreeEntry>): Promise<string> {
  const lines = [...entries.values()].map(({ mode, type, object, name }) => `${mode} ${type} ${object}\t${name}\0`);
  return git.text(["mktree", "-z"], lines.join(""));
}

/** Builders have no name of their own: one that says who it was. */
const NAMELESS = {
  GIT_AUTHOR_NAME: "quern",
  GIT_AUTHOR_EMAIL: "quern@localhost",
  GIT_COMMITTER_NAME: "quern",
  GIT_COMMITTER_EMAIL: "quern@localhost",
};

export async function writeCommit(
  git: Git,
  tree: string,
  parents: readonly string[],
  message: string,
): Promise<string> {
  const args = ["commit-tree", tree, ...parents.flatMap((parent) => ["-p", parent])];
  const named = await git.textOrNothing(["var", "GIT_COMMITTER_IDENT"]);
  return (named === undefined ? git.with(NAMELESS) : git).text(args, `${message}\n`);
}

/**
 * Moves a reference from `before` (undefined: it does not exist). Returns why not where that may succeed later: it is elsewhere by
 * now, or locked. Rejects with what git said where trying again is of no use.
 */
export async function moveRef(
  git: Git,
  ref: string,
  to: string,
  before: string | undefined,
  why: string,
): Promise<string | undefined> {
  try {
    await git.text(["update-ref", "-m", why, ref, to, before ?? ""]);
    return undefined;
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    const now = await git.textOrNothing(["rev-parse", "--verify", "--quiet", ref]);
    if (now !== before) return "other writers keep changing it";
    // `a` and `a/b` cannot both be branches.
    if (/exists; cannot create/i.test(error.message)) throw error;
    // Another writer has the reference locked at this moment, or one that was killed has left its lock.
    if (/cannot lock ref|unable to lock|File exists/i.test(error.message)) return error.message;
    throw error;
  }
}
