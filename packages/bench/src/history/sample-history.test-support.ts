/** Made-up histories for tests; equal for equal seeds. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { Random } from "../harness/random.ts";
import { type HistoryRecord, RECORD_VERSION } from "./record.ts";

const DAY_MS = 86_400_000;
const FIRST = Date.UTC(2026, 5, 1);

/** The commit of a day. */
export function commitOf(day: number): string {
  return (0x1000_0000 + day).toString(16).padStart(40, "0");
}

export interface SampleOptions {
  readonly days: number;
  readonly bench?: string;
  readonly class?: string;
  /** Level of the benchmark on a day, over that of the first. */
  readonly level?: (day: number) => number;
  /** Standard deviation of a measurement, as a share. */
  readonly spread?: number;
  readonly seed?: number;
  readonly controls?: boolean;
}

/** A record a day. The machine's own level moves by a fifth from day to day, and its controls with it. */
export function sampleRecords(options: SampleOptions): HistoryRecord[] {
  const { days, bench = "sort/1e4", class: machine = "example-2", level = () => 1, spread = 0.01 } = options;
  const random = new Random(options.seed ?? 1);
  return Array.from({ length: days }, (_, day) => {
    const speed = options.controls === false ? 1 : Math.exp(0.2 * random.normal());
    const value = 800_000 * level(day) * speed * Math.exp(spread * random.normal());
    return {
      schema: RECORD_VERSION,
      run: `run-${day}`,
      at: new Date(FIRST + day * DAY_MS).toISOString(),
      kind: "gate",
      tool: "quern 0.1.0",
      class: machine,
      fingerprint: `${machine}-f`,
      bench,
      unit: "ns",
      value,
      low: value * 0.99,
      high: value * 1.01,
      samples: 16,
      controls:
        options.controls === false ? {} : { "ctl.fma": 5000 * speed, "ctl.triad": 90_000 * speed, "ctl.spawn": 3e7 },
      commit: commitOf(day),
    };
  });
}

/** A folder that goes away at the end of the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "quern-history-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Settings of the user and of the system have no say in tests. */
export const GIT_ENVIRONMENT: Readonly<Record<string, string>> = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "Tester",
  GIT_AUTHOR_EMAIL: "tester@localhost",
  GIT_COMMITTER_NAME: "Tester",
  GIT_COMMITTER_EMAIL: "tester@localhost",
};

/** Runs git and gives what it prints; throws where it fails. */
export function git(folder: string, ...args: string[]): string {
  const { env } = process;
  const { status, stdout, stderr } = spawnSync("git", args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...env, ...GIT_ENVIRONMENT },
  });
  if (status !== 0) throw new Error(`git ${args.join(" ")}: ${stderr}`);
  return stdout.trimEnd();
}
