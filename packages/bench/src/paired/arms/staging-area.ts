/**
 * A temporary folder with room for arms, `a`, `b` and `c`. Whatever was put there goes away with it, at the end of the work
 * or when the process is interrupted, and the user's repository then has no trace of it.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { cleanUpAtEnd } from "../../harness/worker-process.ts";
import { makeTemporaryFolder } from "../temporary-folder.ts";
import type { StagedArm } from "./arm.ts";
import { CommandFailure, runCommand } from "./command.ts";
import { diskFullOr, Refusal } from "./refusal.ts";
import type { ArmSource } from "./source.ts";
import { stageCommit, stageDirectory, stageNpm, type SourceFiles, type Staged } from "./stage-source.ts";

/** How arms are made. */
export interface ArmPlan extends SourceFiles {
  /** Commands that build an arm of a repository, run by the shell in its project folder. */
  readonly prepare: readonly string[];
  readonly prepareTimeoutS?: number | undefined;
}

const PREPARE_TIMEOUT_S = 1800;

export class StagingArea {
  readonly root: string;
  readonly #removeRoot: () => void;
  /** What takes an arm away, beside deleting its directory. */
  readonly #removals = new Map<string, () => void>();

  constructor() {
    const root = makeTemporaryFolder("quern-gate-");
    this.root = root;
    this.#removeRoot = cleanUpAtEnd(() => rmSync(root, REMOVE));
  }

  /** Makes an arm and builds it. On failure nothing of the arm stays. */
  async stage(
    { name, letter }: Pick<StagedArm, "name" | "letter">,
    source: ArmSource,
    plan: ArmPlan,
    progress: (text: string) => void,
  ): Promise<StagedArm> {
    const directory = join(this.root, letter);
    try {
      progress(`staging ${name}: ${source.text}`);
      const arm: StagedArm = {
        name,
        letter,
        source: source.text,
        kind: source.kind,
        ...(await this.#stageSource(source, plan, directory)),
      };
      if (source.kind === "commit" || source.kind === "tree") await prepare(arm, plan, progress);
      return arm;
    } catch (error) {
      const reason = diskFullOr(error, this.root);
      this.#discard(directory);
      throw reason;
    }
  }

  async #stageSource(source: ArmSource, plan: ArmPlan, directory: string): Promise<Staged> {
    switch (source.kind) {
      case "commit":
      case "tree":
        return await stageCommit(source, plan, {
          directory,
          onRemove: (undo) => this.#removals.set(directory, undo),
        });
      case "directory":
        return await stageDirectory(source, plan, directory);
      case "npm":
        return await stageNpm(source, plan, directory);
    }
  }

  /** Takes one arm away, so that another can have its place. */
  discard({ directory }: StagedArm): void {
    this.#discard(directory);
  }

  #discard(directory: string): void {
    this.#removals.get(directory)?.();
    this.#removals.delete(directory);
    rmSync(directory, REMOVE);
  }

  remove(): void {
    // The worktrees before the folder that holds them.
    for (const undo of this.#removals.values()) undo();
    this.#removals.clear();
    this.#removeRoot();
  }
}

/** A process that has just been killed may still hold a file. */
const REMOVE = { recursive: true, force: true, maxRetries: 5 } as const;

async function prepare(arm: StagedArm, plan: ArmPlan, progress: (text: string) => void): Promise<void> {
  for (const command of plan.prepare) {
    progress(`preparing ${arm.name}: ${command}`);
    try {
      await runCommand({
        program: command,
        cwd: arm.project,
        timeoutMs: 1000 * (plan.prepareTimeoutS ?? PREPARE_TIMEOUT_S),
        signal: plan.signal,
      });
    } catch (error) {
      const reason = diskFullOr(error, arm.directory);
      if (!(reason instanceof CommandFailure)) throw reason;
      throw new Refusal("prepare-failed", reason.message.split("\n", 1)[0] ?? "", {
        where: `prepare of ${arm.name} (${arm.resolved})`,
        hint: reason.output,
        cause: reason,
      });
    }
  }
}
