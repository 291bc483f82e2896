/**
 * What the measured processes loaded, beside what the preflight saw: a bench may load a file only after some calls, and a folder
 * that is compared as it is may be built anew while the run goes on.
 */

import type { ArmName, ArmPair, LoadedFile, StagedArm } from "../paired/arms/arm.ts";
import { foreignFiles } from "../paired/arms/preflight.ts";

export interface LoadedFindings {
  /** In plain words: files that are not those of the arm that loaded them. */
  readonly foreign: readonly string[];
  /** Paths of files that were different ones before. */
  readonly changed: readonly string[];
}

export class LoadedCheck {
  readonly #arms: ArmPair<StagedArm>;
  readonly #shared: readonly string[];
  readonly #known: Readonly<Record<ArmName, Map<string, string>>>;

  /** `before`: what each arm loaded when its benches were tried. */
  constructor(arms: ArmPair<StagedArm>, before: ArmPair<readonly LoadedFile[]>, shared: readonly string[]) {
    this.#arms = arms;
    this.#shared = shared;
    const known = (files: readonly LoadedFile[]): Map<string, string> =>
      new Map(files.map(({ path, sha256 }) => [path, sha256]));
    this.#known = { base: known(before.base), head: known(before.head) };
  }

  /** Looks at what one stage has loaded, and remembers it for the next. */
  add(loaded: ArmPair<readonly LoadedFile[]>): LoadedFindings {
    const changed: string[] = [];
    for (const name of ["base", "head"] as const) {
      const known = this.#known[name];
      for (const { path, sha256 } of loaded[name]) {
        if ((known.get(path) ?? sha256) !== sha256) changed.push(path);
        known.set(path, sha256);
      }
    }
    const { base, head } = this.#arms;
    const folders = { shared: this.#shared };
    const said =
      (name: ArmName) =>
      ({ path, what }: { readonly path: string; readonly what: string }) =>
        `while it was measured, ${name} loaded ${what}: ${path}`;
    return {
      foreign: [
        ...foreignFiles(base, head, loaded.base, folders).map(said("base")),
        ...foreignFiles(head, base, loaded.head, folders).map(said("head")),
      ],
      changed,
    };
  }
}
