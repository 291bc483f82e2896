/** Plain text tables: columns as wide as their widest cell, numbers to the right. */

import { MOST_ROWS, leftOut } from "./bounds.ts";
import { plainText, shorten } from "./escape.ts";

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
  /** Characters of a cell in a `reportTable`. Default: `MOST_CHARACTERS`. */
  readonly most?: number;
}

/** One name from a stranger must not make every row as wide as itself. */
const MOST_CHARACTERS = 160;

/**
 * A table of what a result file holds, small whatever that is: cells are one line of bounded length, and of more than `MOST_ROWS`
 * items the first ones are shown, with how many are left out.
 */
export function reportTable<Item>(
  columns: readonly Column[],
  items: readonly Item[],
  cellsOf: (item: Item) => readonly string[],
): string[] {
  const rows = items
    .slice(0, MOST_ROWS)
    .map((item) => cellsOf(item).map((cell, i) => shorten(plainText(cell), columns[i]?.most ?? MOST_CHARACTERS)));
  return [...formatTable(columns, rows), ...leftOut(items.length - rows.length)];
}

/** Lines of a table; columns that are empty in every row are left out. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const used = columns.map((_, i) => rows.some((row) => (row[i] ?? "") !== ""));
  const widths = columns.map(({ title }, i) =>
    rows.reduce((most, row) => Math.max(most, width(row[i] ?? "")), width(title)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, i) => pad(cells[i] ?? "", widths[i] as number, align))
      .filter((_, i) => used[i])
      .join("  ")
      .trimEnd();
  const titles = columns.map(({ title }) => title);
  const rule = widths.map((size) => "─".repeat(size));
  return [line(titles), line(rule), ...rows.map(line)];
}

function width(text: string): number {
  return Array.from(text).length;
}

function pad(text: string, size: number, align: Column["align"]): string {
  const fill = " ".repeat(Math.max(0, size - width(text)));
  return align === "left" ? text + fill : fill + text;
}
