/**
 * Pieces of a report in Markdown: tables, and a text that fits its place. What does not fit is left out row by row, from the
 * end, and how many rows is said.
 */

import { escapeMarkdown, shorten } from "./escape.ts";

export interface MarkdownSection {
  /** Lines above the rows; the head of their table is part of them. */
  readonly before: readonly string[];
  readonly rows: readonly string[];
  /** How many more rows there are, for which no place has room. */
  readonly more?: number;
  readonly after: readonly string[];
}

export interface MarkdownParts {
  readonly head: readonly string[];
  /** Most important first. */
  readonly sections: readonly MarkdownSection[];
  readonly foot: readonly string[];
}

const NAME_LENGTH = 120;

/** Of one section: about as many as the largest place, a mebibyte, has room for. A file may hold any number. */
export const MOST_ROWS = 20_000;

/** The rows of a section, of as many items as a place may have room for. */
export function rowsOfSection<Item>(
  items: readonly Item[],
  rowOf: (item: Item) => string,
): Pick<MarkdownSection, "rows" | "more"> {
  const rows = items.slice(0, MOST_ROWS).map((item) => rowOf(item));
  return { rows, more: items.length - rows.length };
}

/** How many of the rows have room where nothing else is. A text has at least as many bytes as UTF-16 units. */
function mostThatFit(sections: readonly MarkdownSection[], limit: number): number {
  let [count, units] = [0, 0];
  for (const line of sections.flatMap(({ rows }) => rows)) {
    units += line.length + 1;
    if (units > limit) break;
    count++;
  }
  return count;
}

/** Takes rows from the end of the last section on until the text is no longer than `limit` bytes. */
export function fit({ head, sections, foot }: MarkdownParts, limit: number): string {
  const all = sections.reduce((sum, { rows, more = 0 }) => sum + rows.length + more, 0);
  const assemble = (kept: number): string => {
    let left = kept;
    const shown = sections.map(({ before, rows, after }) => {
      const some = rows.slice(0, left);
      left -= some.length;
      return some.length === 0 ? [] : [before, some, after];
    });
    const dropped = all - kept;
    const rest = dropped > 0 ? ["", `${dropped} more rows do not fit here: see the JSON, CSV or HTML report.`] : [];
    // A hostile file has more rows than a call has arguments: lists are joined, never spread.
    return `${[head, ...shown.flat(), rest, foot].flat().join("\n")}\n`;
  };
  // The most rows that fit, by halving.
  let fits = 0;
  let tooMany = mostThatFit(sections, limit) + 1;
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (Buffer.byteLength(assemble(middle)) <= limit) fits = middle;
    else tooMany = middle;
  }
  return assemble(fits);
}

export function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** The head of a table; `right`: indices of columns that are set to the right. */
export function tableHead(titles: readonly string[], right: readonly number[]): string[] {
  return [row(titles), row(titles.map((_, i) => (right.includes(i) ? "---:" : "---")))];
}

export interface MarkdownColumn<Item> {
  readonly title: string;
  readonly right?: boolean;
  /** Markdown: texts of a file must have passed `name` or `code`. */
  readonly cell: (item: Item) => string;
}

/** A table as a section. Columns that are empty in every row are left out. */
export function tableSection<Item>(
  columns: readonly MarkdownColumn<Item>[],
  items: readonly Item[],
  before: readonly string[] = [],
  after: readonly string[] = [],
): MarkdownSection {
  const cells = items.slice(0, MOST_ROWS).map((item) => columns.map(({ cell }) => cell(item)));
  const used = columns.map((_, i) => cells.some((line) => line[i] !== ""));
  const kept = columns.filter((_, i) => used[i]);
  const right = kept.flatMap((column, i) => (column.right === true ? [i] : []));
  return {
    before: [
      ...before,
      ...tableHead(
        kept.map(({ title }) => title),
        right,
      ),
    ],
    rows: cells.map((line) => row(line.filter((_, i) => used[i]))),
    more: items.length - cells.length,
    after,
  };
}

/** Text of a result file, harmless and of bounded length. */
export function name(text: string, length: number = NAME_LENGTH): string {
  return escapeMarkdown(shorten(text, length));
}

export function code(text: string): string {
  return `<code>${name(text)}</code>`;
}

/** Lines above and below what is folded away. */
export function foldedBefore(summary: string): string[] {
  return ["", `<details><summary>${name(summary)}</summary>`, ""];
}
export const FOLDED_AFTER: readonly string[] = ["", "</details>"];

/** A command on lines of its own, whatever backticks it holds. */
export function commandBlock(command: string): string[] {
  return ["", `<pre><code>${name(command, 1000)}</code></pre>`];
}
