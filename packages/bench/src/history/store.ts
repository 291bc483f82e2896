/** Where a history is kept. */

import { UserError } from "@quern/core/errors";
import { type LineProblem, type ParsedShards, type Shards, parseShards } from "./shards.ts";

/** New texts of the files that change, by path; an empty text removes the file. */
export type ShardChange = (shards: Shards) => ReadonlyMap<string, string>;

export interface HistoryStore {
  /** For messages. */
  readonly name: string;
  /** All files; none where nothing has been written yet. */
  read(): Promise<Shards>;
  /**
   * Changes files as one step: `change` gets the texts of `paths` (all files where there are none given), and is asked again
   * where another writer was faster. Nothing is written where it changes nothing.
   */
  update(paths: readonly string[] | undefined, change: ShardChange, message: string): Promise<void>;
}

const SHOWN = 10;

/** `file:line: problem` for people. */
export function problemText({ path, line, problem }: LineProblem): string {
  return `${path}${line === 0 ? "" : `:${line}`}: ${problem}`;
}

/**
 * The lines of a history. Throws a `UserError` with the places of lines that are no records, unless `onProblem` takes them;
 * lines of a version that is not known are refused in any case.
 */
export async function readHistory(
  store: HistoryStore,
  onProblem?: (problem: LineProblem) => void,
): Promise<ParsedShards["lines"]> {
  const { lines, problems } = parseShards(await store.read());
  const refused = onProblem === undefined ? problems : problems.filter(({ newer }) => newer);
  if (refused.length > 0) {
    const shown = refused.slice(0, SHOWN).map((problem) => `\n  ${problemText(problem)}`);
    if (refused.length > shown.length) shown.push(`\n  and ${refused.length - shown.length} more`);
    const hint = refused.some(({ newer }) => newer)
      ? "A newer version of quern wrote them: use that one."
      : "Mend the lines, or leave them out with --skip-bad.";
    throw new UserError(`the history has lines that are no records:${shown.join("")}`, { where: store.name, hint });
  }
  for (const problem of problems) onProblem?.(problem);
  return lines;
}
