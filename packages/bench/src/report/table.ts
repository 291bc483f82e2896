/** Plain text tables: columns as wide as their widest cell, numbers to the right. */

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
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
