/**
 * Which files a process loads: modules through Node's loader hooks, native libraries through the maps of the process,
 * and data through the functions that read files. What a comparison compared is proven from these records,
 * not from the paths that were asked for.
 */

import { createHash } from "node:crypto";
import fs from "node:fs";
import { registerHooks, syncBuiltinESMExports } from "node:module";
import { resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { LoadedFile } from "./arm.ts";

export interface FileRecorder {
  /** From now on files that are read count too. */
  watchReads(): void;
  /**
   * What was loaded since the recorder was made, sorted by path and hashed now: all modules and native libraries, files
   * read below `directory`, and WebAssembly. What child processes and worker threads load is not seen (`unseen-code.ts` says
   * whether there are any), nor are data files that native code opens.
   */
  files(directory?: string): LoadedFile[];
}

/** Files that the maps of this process show: executables, libraries, mapped data. */
function mappedFiles(): string[] {
  if (process.platform === "linux") {
    const lines = fs.readFileSync("/proc/self/maps", "utf8").split("\n");
    return lines.flatMap((line) => /^\S+ ..x\S* \S+ \S+ [1-9]\d*\s+(\/.*?)(?: \(deleted\))?$/.exec(line)?.[1] ?? []);
  }
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  // Reverse look-ups of open sockets would take seconds.
  report.excludeNetwork = true;
  const { sharedObjects } = report.getReport() as { readonly sharedObjects?: readonly string[] };
  return (sharedObjects ?? []).filter((path) => fs.existsSync(path));
}

/**
 * Calls `note` with each path that is opened to be read. The wrappers cost time in every read, so processes that measure
 * do not have them: the process that lists and tries the benches before does.
 */
function watchReads(note: (path: string) => void): void {
  const noted = (path: unknown, flags: unknown): void => {
    if (typeof flags === "string" && flags !== "r" && flags !== "rs") return;
    if (typeof flags === "number" && (flags & (fs.constants.O_WRONLY | fs.constants.O_RDWR)) !== 0) return;
    if (path instanceof URL) note(fileURLToPath(path));
    else if (typeof path === "string" || path instanceof Uint8Array) note(resolve(path.toString()));
  };
  const opening = ["open", "openSync"] as const;
  const reading = ["readFile", "readFileSync", "createReadStream"] as const;
  const wrap = (holder: object, name: string, hasFlags: boolean): void => {
    const functions = holder as Record<string, (...args: unknown[]) => unknown>;
    const original = functions[name] as (...args: unknown[]) => unknown;
    functions[name] = Object.assign((...args: unknown[]): unknown => {
      noted(args[0], hasFlags ? args[1] : undefined);
      return original.apply(holder, args);
    }, original);
  };
  for (const name of opening) wrap(fs, name, true);
  for (const name of reading) wrap(fs, name, false);
  wrap(fs.promises, "open", true);
  wrap(fs.promises, "readFile", false);
  // For those who import the functions by name.
  syncBuiltinESMExports();
}

/** Begins to record in this process. */
export function recordLoadedFiles(): FileRecorder {
  const modules = new Set<string>();
  const read = new Set<string>();
  const atStart = new Set(mappedFiles());
  registerHooks({
    load(url, context, next) {
      if (url.startsWith("file:")) modules.add(fileURLToPath(url.replace(/[?#].*$/s, "")));
      return next(url, context);
    },
  });
  return {
    watchReads() {
      watchReads((path) => read.add(path));
    },
    files(directory) {
      const within = directory === undefined ? undefined : `${directory}${sep}`;
      const counts = (path: string): boolean =>
        path.endsWith(".wasm") || (within !== undefined && path.startsWith(within));
      const native = mappedFiles().filter((path) => !atStart.has(path));
      const paths = new Set([...realPaths(modules), ...realPaths(native), ...realPaths(read).filter(counts)]);
      return [...paths].sort().map((path) => ({ path, sha256: digest(fs.readFileSync(path)) }));
    },
  };
}

function realPaths(paths: Iterable<string>): string[] {
  return [...paths].flatMap(realPath);
}

/** A file that was read and is gone is none of a build that can be measured again. */
function realPath(path: string): string[] {
  try {
    return fs.statSync(path).isFile() ? [fs.realpathSync(path)] : [];
  } catch {
    return [];
  }
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
