/** What to say of errors that leave a part of a run unmeasured: the run goes on, and its file has the reason. */

import { tmpdir } from "node:os";
import { UserError, debug } from "@quern/core";
import { diskFullOr } from "../paired/arms/refusal.ts";

/**
 * An error in words: its own where it is meant for users, the system's where that could not do what it was asked to. All else is
 * a defect, and says so; its stack is told at debug level 1.
 */
export function reasonOf(error: unknown): string {
  const known = diskFullOr(error, tmpdir());
  if (known instanceof UserError) return known.message;
  if (!(error instanceof Error)) return `this is a defect of quern: ${String(error)}`;
  const { syscall } = error as NodeJS.ErrnoException;
  if (syscall !== undefined) return `its files cannot be read or written (${error.message})`;
  debug(1, () => error.stack ?? error.message);
  return `this is a defect of quern: ${error.message}`;
}
