/**
 * Results as Markdown: for pull requests, for the summary of a workflow step, and as a page of documentation. What was found
 * comes first, then the machine and how to repeat it.
 *
 * The text fits its place: rows are left out from the least important on, and how many is said.
 */

import type { Results } from "../results/schema.ts";
import { engineParts } from "./engine-markdown.ts";
import { gateParts } from "./gate-markdown.ts";
import { fit, type MarkdownParts } from "./markdown-parts.ts";
import { loadSections, servingParts } from "./serving-markdown.ts";

/**
 * A comment on GitHub: 65,536 characters, with room for a mark by which the next run finds the comment. Counted in bytes of
 * UTF-8, which are never fewer.
 */
export const COMMENT_BYTES = 65_000;

/** `$GITHUB_STEP_SUMMARY`: 1 MiB, above which the upload is given up. */
export const SUMMARY_BYTES: number = 2 ** 20;

export interface MarkdownOptions {
  /** Largest size in bytes of UTF-8 */
  readonly limit?: number;
}

/** Markdown of any run, at most `limit` bytes of UTF-8 (a comment on GitHub): rows that do not fit are left out and counted. */
export function renderMarkdown(results: Results, { limit = COMMENT_BYTES }: MarkdownOptions = {}): string {
  return fit(partsOf(results), limit);
}

function partsOf(results: Results): MarkdownParts {
  const { benches, serving = [] } = results;
  if (benches !== undefined) return gateParts(results, benches);
  if (serving.length > 0 && results.results.length === 0) return servingParts(results, serving);
  const parts = engineParts(results);
  return { ...parts, sections: [...parts.sections, ...serving.flatMap(loadSections)] };
}
