/** Folders that a run needs for a while, and what to say where none can be made. */

import { mkdtempSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "@quern/core/errors";
import { diskFullOr } from "./arms/refusal.ts";

/**
 * A new folder whose name begins with `name`, links resolved: modules know themselves by their real paths. Throws a `Refusal`
 * where the disk is full, and a `UserError` where the place for temporary files cannot be used.
 */
export function makeTemporaryFolder(name: string): string {
  const place = tmpdir();
  try {
    return realpathSync(mkdtempSync(join(place, name)));
  } catch (error) {
    throw whyNoFolder(error, place);
  }
}

const UNUSABLE = ["ENOENT", "ENOTDIR", "EACCES", "EPERM", "EROFS"];

/** What an error of the system means that came of making a folder in `place`; itself where it says nothing of the place. */
export function whyNoFolder(error: unknown, place: string): unknown {
  const reason = diskFullOr(error, place);
  if (reason !== error) return reason;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined || !UNUSABLE.includes(code)) return error;
  return new UserError("no folder can be made for temporary files", {
    where: `TMPDIR, ${place}`,
    hint: `Set TMPDIR to a folder that is there and can be written to (${message}).`,
    cause: error,
  });
}
