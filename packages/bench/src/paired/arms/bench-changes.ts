/**
 * Benches that are not the same in both arms. They are compared: a change of the bench is part of many a change of the code. But
 * whoever reads the ratio must know that the two may not have done the same.
 */

import { realpathSync } from "node:fs";
import { join } from "node:path";
import type { ListAnswer, ListedBench } from "../../define/list-benches.ts";
import type { ArmPair, StagedArm } from "./arm.ts";

/** Flag of a bench whose file, parameters or work differ. */
export const BENCH_CHANGED = "bench-changed";

/** Identifiers of the benches among `compared` that are not the same in both arms. */
export function changedBenches(
  arms: ArmPair<StagedArm>,
  lists: ArmPair<ListAnswer>,
  compared: readonly ArmPair<ListedBench>[],
): ReadonlySet<string> {
  const hashes = { base: hashesOf(lists.base), head: hashesOf(lists.head) };
  const changed = compared.filter(({ base, head }) => {
    const before = hashOf(hashes.base, arms.base, base);
    const now = hashOf(hashes.head, arms.head, head);
    const otherFile = before !== undefined && now !== undefined && before !== now;
    return otherFile || text(base.params) !== text(head.params) || text(base.work) !== text(head.work);
  });
  return new Set(changed.map(({ head }) => head.id));
}

function hashesOf({ loaded }: ListAnswer): ReadonlyMap<string, string> {
  return new Map(loaded.map(({ path, sha256 }) => [path, sha256]));
}

/** Of the file of a bench; undefined where it is not known. */
function hashOf(
  hashes: ReadonlyMap<string, string>,
  { project }: StagedArm,
  { file }: ListedBench,
): string | undefined {
  const path = join(project, file);
  return hashes.get(path) ?? hashes.get(withoutLinks(path));
}

function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Equal for equal members, whatever their order. */
function text(record: object = {}): string {
  return JSON.stringify(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
