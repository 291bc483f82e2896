/**
 * A lock on a folder: a file that only one process can make. It names its owner, so that the lock of a process which is gone
 * is taken over; a lock from another machine, on a shared disk, is waited for and never broken.
 */

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { UserError } from "@quern/core/errors";

const NAME = ".lock";
const WAIT_MS = 30_000;

/** Locks that this process has: one process may use a folder from several places. */
let taken = 0;

export class FolderLock {
  readonly #path: string;
  readonly #text: string;

  private constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
  }

  /** Waits for the lock. Throws a `UserError` where it stays with another process for longer than `waitMs`. */
  static async take(folder: string, waitMs: number = WAIT_MS): Promise<FolderLock> {
    const path = join(folder, NAME);
    const text = `${process.pid} ${hostname()} ${Date.now()} ${++taken}\n`;
    for (const end = Date.now() + waitMs; ;) {
      if (make(path, text)) return new FolderLock(path, text);
      const owner = read(path);
      if (owner !== undefined && isGone(owner)) remove(path, owner);
      else if (Date.now() > end)
        throw new UserError("another process is writing the history", {
          where: path,
          hint: `Its number and machine are: ${owner?.trim() ?? "unknown"}. If it is gone, remove the file.`,
        });
      else await setTimeout(2 + 20 * Math.random());
    }
  }

  release(): void {
    // Not where somebody has broken it and it is another's by now.
    if (read(this.#path) === this.#text) rmSync(this.#path, { force: true });
  }
}

/** True where the file was not there. It appears with its content: a reader never finds it empty. */
function make(path: string, text: string): boolean {
  const own = `${path}.${process.pid}.${taken}.part`;
  try {
    writeFileSync(own, text);
    linkSync(own, path);
    return true;
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (WITHOUT_LINKS.has(code)) return makeWithoutLinks(path, text);
    throw new UserError(`the history cannot be locked (${(cause as Error).message})`, { where: path, cause });
  } finally {
    rmSync(own, { force: true });
  }
}

/** As file systems say that they have no hard links. */
const WITHOUT_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/** The same where a reader may find the file empty for a moment: an owner that nobody knows is waited for. */
function makeWithoutLinks(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: "wx" });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new UserError(`the history cannot be locked (${(cause as Error).message})`, { where: path, cause });
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function isGone(owner: string): boolean {
  const [pid = "", host] = owner.trim().split(" ");
  if (host !== hostname() || !/^\d+$/.test(pid)) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Removes the lock of `owner`; one that another process has taken meanwhile is put back. */
function remove(path: string, owner: string): void {
  const aside = `${path}.${process.pid}.${taken}.old`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (read(aside) !== owner) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one has it: two writers at once are possible here, each of which still replaces files whole.
    }
  }
  rmSync(aside, { force: true });
}
