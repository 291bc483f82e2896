/** The command spawned from its sources in a folder of its own, which the test file takes away at its end. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SpawnedCli {
  readonly folder: string;
  /** Runs the command there and waits for its end. */
  quern(...args: string[]): Outcome;
  /** Runs the command there and does not wait. */
  start(...args: string[]): ChildProcess;
}

export const main: string = fileURLToPath(new URL("./main.ts", import.meta.url));

/** `ownCache`: caches lie in the folder too, instead of the user's. */
export function spawnedCli(name: string, { ownCache = false } = {}): SpawnedCli {
  const folder = mkdtempSync(join(tmpdir(), `quern-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true }));
  const env = {
    ...process.env,
    QUERN_DEBUG: "",
    npm_lifecycle_event: "",
    ...(ownCache ? { XDG_CACHE_HOME: folder } : {}),
  };
  const nodeArgs = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main];
  return {
    folder,
    quern(...args) {
      const options = { cwd: folder, encoding: "utf8", env, timeout: 100_000 } as const;
      const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeArgs, ...args], options);
      return { code: status, stdout, stderr };
    },
    start: (...args) => spawn(process.execPath, [...nodeArgs, ...args], { cwd: folder, env }),
  };
}
