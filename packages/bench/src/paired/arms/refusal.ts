/** Why a comparison does not begin: what would be measured is not what was asked for. */

import { statfsSync } from "node:fs";
import { UserError } from "@quern/core/errors";

const EXIT_CODES = {
  /** Both arms are the same before anything is staged. */
  "same-source": 2,
  /** Every file that the benches load is the same in both arms. */
  "identical-files": 2,
  /** The filter or the lists of the arms leave nothing that both have; the good build of a bisection lacks the bench. */
  "nothing-to-compare": 4,
  /** An arm loads a file of the other arm, or one from outside of both. */
  "foreign-file": 4,
  /** A command that builds an arm failed, or a package could not be installed. */
  "prepare-failed": 4,
  /** A bench file of an arm throws when it is loaded, or ends or blocks its process; the good build of a bisection fails. */
  "benches-failed": 4,
  /** The budget was spent before anything could be measured. */
  "budget-spent": 6,
  "disk-full": 3,
} as const;

export type RefusalReason = keyof typeof EXIT_CODES;

/** An error before measuring. `exitCode` is that of the command line. */
export class Refusal extends UserError {
  override readonly name: string = "Refusal";
  readonly reason: RefusalReason;
  readonly exitCode: (typeof EXIT_CODES)[RefusalReason];

  constructor(
    reason: RefusalReason,
    what: string,
    options: { where?: string | undefined; hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(what, options);
    this.reason = reason;
    this.exitCode = EXIT_CODES[reason];
  }
}

const FULL = /\bENOSPC\b|\bEDQUOT\b|no space left on device|disk quota exceeded|not enough space on the disk/i;
/** Programs that do not say why they could not write; git is one. */
const UNWRITTEN = /\b(unable to|cannot|can't|could not|failed to) write\b|\bwrite (error|failed)\b|\bshort write\b/i;
const FEW_BYTES = 256 * 2 ** 20;

/** Whether an error of the system, or what a program printed, says that a disk is full. */
export function saysDiskFull(text: string): boolean {
  return FULL.test(text);
}

/**
 * `error`, which came of writing to `directory`, as the refusal of a full disk where it is one; otherwise itself. Asked
 * before anything that was written is taken away.
 */
export function diskFullOr(error: unknown, directory: string): unknown {
  if (!(error instanceof Error) || error instanceof Refusal) return error;
  const { code } = error as NodeJS.ErrnoException;
  const text = `${code ?? ""} ${error.message}`;
  if (!saysDiskFull(text) && !(UNWRITTEN.test(text) && (freeBytes(directory) ?? Infinity) < FEW_BYTES)) return error;
  return new Refusal("disk-full", "the disk is full", {
    where: directory,
    hint: "Free some space, or set TMPDIR to a folder on another disk.",
    cause: error,
  });
}

/** On the disk of `directory`; null where the system does not say. */
export function freeBytes(directory: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    return null;
  }
}
