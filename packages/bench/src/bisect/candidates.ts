/**
 * What a bisection searches: the builds after the good one up to the bad one, oldest first. Commits follow the first
 * parent, so that a branch that was merged is one step; versions of a package follow their numbers.
 */

import { resolve } from "node:path";
import { UserError } from "@quern/core/errors";
import { meantInstead } from "../define/nearest.ts";
import { runCommand } from "../paired/arms/command.ts";
import { commitOf, git, rootOfRepository, shortId } from "../paired/arms/git.ts";
import { compareVersions, isPrerelease, isVersion } from "./versions.ts";

export interface Candidate {
  /** What stages it: a commit, `npm:package@version`. */
  readonly source: string;
  /** For people: the short commit and its subject, the version. */
  readonly label: string;
}

export interface Candidates {
  readonly good: Candidate;
  /** After `good`, oldest first; the last one is the bad one. */
  readonly after: readonly Candidate[];
}

export interface CommitRange {
  readonly good: string;
  readonly bad: string;
  /** Only commits that touch one of these, and the bad one. */
  readonly paths?: readonly string[];
  /** Folder that the paths count from; by default that of the configuration. */
  readonly cwd?: string;
}

/** Commits after `good` up to `bad`. */
export async function commitCandidates(
  folder: string,
  { good, bad, paths = [], cwd = folder }: CommitRange,
): Promise<Candidates> {
  const repository = await rootOfRepository(folder);
  if (repository === undefined) throw new UserError("there is no git repository here", { where: folder });
  const known = async (name: string, option: string): Promise<string> => {
    const commit = await commitOf(repository, name);
    if (commit !== undefined) return commit;
    throw new UserError(`there is no commit "${name}"`, {
      where: `${option} ${name}`,
      hint: "A shallow checkout has only one commit; fetch the others first.",
    });
  };
  const from = await known(good, "--good");
  const to = await known(bad, "--bad");
  const where = `--good ${good} --bad ${bad}`;
  if (from === to) throw new UserError("good and bad are the same commit", { where });
  const list = async (...more: string[]): Promise<string[]> => {
    const range = ["log", "--first-parent", "--reverse", "-z", "--format=%H %s", `${from}..${to}`, "--", ...more];
    return (await git(folder, range)).split("\0").filter((line) => line !== "");
  };
  const all = await list();
  // On another branch than the bad commit it would still give a list: of commits that are not after it.
  const isAncestor = (await git(repository, ["merge-base", from, to])).trim() === from;
  if (!isAncestor || all.length === 0) {
    throw new UserError(`${shortId(from)} does not come before ${shortId(to)}`, {
      where,
      hint: "The good commit must be an ancestor of the bad one. Are they swapped?",
    });
  }
  const touching = paths.length === 0 ? all : await list(...paths.map((path) => fromFolder(path, cwd)));
  if (touching.length === 0)
    throw new UserError("no commit between the two touches this", {
      where: paths.map((path) => `--path ${path}`).join(" "),
      hint: `${all.length} ${all.length === 1 ? "commit lies" : "commits lie"} between them. Paths count from the folder you are in.`,
    });
  const last = all[all.length - 1] as string;
  const lines = touching.includes(last) ? touching : [...touching, last];
  const label = (line: string): string => `${line.slice(0, SHORT_ID)} ${line.slice(line.indexOf(" ") + 1)}`;
  return {
    good: { source: from, label: shortId(from) },
    after: lines.map((line) => ({ source: line.slice(0, line.indexOf(" ")), label: label(line) })),
  };
}

/** What begins with a colon has rules of its own for git. */
function fromFolder(path: string, folder: string): string {
  return path.startsWith(":") ? path : resolve(folder, path);
}

const SHORT_ID = 10;

/** Lists all versions of a package; npm does it unless a test does. */
export type ListVersions = (name: string, cwd: string) => Promise<readonly string[]>;

const LIST_MS = 120_000;

export const versionsOfNpm: ListVersions = async (name, cwd) => {
  const args = ["view", "--json", "--", name, "versions"];
  const answer = JSON.parse(await runCommand({ program: "npm", args, cwd, timeoutMs: LIST_MS })) as unknown;
  // A package with one version has a text.
  return (Array.isArray(answer) ? answer : [answer]).map(String);
};

/** `name` and `version` of `npm:name@version`, or undefined. */
export function npmVersion(source: string): { readonly name: string; readonly version: string } | undefined {
  const match = /^npm:(@?[^@\s,]+)@([^@\s,]+)$/.exec(source);
  return match === null ? undefined : { name: match[1] ?? "", version: match[2] ?? "" };
}

/** Releases of a package after `good` up to `bad`. Pre-releases count when one of the two is one. */
export async function versionCandidates(
  { good, bad, cwd }: { readonly good: string; readonly bad: string; readonly cwd: string },
  listVersions: ListVersions = versionsOfNpm,
): Promise<Candidates> {
  const [from, to] = [good, bad].map(npmVersion);
  const where = `--good ${good} --bad ${bad}`;
  if (from === undefined || to === undefined || from.name !== to.name) {
    throw new UserError("good and bad are not two versions of one package", {
      where,
      hint: "For instance: --good npm:name@1.0.0 --bad npm:name@2.0.0.",
    });
  }
  const versions = (await listVersions(from.name, cwd)).filter(isVersion).sort(compareVersions);
  for (const { version } of [from, to]) {
    if (versions.includes(version)) continue;
    throw new UserError(`${from.name} has no version ${version}`, { where, hint: meantInstead(version, versions) });
  }
  const [first, last] = [from, to].map(({ version }) => versions.indexOf(version)) as [number, number];
  if (first >= last) {
    throw new UserError(`${from.version} does not come before ${to.version}`, { where, hint: "Are they swapped?" });
  }
  const withPre = isPrerelease(from.version) || isPrerelease(to.version);
  const source = (version: string): string => `npm:${from.name}@${version}`;
  return {
    good: { source: source(from.version), label: from.version },
    after: versions
      .slice(first + 1, last + 1)
      .filter((version) => withPre || !isPrerelease(version))
      .map((version) => ({ source: source(version), label: version })),
  };
}
