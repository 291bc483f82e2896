/**
 * A history in a folder. One writer at a time, by a lock file; a file is replaced whole, so that a reader, a full disk or a
 * lost process never leaves half a line.
 */

import { lstatSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { UserError } from "@quern/core/errors";
import { makeFolder, writeSynced } from "../commands/write-file.ts";
import { FolderLock } from "./folder-lock.ts";
import { ATTRIBUTES, type Shards } from "./shards.ts";
import type { HistoryStore, ShardChange } from "./store.ts";

const MOST_BYTES = 64 * 2 ** 20;

export class DirectoryStore implements HistoryStore {
  readonly name: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.name = folder;
    this.#folder = resolve(folder);
  }

  async read(): Promise<Shards> {
    return new Map(this.#paths().map((path) => [path, this.#text(path)]));
  }

  async update(paths: readonly string[] | undefined, change: ShardChange): Promise<void> {
    attempt(this.name, () => makeFolder(this.#folder));
    this.#isThere();
    const lock = await FolderLock.take(this.#folder);
    try {
      const shards = new Map((paths ?? this.#paths()).map((path) => [path, this.#text(path)]));
      const changed = change(shards);
      if (changed.size > 0 && lookAt(join(this.#folder, ATTRIBUTES.path)) === undefined)
        this.#replace(ATTRIBUTES.path, ATTRIBUTES.text);
      for (const [path, text] of changed) this.#replace(path, text);
    } finally {
      lock.release();
    }
  }

  /** Files that belong to the history, by their names; also those in wrong places, of which the reader tells. */
  #paths(): string[] {
    if (!this.#isThere()) return [];
    return attempt(this.name, () =>
      readdirSync(this.#folder, { recursive: true, withFileTypes: true })
        .filter(({ name }) => name.endsWith(".jsonl"))
        .map((entry) => relative(this.#folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
        .sort(),
    );
  }

  #isThere(): boolean {
    const facts = attempt(this.name, () => statSync(this.#folder, { throwIfNoEntry: false }));
    if (facts !== undefined && !facts.isDirectory())
      throw new UserError("the history is no folder", { where: this.name });
    return facts !== undefined;
  }

  /** Empty where there is no such file. A link, a pipe or a device is refused: nobody knows what it would give. */
  #text(path: string): string {
    const full = join(this.#folder, path);
    const facts = lookAt(full);
    if (facts === undefined) return "";
    if (!facts.isFile()) throw new UserError("this is no regular file", { where: full });
    if (facts.size > MOST_BYTES)
      throw new UserError(`the file is larger than ${MOST_BYTES / 2 ** 20} MiB`, { where: full });
    const bytes = attempt(full, () => readFileSync(full));
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw new UserError("the file is no text in UTF-8", { where: full, cause });
    }
  }

  #replace(path: string, text: string): void {
    const target = join(this.#folder, path);
    const part = `${target}.${process.pid}.part`;
    attempt(target, () => {
      if (text === "") {
        rmSync(target, { force: true });
        return;
      }
      makeFolder(dirname(target));
      try {
        writeSynced(part, text);
        renameSync(part, target);
      } catch (error) {
        rmSync(part, { force: true });
        throw error;
      }
    });
  }
}

/** Of the thing itself, not of what a link leads to; undefined where there is none. */
function lookAt(path: string): ReturnType<typeof lstatSync> {
  return attempt(path, () => lstatSync(path, { throwIfNoEntry: false }));
}

function attempt<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`the history cannot be read or written (${(cause as Error).message})`, { where: path, cause });
  }
}
