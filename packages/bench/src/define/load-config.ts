/**
 * Finding and loading the configuration file: in the folder of the call or the nearest above it, up to the root of the
 * repository. It is loaded in a process of its own.
 */

import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "@quern/core/errors";
import { workerPath } from "../harness/worker-process.ts";
import { checkConfig, CONFIG_VERSION, type BenchConfig } from "./config.ts";
import { askIsolated } from "./isolated.ts";

const CONFIG_NAMES: readonly string[] = ["ts", "mts", "mjs", "js"].map((ending) => `quern.bench.config.${ending}`);

/** Bench files where no configuration says otherwise. */
export const DEFAULT_BENCHES: readonly string[] = ["bench/**/*.bench.{ts,mts,js,mjs}"];

const TIMEOUT_MS = 60_000;

export interface LoadedConfig {
  readonly config: BenchConfig;
  /** Undefined: there is none, and `config` is the default. */
  readonly file: string | undefined;
  /** Absolute folder that globs are relative to. */
  readonly folder: string;
}

/** The configuration file that stands for `folder`, if there is one. Two in the same folder are an error. */
export function findConfig(folder: string): string | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = CONFIG_NAMES.map((name) => join(at, name)).filter((file) => existsSync(file));
    if (found.length > 1) {
      throw new UserError("there are two configuration files", {
        where: found.join(" and "),
        hint: "Remove one of them.",
      });
    }
    if (found[0] !== undefined) return found[0];
    if (existsSync(join(at, ".git")) || dirname(at) === at) return undefined;
  }
}

/** Loads and checks the file given, or the one found for `folder`; without any, the defaults for `folder`. */
export async function loadConfig(
  folder: string,
  { file, signal }: { readonly file?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<LoadedConfig> {
  const found = file === undefined ? findConfig(folder) : requireFile(resolve(folder, file));
  if (found === undefined) {
    return { config: { version: CONFIG_VERSION }, file: undefined, folder: realpathSync(resolve(folder)) };
  }
  const value = await askIsolated(
    workerPath("config-worker", import.meta.url),
    { file: found },
    { cwd: dirname(found), timeoutMs: TIMEOUT_MS, what: "the configuration", where: found, signal },
  );
  return { config: checkConfig(value, found), file: found, folder: realpathSync(dirname(found)) };
}

function requireFile(file: string): string {
  if (existsSync(file) && statSync(file).isFile()) return file;
  throw new UserError(`there is no file ${basename(file)}`, { where: `--config ${file}` });
}
