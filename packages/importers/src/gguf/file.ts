/**
 * Reads GGUF models from disk in Node: the file, and the other parts of a split model beside it.
 *
 * Parts are found by the name of the first file, never by what the file says, so no path comes from untrusted data.
 * Links are followed: model caches keep parts as links into a store.
 */

import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { UserError } from "@quern/core";
import { type GgufFile, type ResolvePart, parseGguf } from "./parse.ts";

/** Gives the bytes of a file, read or mapped. */
export type ReadFile = (path: string) => Uint8Array;

export interface ReadGgufOptions {
  /** How files are brought into memory; by default read whole. A mapping must outlive the tensors. */
  readonly read?: ReadFile;
}

/**
 * Reads the model at `path`: a single file, or the first of a split model, named `…-00001-of-0000N.gguf`. Tensors are
 * views on what `read` gives. Throws a `UserError` with every problem of every part.
 */
export function readGgufFile(path: string, options: ReadGgufOptions = {}): GgufFile {
  const { read = readFileSync } = options;
  const name = basename(path);
  return parseGguf(openFile(path, read, "model file"), { name, parts: partsBeside(path, read) });
}

const PART_NAME = /^(?<stem>.*)-(?<no>\d{5})-of-(?<count>\d{5})\.gguf$/s;

function partsBeside(path: string, read: ReadFile): ResolvePart {
  const { stem, no, count: named } = PART_NAME.exec(basename(path))?.groups ?? {};
  return (part, count) => {
    if (stem === undefined || Number(no) !== 1 || Number(named) !== count) {
      throw new UserError(`part ${part + 1} of ${count} cannot be found by the name of the first file`, {
        hint: `the first file of this model must be named …${partSuffix(0, count)}, the others lie beside it`,
      });
    }
    const name = stem + partSuffix(part, count);
    return { name, bytes: openFile(join(dirname(path), name), read, "part") };
  };
}

function partSuffix(part: number, count: number): string {
  const five = (value: number): string => String(value).padStart(5, "0");
  return `-${five(part + 1)}-of-${five(count)}.gguf`;
}

function openFile(path: string, read: ReadFile, what: string): Uint8Array {
  try {
    if (!statSync(path).isFile()) throw new UserError(`${what} "${path}" is not a file`);
    return read(path);
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const hint = reason.includes("2 GiB") ? "pass `read` with a function that maps the file" : "check the path";
    throw new UserError(`${what} "${path}" cannot be read: ${reason}`, { cause, hint });
  }
}
