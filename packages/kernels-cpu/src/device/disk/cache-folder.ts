/**
 * A folder of small files by key: written whole or not at all, checked when read, bounded in size.
 *
 * What is in it is executed, so only a folder that belongs to the user and that nobody else may write to is used. It is
 * a cache: whatever fails, the caller goes on without it.
 */

import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { debug } from "@quern/core";

const SUFFIX = ".site";
const MAX_BYTES = 256 << 20;
const DIGEST_BYTES = 32;

/** Where caches of a user belong on this system. */
export function defaultCacheFolder(): string {
  const { env, platform } = process;
  const home = homedir();
  const base =
    platform === "win32"
      ? (env["LOCALAPPDATA"] ?? join(home, "AppData", "Local"))
      : platform === "darwin"
        ? join(home, "Library", "Caches")
        : (env["XDG_CACHE_HOME"] ?? join(home, ".cache"));
  return join(base, "quern");
}

export interface CacheSize {
  readonly entries: number;
  readonly bytes: number;
}

export class CacheFolder {
  readonly path: string;
  #usable: boolean | undefined;
  #pruned = false;

  constructor(path: string) {
    this.path = path;
  }

  read(key: string): Uint8Array | undefined {
    if (!this.#ready()) return undefined;
    let file: Buffer;
    try {
      file = readFileSync(this.#file(key));
    } catch {
      return undefined;
    }
    const content = file.subarray(DIGEST_BYTES);
    if (file.length > DIGEST_BYTES && digest(content).equals(file.subarray(0, DIGEST_BYTES))) return content;
    debug(1, () => `kernel cache: ${this.#file(key)} is damaged and not used`);
    return undefined;
  }

  write(key: string, content: Uint8Array): void {
    if (!this.#ready()) return;
    const file = this.#file(key);
    const temporary = `${file}.${process.pid}.${randomBytes(6).toString("hex")}`;
    try {
      if (!this.#pruned) this.#prune();
      writeFileSync(temporary, Buffer.concat([digest(content), content]), { mode: 0o600 });
      renameSync(temporary, file);
    } catch (error) {
      debug(1, () => `kernel cache: ${String(error)}`);
      rmSync(temporary, { force: true });
    }
  }

  size(): CacheSize {
    const files = this.#files();
    return { entries: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  #file(key: string): string {
    return join(this.path, key + SUFFIX);
  }

  #ready(): boolean {
    return (this.#usable ??= this.#prepare());
  }

  #prepare(): boolean {
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      const { uid, mode } = statSync(this.path);
      if (process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0)) return true;
      debug(1, () => `kernel cache: ${this.path} is not used, others may write to it`);
    } catch (error) {
      debug(1, () => `kernel cache: ${String(error)}`);
    }
    return false;
  }

  /** The oldest half goes when the folder has grown too large; looked at once per process. */
  #prune(): void {
    this.#pruned = true;
    const files = this.#files().toSorted((a, b) => a.changed - b.changed);
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    if (bytes <= MAX_BYTES) return;
    for (const file of files) {
      if (bytes <= MAX_BYTES / 2) return;
      rmSync(file.path, { force: true });
      bytes -= file.bytes;
    }
  }

  #files(): { readonly path: string; readonly bytes: number; readonly changed: number }[] {
    try {
      return readdirSync(this.path)
        .filter((name) => name.includes(SUFFIX))
        .map((name) => {
          const path = join(this.path, name);
          const { size, mtimeMs } = statSync(path);
          return { path, bytes: size, changed: mtimeMs };
        });
    } catch {
      return [];
    }
  }
}

function digest(content: Uint8Array): Buffer {
  return createHash("sha256").update(content).digest();
}
