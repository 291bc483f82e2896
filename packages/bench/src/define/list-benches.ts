/**
 * The benches of one build and the files they load, found out in a process of their own: the orchestrator never
 * imports code of a user. Each bench is tried once, so that a crash, a hang and the wrong native library are known
 * before anything is measured. One that takes the process with it has failed alone: the others are tried in another one.
 */

import { UserError } from "@quern/core/errors";
import { workerPath } from "../harness/worker-process.ts";
import type { LoadedFile } from "../paired/arms/arm.ts";
import { Refusal } from "../paired/arms/refusal.ts";
import type { BenchParams } from "./bench.ts";
import { filesOfGlobs, findBenchFiles } from "./bench-files.ts";
import { askIsolated, IsolatedFailure } from "./isolated.ts";

export interface ListQuestion {
  readonly directory: string;
  readonly project: string;
  readonly files: readonly string[];
  /** Run each bench once. */
  readonly attempt: boolean;
  /** Of the benches, only those that this filter chooses. */
  readonly filter: readonly string[];
  /** Identifiers of benches that are not to be run: they have ended the process before. */
  readonly untried: readonly string[];
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
  /** What its one call ended with: the message of an error, or how the process ended. */
  readonly failure?: string;
  /** What is wrong with the output of that call. */
  readonly wrong?: string;
}

export interface ListAnswer {
  readonly benches: readonly ListedBench[];
  readonly loaded: readonly LoadedFile[];
  /** Where else code ran, whose files are not among these: "a child process", "a worker thread". Missing: nowhere. */
  readonly unseen?: readonly string[];
}

export interface ListOptions {
  /** For errors: "base", "head", "the folder". */
  readonly what: string;
  readonly benches: readonly string[];
  /** A build without any bench file is no error. */
  readonly mayBeEmpty?: boolean;
  /** What to do about a failure, by its text, where the way the build was made may be the cause. */
  readonly advice?: (failure: string) => string | undefined;
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

/** Of so many benches the process may end or hang: beyond, the build is at fault, and each costs another process. */
const MOST_ENDED = 5;

/**
 * Lists the benches of a build whose root is `directory` and whose configuration would lie in `project`. Throws a
 * `UserError` where there are none or an id is used twice, and a `Refusal` where a bench file throws, or ends or blocks its
 * process.
 */
export async function listBenches(
  arm: { readonly directory: string; readonly project: string },
  options: ListOptions,
): Promise<ListAnswer> {
  const { benches: globs, what, mayBeEmpty = false, advice } = options;
  const files = mayBeEmpty ? filesOfGlobs(arm.project, globs) : findBenchFiles(arm.project, globs, what);
  if (files.length === 0) return { benches: [], loaded: [] };
  const ended = new Map<string, string>();
  for (;;) {
    try {
      const answer = await ask(arm, files, [...ended.keys()], options);
      requireUniqueIds(answer.benches, what);
      return { ...answer, benches: answer.benches.map((bench) => withFailure(bench, ended.get(bench.id), advice)) };
    } catch (error) {
      if (!(error instanceof IsolatedFailure)) throw error;
      const { kind, how, note } = error;
      if (kind === "threw" || note?.bench === undefined || ended.size === MOST_ENDED) throw refusalOf(error, advice);
      ended.set(note.bench, `the process of its first call ${how}${error.hint === undefined ? "" : `\n${error.hint}`}`);
    }
  }
}

function ask(
  { directory, project }: { readonly directory: string; readonly project: string },
  files: readonly string[],
  untried: readonly string[],
  options: ListOptions,
): Promise<ListAnswer> {
  const { what, attempt = false, filter = [], seed = 1, timeoutMs = TIMEOUT_MS, env, nodeOptions, signal } = options;
  const question: ListQuestion = { directory, project, files, attempt, filter, untried, seed };
  return askIsolated(workerPath("list-worker", import.meta.url), question, {
    cwd: project,
    timeoutMs,
    what: `the process of the benches of ${what}`,
    where: project,
    env,
    nodeOptions,
    signal,
  }) as Promise<ListAnswer>;
}

/** `ended`: how the bench has ended its process, if it did. */
function withFailure(bench: ListedBench, ended: string | undefined, advice: ListOptions["advice"]): ListedBench {
  const failure = ended ?? bench.failure;
  if (failure === undefined) return bench;
  const hint = advice?.(failure);
  return { ...bench, failure: hint === undefined ? failure : `${failure}\n${hint}` };
}

/** The build is wrong, not how the tool is used. */
function refusalOf(cause: IsolatedFailure, advice: ListOptions["advice"]): Refusal {
  const { where, what } = cause;
  const hints = [advice?.(what), cause.hint].filter((hint) => hint !== undefined);
  return new Refusal("benches-failed", what, { where, hint: hints.join("\n  ") || undefined, cause });
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
