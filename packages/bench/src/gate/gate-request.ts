/** What is asked of a gate, and what it tells while it goes on. */

import type { BenchConfig } from "../define/config.ts";
import type { Flags } from "../define/resolve-config.ts";

export interface GateRequest {
  /** "ab" compares and reports; a slow-down does not fail it. */
  readonly kind: "gate" | "ab";
  /** Git reference, directory or `npm:package@version`. */
  readonly base: string;
  readonly head: string;
  /** The base itself, not its merge base with the head. */
  readonly exact?: boolean | undefined;
  /** For tests of the gate itself: the arms may be the same. */
  readonly allowIdentical?: boolean | undefined;
  /**
   * What it means that both builds load the same files, or that the base has no benches. "error", the default: a mistake, and
   * refused. "neutral": a change of something else, such as documentation, or the first benches; nothing is measured, and the
   * result says so.
   */
  readonly identical?: "error" | "neutral" | undefined;
  readonly cwd: string;
  /** Path of the configuration; undefined: that of `cwd`. */
  readonly configFile?: string | undefined;
  /** Instead of a file: a configuration for the folder `cwd`. */
  readonly config?: BenchConfig | undefined;
  /** Settings, before those of the environment. */
  readonly flags: Flags;
  /** `BENCH_*` and no other variables are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly filter?: readonly string[] | undefined;
  /** File with `Bench-Accept:` trailers, such as the body of a pull request; commit messages and BENCH_ACCEPT are read too. */
  readonly acceptFrom?: string | undefined;
  /** Regressions and inconclusive benches are shown and fail nothing; errors, a disturbed machine and a spent budget do. */
  readonly advisory?: boolean | undefined;
  /** Path of floors measured by `calibrate`; read if it is there. */
  readonly calibrationFile?: string | undefined;
  /** For the record. */
  readonly tool: { readonly name: string; readonly version: string };
  readonly argv: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** `stage` goes on for long, `text` for a moment; `share` of the stage is done, `leftMs` is predicted. */
export type GateProgress = (stage: string, text?: string, share?: number, leftMs?: number) => void;
