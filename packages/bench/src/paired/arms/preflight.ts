/**
 * Checks before measuring: which benches both arms have, and that each arm runs its own build and not the other's.
 *
 * A project once compared its main branch with itself and still printed a gain of 41 %; another loaded the same native
 * library in both arms. Neither can be seen in the times, so the files that each arm has loaded are compared.
 */

import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { dirname, relative, sep } from "node:path";
import { filterBenches } from "../../define/filter.ts";
import type { ListAnswer, ListedBench } from "../../define/list-benches.ts";
import { patternMatcher } from "../../define/pattern.ts";
import type { ArmPair, LoadedFile, StagedArm } from "./arm.ts";
import { changedBenches } from "./bench-changes.ts";
import { isWithin } from "./copy-tree.ts";
import { Refusal } from "./refusal.ts";

/** What identifies the build that an arm ran. */
export interface Artefact {
  /** Over the relative paths and hashes of the arm's own files that were loaded, sorted by path. */
  readonly sha256: string;
  readonly files: number;
}

export interface BenchLists {
  /** In both arms, in the order of the head. */
  readonly compared: readonly ArmPair<ListedBench>[];
  /** In both, but it fails in the base alone, which the head may be there to mend: reported, not compared. */
  readonly failing: readonly ArmPair<ListedBench>[];
  /** Only in the head: reported, not compared. */
  readonly added: readonly ListedBench[];
  /** Only in the base, and declared as removed. */
  readonly removed: readonly ListedBench[];
  /** Only in the base, without a word: an error. */
  readonly missing: readonly ListedBench[];
}

export interface ListRules {
  readonly filter?: readonly string[];
  /** Patterns of benches that the head has no more, on purpose. */
  readonly removed?: readonly string[];
  /** A base without any bench is no error. */
  readonly allowNew?: boolean;
}

/** What is wrong with a bench by its first call; undefined where nothing is. */
export function faultOfFirstCall({ failure, wrong }: ListedBench): string | undefined {
  return failure ?? wrong;
}

/** Sorts the benches of both arms by where they are. The filter is applied to all of them together. */
export function compareLists(
  lists: ArmPair<readonly ListedBench[]>,
  { filter = [], removed = [], allowNew = false }: ListRules = {},
): BenchLists {
  const inHead = new Map(lists.head.map((bench) => [bench.id, bench]));
  const inBase = new Map(lists.base.map((bench) => [bench.id, bench]));
  const all = [...lists.head, ...lists.base.filter(({ id }) => !inHead.has(id))];
  const chosen = filterBenches(all, filter);
  const declared = removed.map(patternMatcher);
  const compared: ArmPair<ListedBench>[] = [];
  const failing: ArmPair<ListedBench>[] = [];
  const added: ListedBench[] = [];
  const gone: ListedBench[] = [];
  for (const { id } of chosen) {
    const base = inBase.get(id);
    const head = inHead.get(id);
    if (base !== undefined && head !== undefined) {
      const mended = faultOfFirstCall(base) !== undefined && faultOfFirstCall(head) === undefined;
      (mended ? failing : compared).push({ base, head });
    } else if (head !== undefined) added.push(head);
    else if (base !== undefined) gone.push(base);
  }
  const isDeclared = ({ id }: ListedBench): boolean => declared.some((matches) => matches(id));
  const found = {
    compared,
    failing,
    added,
    removed: gone.filter(isDeclared),
    missing: gone.filter((bench) => !isDeclared(bench)),
  };
  const allNew = lists.base.length === 0;
  if (compared.length > 0 || found.missing.length > 0 || (allNew && allowNew)) return found;
  throw allNew ? allNewRefusal(added) : nothingLeftRefusal(found, filter);
}

function allNewRefusal(added: readonly ListedBench[]): Refusal {
  const benches = added.length === 1 ? "The bench of head is new" : `All ${added.length} benches of head are new`;
  return new Refusal("nothing-to-compare", "the base has no bench files: there is nothing to compare with", {
    where: "the lists of base and head",
    hint: `${benches}, or "benches" in the configuration does not name those of base. --identical neutral makes it no error.`,
  });
}

function nothingLeftRefusal({ added, removed, failing }: BenchLists, filter: readonly string[]): Refusal {
  const [first] = failing;
  const counts = [
    `${added.length} only in head`,
    `${removed.length} removed from it`,
    ...(first === undefined
      ? []
      : [`${failing.length} failing in base, such as ${first.base.id}: ${faultOfFirstCall(first.base)}`]),
  ];
  return new Refusal(
    "nothing-to-compare",
    first === undefined ? "no bench is in both base and head" : "no bench can be compared",
    {
      where: filter.length === 0 ? "the lists of base and head" : `--filter ${filter.join(" ")}`,
      hint: `${counts.join(", ")}.`,
    },
  );
}

/** Identity of the files that an arm has loaded from its own directory. */
export function artefactOf(arm: StagedArm, loaded: readonly LoadedFile[]): Artefact {
  const own = loaded
    .filter(({ path }) => isWithin(arm.directory, path))
    .map(({ path, sha256 }) => [relative(arm.directory, path).split(sep).join("/"), sha256] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash("sha256");
  for (const [path, sha256] of own) hash.update(`${path}\0${sha256}\n`);
  return { sha256: hash.digest("hex"), files: own.length };
}

const SYSTEM_FOLDERS = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/libexec", "/System", "/Library/Apple"];

/** A library, not a module: packages that are installed for the whole machine belong to no arm. */
function isOfSystem(path: string): boolean {
  if (!/\.(so|dylib|dll)(\.[\d.]+)?$/i.test(path) || /[/\\]node_modules[/\\]/.test(path)) return false;
  if (process.platform === "win32") return /^[a-z]:\\windows\\/i.test(path);
  return SYSTEM_FOLDERS.some((folder) => isWithin(folder, path));
}

/** Folders of this package and of those that it needs: the tool that measures both arms. */
export function harnessFolders(): string[] {
  const own = findPackageJSON("..", import.meta.url);
  if (own === undefined) return [];
  const { dependencies = {} } = JSON.parse(readFileSync(own, "utf8")) as {
    readonly dependencies?: Readonly<Record<string, string>>;
  };
  const files = Object.keys(dependencies).flatMap((name) => findPackageJSON(name, import.meta.url) ?? []);
  return [own, ...files].map((file) => realpathSync(dirname(file)));
}

/** Folders whose files every arm may load. */
export interface CommonFolders {
  /** With libraries that both arms load: those of the configuration. */
  readonly shared?: readonly string[];
  readonly harness?: readonly string[];
}

/** A file that an arm has loaded and that is not its own. */
export interface ForeignFile {
  readonly path: string;
  /** Completes "base loads …". */
  readonly what: string;
  readonly hint: string;
}

/**
 * Files of the other arm among those that an arm has loaded, and files from outside of both that are neither of the harness
 * nor libraries of the system: what the arm ran was not its own build.
 */
export function foreignFiles(
  arm: StagedArm,
  other: StagedArm,
  loaded: readonly LoadedFile[],
  { shared = [], harness = harnessFolders() }: CommonFolders = {},
): ForeignFile[] {
  const common = [...harness, ...shared];
  return loaded.flatMap(({ path }): ForeignFile[] => {
    if (isWithin(arm.directory, path)) return [];
    if (isWithin(other.directory, path)) {
      const hint = "Its own build was not measured: an absolute path or a link leads from one arm to the other.";
      return [{ path, what: `a file of ${other.name}`, hint }];
    }
    if (isOfSystem(path) || common.some((folder) => isWithin(folder, path))) return [];
    const hint =
      "Both arms would run the same file: let `prepare` install or build it in each, or name its folder in `shared`.";
    return [{ path, what: "a file from outside of its directory", hint }];
  });
}

/** Refuses an arm that has loaded a file that is not its own. */
export function requireOwnFiles(
  arm: StagedArm,
  other: StagedArm,
  loaded: readonly LoadedFile[],
  folders: CommonFolders = {},
): void {
  const [foreign] = foreignFiles(arm, other, loaded, folders);
  if (foreign === undefined) return;
  const { path, what, hint } = foreign;
  throw new Refusal("foreign-file", `${arm.name} loads ${what}`, { where: path, hint });
}

/** Whether both arms ran the same code: their files are equal, and neither ran code elsewhere, of whose files nothing is known. */
function isSameCode({ base, head }: ArmPair<Artefact>, lists: ArmPair<ListAnswer>): boolean {
  const unseen = [lists.base, lists.head].flatMap((list) => list.unseen ?? []);
  return unseen.length === 0 && base.sha256 === head.sha256;
}

/** Of two arms that ran the same code: nothing that was measured has changed. */
function sameCodeRefusal({ base }: ArmPair<Artefact>): Refusal {
  return new Refusal("identical-files", "base and head load identical files", {
    where: `${base.files} files, sha256 ${base.sha256.slice(0, 16)}`,
    hint:
      "Nothing that the benches run has changed. Was the head built? --identical neutral makes it no error, " +
      "--allow-identical measures the noise.",
  });
}

export interface Preflight extends BenchLists {
  readonly artefacts: ArmPair<Artefact>;
  /** Both arms ran the same code, for all that can be seen of it. */
  readonly identical: boolean;
  /** Identifiers of compared benches that are not the same in both arms. */
  readonly changed: ReadonlySet<string>;
}

/** All checks on what the arms' processes have listed and loaded. */
export function preflight(
  arms: ArmPair<StagedArm>,
  lists: ArmPair<ListAnswer>,
  options: ListRules & {
    readonly allowIdentical?: boolean;
    /** Folders with libraries that both arms may load. */
    readonly shared?: readonly string[];
  },
): Preflight {
  requireOwnFiles(arms.base, arms.head, lists.base.loaded, options);
  requireOwnFiles(arms.head, arms.base, lists.head.loaded, options);
  const artefacts = {
    base: artefactOf(arms.base, lists.base.loaded),
    head: artefactOf(arms.head, lists.head.loaded),
  };
  const identical = isSameCode(artefacts, lists);
  if (identical && options.allowIdentical !== true) throw sameCodeRefusal(artefacts);
  const found = compareLists({ base: lists.base.benches, head: lists.head.benches }, options);
  return { ...found, artefacts, identical, changed: changedBenches(arms, lists, found.compared) };
}
