/**
 * Text from a result file made harmless for each form of report. Names of benchmarks, reasons and settings come from files
 * that anyone may have written: no report may run them, lay itself out by them, or be made to look like another.
 */

/** Characters that have no shape but an effect: controls, marks of direction, halves of pairs, what Unicode does not know. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

function codePoint(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** One line for a terminal: line breaks and tabs become spaces, other controls are shown as `\u{1b}`. */
export function plainText(text: string): string {
  // Each run of spaces is read once: a pattern that wants a break among them would begin anew at every one.
  return text.replace(/\s+/g, (run) => (/[\r\n\t]/.test(run) ? " " : run)).replace(INVISIBLE, codePoint);
}

/** For the text and for the attributes in double quotes of HTML. */
export function escapeHtml(text: string): string {
  return plainText(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** For XML 1.0: as for HTML, since `plainText` leaves no character that XML does not have. */
export function escapeXml(text: string): string {
  return escapeHtml(text);
}

/**
 * For a cell of a table in Markdown as GitHub reads it: neither markup nor HTML, no link, no mention, no emoji. Everything
 * but letters, digits and harmless signs becomes a character reference, which Markdown shows and does not read.
 */
export function escapeMarkdown(text: string): string {
  return (
    plainText(text)
      // A colon before a space begins neither an address nor an emoji.
      .replace(/[^\p{L}\p{N} .,;/()=+%×·–…:-]|:(?! )/gu, (character) => `&#${character.codePointAt(0)};`)
      .replace(/(?<=www)\./gi, "&#46;")
      // A mark at the start of a line, or spaces as a block of code, cannot arise within a cell.
      .replace(/-{2,}/g, (dashes) => "&#45;".repeat(dashes.length))
  );
}

/**
 * A cell of RFC 4180. What a spreadsheet would take for a formula gets an apostrophe in front, which spreadsheets do not
 * show.
 */
export function csvCell(value: string | number | boolean | null | undefined): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = plainText(value);
  const safe = /^\s*[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** At most `length` characters, the last one an ellipsis where there were more. */
export function shorten(text: string, length: number): string {
  // A character has at most two units: of a long text no more are taken apart than are needed.
  const characters = Array.from(text.slice(0, 2 * length + 2));
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}
