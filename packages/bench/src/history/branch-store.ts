/**
 * A history on a branch of its own in a git repository: an orphan that shares nothing with the code. Every change is a commit
 * whose parent is the last one, put there only if it still is the last one; otherwise it is made again.
 */

import { setTimeout } from "node:timers/promises";
import { UserError } from "@quern/core/errors";
import { Git, GitError } from "./git.ts";
import { blobTexts, moveRef, shardObjects, writeCommit, writeTree } from "./git-trees.ts";
import { ATTRIBUTES, type Shards, mergeLines } from "./shards.ts";
import type { HistoryStore, ShardChange } from "./store.ts";

export const DEFAULT_BRANCH = "bench-data";

/** Writers that come at once hinder each other a few times; more than this is something else. */
const TRIES = 60;
const PUSHES = 8;

export class BranchStore implements HistoryStore {
  readonly name: string;
  readonly #git: Git;
  readonly #branch: string;
  readonly #ref: string;

  private constructor(git: Git, branch: string) {
    this.name = `branch ${branch} of ${git.folder}`;
    this.#git = git;
    this.#branch = branch;
    this.#ref = `refs/heads/${branch}`;
  }

  /** Throws a `UserError` where `folder` is in no repository, or the branch cannot be one of a history. */
  static async open(folder: string, branch: string = DEFAULT_BRANCH): Promise<BranchStore> {
    const git = new Git(folder);
    if ((await git.textOrNothing(["rev-parse", "--git-dir"])) === undefined)
      throw new UserError("this is no git repository", {
        where: folder,
        hint: "Keep the history in a folder with --dir, or say where the repository is with --repo.",
      });
    if (branch.startsWith("-") || (await git.textOrNothing(["check-ref-format", `refs/heads/${branch}`])) === undefined)
      throw new UserError(`"${branch}" is no name of a branch`, { where: "--branch" });
    return new BranchStore(git, branch);
  }

  /** The branch joined with what was last fetched of it. */
  async read(): Promise<Shards> {
    const { local, tip } = await this.#known();
    if (tip === undefined) return new Map();
    const remote = await this.#remote();
    if (local === undefined || tip !== local || remote === undefined || remote === local) return this.#shards(tip);
    const base = await this.#git.textOrNothing(["merge-base", local, remote]);
    if (base === remote) return this.#shards(local);
    return new Map([...(await this.#shards(remote)), ...(await this.#merged(base, local, remote))]);
  }

  async update(paths: readonly string[] | undefined, change: ShardChange, message: string): Promise<void> {
    await this.#requireFree();
    let hindrance = "";
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) await setTimeout(Math.random() * Math.min(200, 5 * 2 ** tries));
      const { local: before, tip: parent } = await this.#known();
      const shards = parent === undefined ? new Map<string, string>() : await this.#shards(parent, paths);
      const changed = new Map(change(shards));
      if (changed.size === 0) return;
      const commit = await this.#commit(changed, parent, parent === undefined ? [] : [parent], message);
      const reason = await moveRef(this.#git, this.#ref, commit, before, "quern history");
      if (reason === undefined) return;
      hindrance = reason;
    }
    throw new UserError(`the history could not be changed: ${hindrance}`, {
      where: this.name,
      hint: "Try again. Where no other git is at work, one that was killed may have left the lock file that is named: remove it.",
    });
  }

  /**
   * Brings the branch to a remote repository. Where that one has more, both are joined first, so that no record is lost.
   * Rejects with what git said where it does not take the branch.
   */
  async push(remote: string): Promise<void> {
    requireRemote(remote);
    await this.#requireFree();
    for (let tries = 0; ; tries++) {
      try {
        await this.#git.text(["push", "--quiet", remote, `${this.#ref}:${this.#ref}`]);
        return;
      } catch (error) {
        if (!(error instanceof GitError) || tries >= PUSHES) throw error;
        // Joining helps only where the other side has what we have not.
        if (!(await this.#join(remote))) throw error;
      }
    }
  }

  /** Begins with what a remote repository has, where there is no branch here yet. */
  async startFrom(remote: string): Promise<void> {
    requireRemote(remote);
    if ((await this.#local()) !== undefined) return;
    const theirs = await this.#fetch(remote);
    if (theirs !== undefined) await moveRef(this.#git, this.#ref, theirs, undefined, "quern history");
  }

  async #local(): Promise<string | undefined> {
    return this.#git.textOrNothing(["rev-parse", "--verify", "--quiet", `${this.#ref}^{commit}`]);
  }

  /** The branch, and the commit to go on from: what was fetched where that is ahead of the branch. */
  async #known(): Promise<{ readonly local: string | undefined; readonly tip: string | undefined }> {
    const [local, remote] = [await this.#local(), await this.#remote()];
    if (local === undefined || remote === undefined) return { local, tip: local ?? remote };
    const behind = (await this.#git.textOrNothing(["merge-base", "--is-ancestor", local, remote])) !== undefined;
    return { local, tip: behind ? remote : local };
  }

  /** The branch as it was last fetched: clones of builders have no branches of their own. */
  async #remote(): Promise<string | undefined> {
    const listed = await this.#git.text(["for-each-ref", "--format=%(refname)", `refs/remotes/*/${this.#branch}`]);
    const refs = listed.split("\n").filter((ref) => ref !== "");
    const ref = refs.find((each) => each === `refs/remotes/origin/${this.#branch}`) ?? refs[0];
    return ref === undefined ? undefined : this.#git.text(["rev-parse", "--verify", `${ref}^{commit}`]);
  }

  async #shards(commit: string, paths?: readonly string[]): Promise<Map<string, string>> {
    const objects = await shardObjects(this.#git, commit);
    const wanted = paths === undefined ? [...objects] : [...objects].filter(([path]) => paths.includes(path));
    const texts = await blobTexts(
      this.#git,
      wanted.map(([, object]) => object),
    );
    return new Map(wanted.map(([path], i) => [path, texts[i] as string]));
  }

  async #commit(
    changed: ReadonlyMap<string, string>,
    base: string | undefined,
    parents: readonly string[],
    message: string,
  ): Promise<string> {
    const files = base === undefined ? new Map([[ATTRIBUTES.path, ATTRIBUTES.text], ...changed]) : changed;
    return writeCommit(this.#git, await writeTree(this.#git, base, files), parents, message);
  }

  /** Fetches the branch without touching anything of the user's; undefined where the remote has none. */
  async #fetch(remote: string): Promise<string | undefined> {
    const found = await this.#git.text(["ls-remote", remote, this.#ref]);
    if (found === "") return undefined;
    const kept = `refs/quern/history/${this.#branch}`;
    await this.#git.text(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, `+${this.#ref}:${kept}`]);
    return this.#git.text(["rev-parse", "--verify", `${kept}^{commit}`]);
  }

  /** Joins what a remote has into the branch. False where it has nothing that is missing here. */
  async #join(remote: string): Promise<boolean> {
    const theirs = await this.#fetch(remote);
    const ours = await this.#local();
    if (theirs === undefined || ours === undefined || theirs === ours) return false;
    const base = await this.#git.textOrNothing(["merge-base", ours, theirs]);
    if (base === theirs) return false;
    if (base === ours)
      return (await moveRef(this.#git, this.#ref, theirs, ours, "quern history: fast-forward")) === undefined;
    const changed = await this.#merged(base, ours, theirs);
    const commit = await this.#commit(changed, theirs, [ours, theirs], "Join two histories");
    // Where another writer was faster, the next round joins what it wrote.
    await moveRef(this.#git, this.#ref, commit, ours, "quern history: join");
    return true;
  }

  /** Files that have to change in `theirs`, line by line. */
  async #merged(base: string | undefined, ours: string, theirs: string): Promise<Map<string, string>> {
    const common = base === undefined ? new Map<string, string>() : await shardObjects(this.#git, base);
    const [own, other] = [await shardObjects(this.#git, ours), await shardObjects(this.#git, theirs)];
    const changed = new Map<string, string>();
    const text = async (object: string | undefined): Promise<string> =>
      object === undefined ? "" : ((await blobTexts(this.#git, [object]))[0] as string);
    for (const path of new Set([...own.keys(), ...common.keys()])) {
      const [a, b, c] = [common.get(path), own.get(path), other.get(path)];
      if (b === c || b === a) continue;
      changed.set(path, mergeLines(await text(a), await text(b), await text(c)));
    }
    return changed;
  }

  /** Moving a branch under a work tree would make all its files look changed. */
  async #requireFree(): Promise<void> {
    const trees = await this.#git.text(["worktree", "list", "--porcelain"]);
    if (trees.split("\n").includes(`branch ${this.#ref}`))
      throw new UserError(`the branch ${this.#branch} is checked out in a work tree`, {
        where: this.name,
        hint: "Check out another branch there; the history is written without a work tree.",
      });
  }
}

function requireRemote(remote: string): void {
  if (remote === "" || remote.startsWith("-"))
    throw new UserError(`"${remote}" is no name of a remote repository`, { where: "--push" });
}
