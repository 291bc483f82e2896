/**
 * What is compared: two builds of the same benchmarks, each in a directory of its own.
 *
 * Out of staging comes one `StagedArm` per side. The directories of a pair have paths of equal length (a longer path
 * moves the stack of a process), and which of them is `a` is drawn from the seed.
 */

export type ArmName = "base" | "head";

/** One of something for each arm. */
export interface ArmPair<T> {
  readonly base: T;
  readonly head: T;
}

export interface StagedArm {
  readonly name: ArmName;
  /** Last part of `directory`. */
  readonly letter: "a" | "b" | "c";
  /** As the user gave it: "main", ".", "npm:fast-sort@3.4.0", "../other". */
  readonly source: string;
  /** What that names. */
  readonly kind?: "commit" | "tree" | "directory" | "npm";
  /** What was staged, for people: "a1b2c3d (merge-base with main)", "working tree at a1b2c3d", "fast-sort@3.4.0". */
  readonly resolved: string;
  /** Absolute, links resolved. Everything of the arm lies below. */
  readonly directory: string;
  /** The folder below `directory` (or itself) that stands for the folder of the configuration file. */
  readonly project: string;
  /** Of git sources: the full id. */
  readonly commit?: string;
  /** Of git sources: uncommitted changes are part of the arm. */
  readonly dirty?: boolean;
  /** Of npm sources: the version of the first package. */
  readonly version?: string;
}

/** One file that a process of an arm loaded: a module, a native library, data that it read. */
export interface LoadedFile {
  /** Absolute, links resolved. */
  readonly path: string;
  readonly sha256: string;
}
