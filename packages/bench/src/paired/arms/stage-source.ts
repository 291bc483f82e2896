/** How each kind of source becomes a directory with a build and its bench files. */

import { copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "@quern/core/errors";
import { filesOfGlobs } from "../../define/bench-files.ts";
import type { StagedArm } from "./arm.ts";
import { CommandFailure, runCommand } from "./command.ts";
import { copyInto, copyTree, isWithin } from "./copy-tree.ts";
import { addWorktree, changedPaths, commitOf, rootOfRepository, shortId } from "./git.ts";
import { diskFullOr, Refusal } from "./refusal.ts";
import { wayToProject, type ArmSource } from "./source.ts";

type Kind<K extends ArmSource["kind"]> = Extract<ArmSource, { kind: K }>;

/** Facts of an arm that its source decides. */
export type Staged = Pick<StagedArm, "directory" | "project" | "resolved" | "commit" | "dirty" | "version">;

/** Where the project's own files are. */
export interface SourceFiles {
  /** Folder of the configuration. */
  readonly project: string;
  readonly benches: readonly string[];
  readonly files: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * A commit, or the working tree: its commit with what differs from it laid over. Both are checked out by git, so that
 * line endings, permissions and what `prepare` learns from git are the same on both sides.
 */
export async function stageCommit(
  source: Kind<"commit"> | Kind<"tree">,
  { project, signal }: SourceFiles,
  { directory, onRemove }: { readonly directory: string; readonly onRemove: (undo: () => void) => void },
): Promise<Staged> {
  const { repository, commit } = source;
  onRemove(await addWorktree(repository, commit, directory, signal));
  const changed = source.kind === "tree" ? source.changed : [];
  const gone = changed.filter((path) => !isThere(join(repository, path)));
  for (const path of gone) await rm(join(directory, path), { recursive: true, force: true });
  for (const path of changed) {
    if (!gone.includes(path)) await copyInto(repository, path, join(directory, path), signal);
  }
  const inside = join(directory, wayToProject(repository, project));
  if (!existsSync(inside)) {
    throw new UserError(`${shortId(commit)} has no folder ${wayToProject(repository, project)}`, {
      where: source.text,
      hint: "The configuration lies there now; a base from before that cannot be measured.",
    });
  }
  const dirty = changed.length > 0;
  const resolved = source.kind === "tree" ? `working tree at ${shortId(commit)}` : shortId(commit);
  return {
    directory,
    project: inside,
    resolved: dirty ? `${resolved}, ${count(changed.length)} changed` : resolved,
    commit,
    dirty,
  };
}

/** Links that lead nowhere are there. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return false;
    throw error;
  }
}

function count(files: number): string {
  return files === 1 ? "1 file" : `${files} files`;
}

/** A copy of a folder: it cannot change while it is measured, and its path is as long as that of the other arm. */
export async function stageDirectory(
  { path }: Kind<"directory">,
  plan: SourceFiles,
  directory: string,
): Promise<Staged> {
  await copyTree(path, directory, plan.signal);
  const repository = await rootOfRepository(plan.project);
  const inside = join(directory, repository === undefined ? "" : wayToProject(repository, plan.project));
  const project = existsSync(inside) ? inside : directory;
  if (filesOfGlobs(project, plan.benches).length === 0) copyBenchFiles(plan, project);
  return { directory, project, resolved: `copy of ${path}`, ...(await commitOfFolder(path)) };
}

/** Of a folder that is a working tree of its own. */
async function commitOfFolder(path: string): Promise<Pick<Staged, "commit" | "dirty">> {
  if ((await rootOfRepository(path)) !== path) return {};
  const commit = await commitOf(path, "HEAD");
  return commit === undefined ? {} : { commit, dirty: (await changedPaths(path)).length > 0 };
}

/** An installed package beside copies of the project's bench files, which import it by its name. */
export async function stageNpm({ packages, text }: Kind<"npm">, plan: SourceFiles, directory: string): Promise<Staged> {
  mkdirSync(directory);
  // Whether a `.js` file is a module is decided by the nearest package.json.
  const type = moduleType(plan.project);
  writeFileSync(
    join(directory, "package.json"),
    JSON.stringify({ private: true, ...(type === undefined ? {} : { type }) }),
  );
  const settings = await settingsOfNpm(plan.project);
  if (settings !== undefined) copyFileSync(settings, join(directory, ".npmrc"));
  // Errors are shown to the user, also where an npm around this process was told to be silent.
  const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const args = ["install", "--ignore-scripts", "--save-exact", ...quiet];
  try {
    await runCommand({
      program: "npm",
      args: [...args, "--", ...packages],
      cwd: directory,
      timeoutMs: INSTALL_MS,
      signal: plan.signal,
    });
  } catch (error) {
    const reason = diskFullOr(error, directory);
    if (!(reason instanceof CommandFailure)) throw reason;
    throw new Refusal("prepare-failed", "the package could not be installed", {
      where: text,
      hint: reason.output,
      cause: reason,
    });
  }
  const [name, version] = subjectOf(directory, packages[0] ?? "");
  copyBenchFiles(plan, directory);
  return {
    directory,
    project: directory,
    resolved: `${name}@${version}`,
    ...(version === undefined ? {} : { version }),
  };
}

const INSTALL_MS = 600_000;

/** Registries of scopes, and their credentials' names: the nearest `.npmrc`, from the project up to the root of its repository. */
async function settingsOfNpm(project: string): Promise<string | undefined> {
  const root = (await rootOfRepository(project)) ?? project;
  for (let at = project; isWithin(root, at); at = dirname(at)) {
    const file = join(at, ".npmrc");
    if (existsSync(file)) return file;
    if (dirname(at) === at) return undefined;
  }
  return undefined;
}

function moduleType(project: string): string | undefined {
  const file = join(project, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { readonly type?: string }).type : undefined;
}

/** Name and installed version of the package that was asked for, whatever range or tarball it was asked by. */
function subjectOf(directory: string, asked: string): [name: string, version: string | undefined] {
  const read = (file: string): { readonly dependencies?: Record<string, string>; readonly version?: string } =>
    JSON.parse(readFileSync(file, "utf8"));
  const names = Object.keys(read(join(directory, "package.json")).dependencies ?? {});
  const name = names.find((candidate) => asked === candidate || asked.startsWith(`${candidate}@`)) ?? names[0];
  if (name === undefined) return [basename(asked), undefined];
  return [name, read(join(directory, "node_modules", name, "package.json")).version];
}

/** Puts the project's bench files in the place of an arm's own: of all that is found, each build runs the same. */
export function replaceBenchFiles(plan: SourceFiles, arm: { readonly project: string }): void {
  for (const file of filesOfGlobs(arm.project, plan.benches)) rmSync(join(arm.project, file));
  copyBenchFiles(plan, arm.project);
}

function copyBenchFiles({ project, benches, files }: SourceFiles, directory: string): void {
  for (const file of filesOfGlobs(project, [...benches, ...files])) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    copyFileSync(join(project, file), join(directory, file));
  }
}
