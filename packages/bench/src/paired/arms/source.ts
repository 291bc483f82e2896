/**
 * What `--base` and `--head` name: a git reference, the working tree, a folder with a build, packages of npm. Where a text
 * could be two of these it is refused; `git:`, `dir:` and `npm:` say which is meant.
 */

import { existsSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, relative, resolve } from "node:path";
import { UserError } from "@quern/core/errors";
import { isWithin } from "./copy-tree.ts";
import { changedPaths, commitOf, rootOfRepository, whyNoRepository } from "./git.ts";

export type ArmSource =
  /** A commit. `repository` is the root of the working tree that it is known in. */
  | { readonly kind: "commit"; readonly text: string; readonly repository: string; readonly commit: string }
  /** The files of the working tree as they are: `changed` differ from `commit`, relative to the root. */
  | {
      readonly kind: "tree";
      readonly text: string;
      readonly repository: string;
      readonly commit: string;
      readonly changed: readonly string[];
    }
  | { readonly kind: "directory"; readonly text: string; readonly path: string }
  /** Packages as npm takes them; the first one is the subject. */
  | { readonly kind: "npm"; readonly text: string; readonly packages: readonly string[] };

export interface SourcePlace {
  /** Where relative paths begin. */
  readonly cwd: string;
  /** Folder of the configuration: `.` and all above it within the repository are the working tree. */
  readonly project: string;
  /** "--base" or "--head". */
  readonly option: string;
}

const NPM_NAME = /^(@[a-z0-9~][\w.~-]*\/)?[a-z0-9~][\w.~-]*(@[^\s@]+)?$/i;
const TARBALL = /\.(tgz|tar\.gz)$/;

/** Finds out what a text names. Throws a `UserError` where it is nothing, or could be two things. */
export async function readSource(text: string, place: SourcePlace): Promise<ArmSource> {
  const where = `${place.option} ${text}`;
  if (text.trim() === "") throw new UserError("there is nothing named", { where: place.option });
  if (text.startsWith("npm:")) return { kind: "npm", text, packages: packagesOf(text.slice(4), place, where) };
  const repository = await rootOfRepository(place.project);
  if (text.startsWith("git:")) return await commitSource(text, text.slice(4), repository, place, where);
  if (text.startsWith("dir:")) return await folderSource(text, text.slice(4), repository, place, where);
  const isPath = /^\.{0,2}[/\\]|^\.{1,2}$/.test(text) || isAbsolute(text);
  const exists = statSync(resolve(place.cwd, text), { throwIfNoEntry: false }) !== undefined;
  const commit = isPath || repository === undefined ? undefined : await commitOf(repository, text);
  if (commit !== undefined && exists) {
    throw new UserError(`"${text}" is a commit and a file or folder`, {
      where,
      hint: `Write git:${text} or ./${text}.`,
    });
  }
  if (commit !== undefined || (!isPath && !exists)) return await commitSource(text, text, repository, place, where);
  return await folderSource(text, text, repository, place, where);
}

async function commitSource(
  text: string,
  name: string,
  repository: string | undefined,
  { project }: SourcePlace,
  where: string,
): Promise<ArmSource> {
  if (repository === undefined) {
    const hint = await whyNoRepository(project);
    const why = hint === undefined ? "there is no git repository here" : "git cannot be asked for a commit";
    throw new UserError(`"${name}" is no folder, and ${why}`, { where, hint });
  }
  const commit = await commitOf(repository, name);
  if (commit !== undefined) return { kind: "commit", text, repository, commit };
  throw new UserError(`"${name}" is neither a commit nor a folder`, {
    where,
    hint:
      "A package of npm is written npm:name@version. In CI, fetch the commit first: a shallow checkout has only one; " +
      "fetch-depth: 0 brings all.",
  });
}

async function folderSource(
  text: string,
  name: string,
  repository: string | undefined,
  { cwd, project }: SourcePlace,
  where: string,
): Promise<ArmSource> {
  const path = resolve(cwd, name);
  if (!existsSync(path)) throw new UserError("the folder does not exist", { where });
  if (TARBALL.test(path) && statSync(path).isFile()) return { kind: "npm", text, packages: [realpathSync(path)] };
  if (!statSync(path).isDirectory()) throw new UserError("this is a file, not a folder", { where });
  const real = realpathSync(path);
  // The project's folder, or one around it: not a build that lies somewhere in the repository.
  if (repository === undefined || !isWithin(repository, real) || !isWithin(real, realpathSync(project))) {
    return { kind: "directory", text, path: real };
  }
  const commit = await commitOf(repository, "HEAD");
  if (commit === undefined) throw new UserError("the repository has no commit yet", { where });
  return { kind: "tree", text, repository, commit, changed: await changedPaths(repository) };
}

/** Packages separated by commas, each a name with an exact version, a range or a tag, or the path of a tarball. */
function packagesOf(text: string, { cwd }: SourcePlace, where: string): string[] {
  const packages = text.split(",").map((part) => part.trim());
  return packages.map((item) => {
    if (TARBALL.test(item)) {
      const file = resolve(cwd, item);
      if (existsSync(file)) return realpathSync(file);
      throw new UserError("there is no such tarball", { where });
    }
    if (NPM_NAME.test(item)) return item;
    throw new UserError(`"${item}" is no package of npm`, { where, hint: "For instance: npm:@scope/name@1.2.3." });
  });
}

/** Path from the repository's root to the project, with the separators of the system; empty for the root itself. */
export function wayToProject(repository: string, project: string): string {
  return relative(repository, realpathSync(project));
}
