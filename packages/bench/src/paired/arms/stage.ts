/**
 * Stages the two builds of a comparison: reads what is asked for, refuses what cannot differ, puts each build into a
 * directory of its own and builds it there.
 *
 * The directories are `<tmp>/quern-gate-XXXXXX/a` and `b`. They go away when the comparison ends or is interrupted, and
 * the repository of the user then has no trace of them.
 */

import { Random } from "../../harness/random.ts";
import type { StagedArm } from "./arm.ts";
import { mergeBase, shortId } from "./git.ts";
import { Refusal } from "./refusal.ts";
import { readSource, type ArmSource } from "./source.ts";
import { StagingArea, type ArmPlan } from "./staging-area.ts";

export interface StagePlan extends ArmPlan {
  /** As `--base` and `--head` have them. */
  readonly base: string;
  readonly head: string;
  /** The base is the commit named, not the newest one that it has in common with the head. */
  readonly exact?: boolean;
  /** For tests of the gate itself: the two may be the same. */
  readonly allowIdentical?: boolean;
  /** Where relative paths begin. */
  readonly cwd: string;
  readonly seed: number;
}

export interface StagedPair {
  readonly base: StagedArm;
  readonly head: StagedArm;
  /** Takes the directories away. */
  remove(): void;
}

/** What the arms will be, for people. */
export interface ReadSources {
  readonly base: ArmSource;
  readonly head: ArmSource;
  /** `base` is the merge base with the commit that was named. */
  readonly merged: boolean;
}

/** Reads both sources and refuses those that cannot differ. Nothing is written. */
export async function readSources(plan: StagePlan): Promise<ReadSources> {
  const { cwd, project } = plan;
  const head = await readSource(plan.head, { cwd, project, option: "--head" });
  let base = await readSource(plan.base, { cwd, project, option: "--base" });
  let merged = false;
  if (base.kind === "commit" && (head.kind === "commit" || head.kind === "tree") && plan.exact !== true) {
    const commit = await mergeBase(base.repository, base.commit, head.commit);
    merged = commit !== base.commit;
    base = { ...base, commit };
  }
  if (plan.allowIdentical !== true) refuseSame(base, head);
  return { base, head, merged };
}

function refuseSame(base: ArmSource, head: ArmSource): void {
  const where = `--base ${base.text} --head ${head.text}`;
  const refuse = (what: string, hint: string): never => {
    throw new Refusal("same-source", what, { where, hint });
  };
  if (base.kind === "commit" && (head.kind === "commit" || head.kind === "tree") && base.commit === head.commit) {
    if (head.kind === "commit" || head.changed.length === 0) {
      refuse(
        `base and head are the same commit, ${shortId(base.commit)}`,
        "Is the branch merged already? Name an older base; --exact takes it as it is.",
      );
    }
  }
  if (base.kind === "tree" && head.kind === "tree") refuse("base and head are both the working tree", "Name a base.");
  if (base.kind === "directory" && head.kind === "directory" && base.path === head.path) {
    refuse("base and head are the same folder", "Copy the old build to a folder of its own before building anew.");
  }
  if (base.kind === "npm" && head.kind === "npm" && base.packages.join() === head.packages.join()) {
    refuse("base and head are the same package", "Name two versions.");
  }
}

/** Stages both builds. `progress` is told what is going on. */
export async function stageArms(plan: StagePlan, progress: (text: string) => void): Promise<StagedPair> {
  const sources = await readSources(plan);
  const area = new StagingArea();
  const [baseLetter, headLetter] = Random.of(plan.seed, "arms").shuffle(["a", "b"] as const) as ["a" | "b", "a" | "b"];
  try {
    const base = await area.stage({ name: "base", letter: baseLetter }, sources.base, plan, progress);
    const head = await area.stage({ name: "head", letter: headLetter }, sources.head, plan, progress);
    const resolved = sources.merged ? `${base.resolved} (merge base with ${base.source})` : base.resolved;
    return { base: { ...base, resolved }, head, remove: () => area.remove() };
  } catch (error) {
    area.remove();
    throw error;
  }
}
