/**
 * Reads ONNX files from disk in Node: the model and the external data beside it.
 *
 * External data must lie in the model's folder or below. Paths are resolved through symbolic links before they are
 * compared, and nothing is opened before that. A data file is read once and shared by all tensors in it.
 */

import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import { UserError } from "@quern/core";
import { type ImportOptions, type ImportResult, importOnnx } from "./import.ts";
import type { ResolveExternal } from "./tensor.ts";

/** Gives the bytes of a file, read or mapped. */
export type ReadFile = (path: string) => Uint8Array;

export interface ReadOnnxOptions extends Omit<ImportOptions, "external" | "name"> {
  /** How files are brought into memory; by default read whole. A mapping must outlive the graph. */
  readonly read?: ReadFile;
}

/** Imports the model file at `path`, with its external data. */
export function readOnnxFile(path: string, options: ReadOnnxOptions = {}): ImportResult {
  const { read = readFileSync, ...rest } = options;
  const bytes = openFile(path, read, "model file");
  return importOnnx(bytes, { ...rest, name: basename(path), external: externalFiles(dirname(path), read) });
}

/** Resolves external data within `folder`. */
export function externalFiles(folder: string, read: ReadFile = readFileSync): ResolveExternal {
  const opened = new Map<string, Uint8Array>();
  return (location) => {
    let bytes = opened.get(location);
    if (bytes === undefined)
      opened.set(location, (bytes = openFile(safePath(folder, location), read, "external data")));
    return bytes;
  };
}

function safePath(folder: string, location: string): string {
  const refuse = (reason: string): never => {
    throw new UserError(`external data path "${location}" ${reason}`, {
      hint: "external data must lie in the model's folder",
    });
  };
  if (location.includes("\0")) refuse("is not a path");
  const forward = location.replaceAll("\\", "/");
  if (isAbsolute(location) || forward.startsWith("/") || /^[A-Za-z]:/.test(location)) refuse("is absolute");
  if (forward.split("/").includes("..")) refuse("leaves the model's folder");
  let real: string;
  let root: string;
  try {
    root = realpathSync(folder);
    real = realpathSync(join(root, forward));
  } catch (cause) {
    throw new UserError(`external data file "${location}" cannot be opened`, {
      hint: "put the data file beside the model",
      cause,
    });
  }
  if (real !== root && !real.startsWith(root.endsWith(sep) ? root : root + sep))
    refuse("is a link that leaves the model's folder");
  return real;
}

function openFile(path: string, read: ReadFile, what: string): Uint8Array {
  try {
    if (!statSync(path).isFile()) throw new UserError(`${what} "${path}" is not a file`);
    return read(path);
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`${what} "${path}" cannot be read: ${reason}`, { cause });
  }
}
