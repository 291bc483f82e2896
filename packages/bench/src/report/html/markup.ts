/**
 * Pieces of the page: tables, lists of rows, plots. Everything that comes from a result file passes `escapeHtml` here or where it
 * is put in; style attributes are never written, since the page's security policy forbids them.
 */

import { leftOut } from "../bounds.ts";
import { escapeHtml, shorten } from "../escape.ts";

/** A percentage of the width, as short as it may be. */
export function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))}%`;
}

/** A length in pixels. */
export function px(value: number): string {
  return String(Number(value.toFixed(1)));
}

export function title(text: string): string {
  return `<title>${escapeHtml(text)}</title>`;
}

export interface Text {
  readonly anchor?: "start" | "middle" | "end";
  readonly cssClass?: string;
}

export function svgText(x: string, y: number, content: string, { anchor = "start", cssClass = "" }: Text = {}): string {
  const name = cssClass === "" ? "" : ` class="${cssClass}"`;
  const at = anchor === "start" ? "" : ` text-anchor="${anchor}"`;
  return `<text x="${x}" y="${px(y)}"${at}${name}>${escapeHtml(content)}</text>`;
}

/** A text whose anchor keeps it within the width wherever it stands. */
export function anchorAt(share: number): "start" | "middle" | "end" {
  return share < 0.06 ? "start" : share > 0.94 ? "end" : "middle";
}

/**
 * A plot as wide as the page allows: labels of the vertical axis to the left, the area to the right. Horizontal places in
 * the area are percentages and vertical ones pixels, so that text keeps its size on every screen.
 */
export function plot(label: string, height: number, yLabels: readonly string[], area: readonly string[]): string {
  return [
    `<div class="plot" role="img" aria-label="${escapeHtml(label)}">`,
    `<svg class="y" width="52" height="${height}">${yLabels.join("")}</svg>`,
    `<svg class="area" width="100%" height="${height}">`,
    ...area,
    "</svg></div>",
  ].join("\n");
}

/** Curves in an area: `path` in units of 1000 by 1000, stretched to the rectangle from `top` with `height` pixels. */
export function stretched(top: number, height: number, content: string): string {
  return `<svg y="${px(top)}" width="100%" height="${px(height)}" viewBox="0 0 1000 1000" preserveAspectRatio="none" overflow="visible">${content}</svg>`;
}

export interface Cell {
  readonly text: string;
  /** What the column is sorted by, where that is not the text. */
  readonly value?: number | null | undefined;
}

export interface TableRow {
  readonly cells: readonly (string | Cell)[];
  /** Marks the row; never the only sign. */
  readonly cssClass?: string | undefined;
  /** What the filter of the page looks at. */
  readonly name?: string | undefined;
  readonly kind?: string | undefined;
}

export interface TableOptions {
  readonly label: string;
  /** Indices of columns of numbers */
  readonly numeric: readonly number[];
  /** Indices of columns whose text may be broken into lines */
  readonly wrap?: readonly number[];
  /** Whether the page's script makes it sortable and gives it a filter */
  readonly sortable?: boolean;
}

/** A table that scrolls sideways where it must. Columns that are empty in every row are left out. */
export function table(titles: readonly string[], rows: readonly TableRow[], options: TableOptions): string {
  const { label, numeric, wrap = [], sortable = false } = options;
  const textOf = (cell: string | Cell | undefined): string => (typeof cell === "object" ? cell.text : (cell ?? ""));
  const used = titles.map((_, i) => rows.some(({ cells }) => textOf(cells[i]) !== ""));
  const cssClass = (i: number): string =>
    numeric.includes(i) ? ' class="n"' : wrap.includes(i) ? ' class="wrap"' : "";
  const head = titles
    .map((text, i) => (used[i] === true ? `<th scope="col"${cssClass(i)}>${escapeHtml(text)}</th>` : ""))
    .join("");
  const line = ({ cells, cssClass: rowClass, name, kind }: TableRow): string => {
    const attributes = [
      rowClass === undefined ? "" : ` class="${rowClass}"`,
      name === undefined ? "" : ` data-name="${escapeHtml(name)}"`,
      kind === undefined ? "" : ` data-kind="${escapeHtml(kind)}"`,
    ];
    const columns = cells.map((cell, i) => {
      if (used[i] !== true) return "";
      const value =
        typeof cell === "object" && cell.value != null ? ` data-v="${Number(cell.value.toPrecision(6))}"` : "";
      return `<td${cssClass(i)}${value}>${escapeHtml(textOf(cell))}</td>`;
    });
    return `<tr${attributes.join("")}>${columns.join("")}</tr>`;
  };
  return [
    `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(label)}">`,
    `<table${sortable ? ' class="sortable"' : ""}><thead><tr>${head}</tr></thead><tbody>`,
    ...rows.map(line),
    "</tbody></table></div>",
  ].join("\n");
}

const MOST_FACTS = 200;
const FACT_LENGTH = 4000;

/** Names and values, one under the other, of bounded number and length. */
export function factTable(label: string, facts: readonly (readonly [name: string, value: string])[]): string {
  const more = leftOut(facts.length - MOST_FACTS).map((text) => ["…", text] as const);
  const cell = (text: string): string => escapeHtml(shorten(text, FACT_LENGTH));
  const rows = [...facts.slice(0, MOST_FACTS), ...more].map(
    ([name, value]) => `<tr><th scope="row">${cell(name)}</th><td class="wrap">${cell(value)}</td></tr>`,
  );
  return `<table class="facts" aria-label="${escapeHtml(label)}"><tbody>\n${rows.join("\n")}\n</tbody></table>`;
}

export interface Section {
  readonly id: string;
  readonly heading: string;
  /** Markup */
  readonly body: string;
}

/** `<details>` where there is much; the parts as they are where there is little. */
export function folded(summary: string, parts: readonly string[]): string {
  if (parts.length === 0) return "";
  return `<details><summary>${escapeHtml(summary)}</summary>\n${parts.join("\n")}\n</details>`;
}

export function note(text: string): string {
  return `<p class="note">${escapeHtml(text)}</p>`;
}
