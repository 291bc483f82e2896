/**
 * The benches of one build and the files they load, found out in a process of their own: the orchestrator never
 * imports code of a user. Each bench is tried once, so that a crash, a hang and the wrong native library are known
 * before anything is measured.
 */

import { UserError } from "@quern/core/errors";
import { workerPath } from "../harness/worker-process.ts";
import type { LoadedFile } from "../paired/arms/arm.ts";
import type { BenchParams } from "./bench.ts";
import { findBenchFiles } from "./bench-files.ts";
import { askIsolated } from "./isolated.ts";

export interface ListQuestion {
  readonly directory: string;
  readonly project: string;
  readonly files: readonly string[];
  /** Run each bench once. */
  readonly attempt: boolean;
  /** Of the benches, only those that this filter chooses. */
  readonly filter: readonly string[];
  readonly seed: number;
}

export interface ListedBench {
  /** Path relative to the project folder, with slashes. */
  readonly file: string;
  /** Place among the benches that the file exports. */
  readonly index: number;
  readonly id: string;
  readonly params?: BenchParams;
  readonly family?: string;
  readonly native?: boolean;
  readonly delta?: number;
  readonly work?: { readonly flops?: number; readonly bytes?: number };
  /** Message of the error that its one call ended with. */
  readonly failure?: string;
}

export interface ListAnswer {
  readonly benches: readonly ListedBench[];
  readonly loaded: readonly LoadedFile[];
}

export interface ListOptions {
  /** For errors: "base", "head", "the folder". */
  readonly what: string;
  readonly benches: readonly string[];
  /** Run each bench once, of those that the filter chooses. All are listed. */
  readonly attempt?: boolean;
  readonly filter?: readonly string[];
  readonly seed?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeOptions?: readonly string[];
  /** For each file and each bench. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 300_000;

/**
 * Lists the benches of a build whose root is `directory` and whose configuration would lie in `project`. Throws a
 * `UserError` where there are none, a file cannot be loaded, an id is used twice, or the process ends or hangs.
 */
export async function listBenches(
  { directory, project }: { readonly directory: string; readonly project: string },
  options: ListOptions,
): Promise<ListAnswer> {
  const files = findBenchFiles(project, options.benches, options.what);
  const question: ListQuestion = {
    directory,
    project,
    files,
    attempt: options.attempt ?? false,
    filter: options.filter ?? [],
    seed: options.seed ?? 1,
  };
  const answer = (await askIsolated(workerPath("list-worker", import.meta.url), question, {
    cwd: project,
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    what: `the process of the benches of ${options.what}`,
    where: project,
    env: options.env,
    nodeOptions: options.nodeOptions,
    signal: options.signal,
  })) as ListAnswer;
  requireUniqueIds(answer.benches, options.what);
  return answer;
}

function requireUniqueIds(benches: readonly ListedBench[], what: string): void {
  const seen = new Map<string, string>();
  for (const { id, file } of benches) {
    const other = seen.get(id);
    if (other !== undefined) {
      throw new UserError(`the bench "${id}" of ${what} is defined twice`, { where: `${other} and ${file}` });
    }
    seen.set(id, file);
  }
}
