/**
 * What Linux tells in files below /proc and /sys. A file that is not there is an answer (null), never an error: other systems
 * have none of them, containers hide some.
 */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export interface SystemFiles {
  /** The text without white space around it; null where it cannot be read. */
  read(path: string): string | null;
  /** Names in a folder; empty where it cannot be read. */
  list(path: string): string[];
}

/** Files below `root`, which stands for "/": tests give a folder of their own. */
export function filesBelow(root: string): SystemFiles {
  return {
    read(path) {
      try {
        return readFileSync(join(root, path), "utf8").trim();
      } catch {
        return null;
      }
    },
    list(path) {
      try {
        return readdirSync(join(root, path)).sort();
      } catch {
        return [];
      }
    },
  };
}

export const systemFiles: SystemFiles = filesBelow("/");

/** A number that is all of a file, or null. */
export function readNumber(files: SystemFiles, path: string): number | null {
  const text = files.read(path);
  return text !== null && /^-?\d+$/.test(text) ? Number(text) : null;
}

/** The number behind a key at the start of a line: `MemAvailable:   123 kB`, `nr_throttled 4`. */
export function numberAfter(text: string | null, key: string): number | null {
  const found = text === null ? undefined : new RegExp(`^${key}:?\\s+(\\d+)`, "m").exec(text)?.[1];
  return found === undefined ? null : Number(found);
}
