/**
 * How much of a result file a report for people shows. Anyone may have written the file, with any number of rows; those that are
 * left out are counted. Forms for other programs have them all.
 */

/** Of one table or list. */
export const MOST_ROWS = 1000;

/** The first lines, and how many more there are. */
export function firstLines(lines: readonly string[], most: number = MOST_ROWS): string[] {
  return [...lines.slice(0, most), ...leftOut(lines.length - most)];
}

/** The line that says how many are left out; none where none is. */
export function leftOut(count: number): string[] {
  return count > 0 ? [`and ${count} more, which are in the result file`] : [];
}
