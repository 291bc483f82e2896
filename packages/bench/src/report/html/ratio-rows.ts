/**
 * Ratios as rows: a name, a bar from 1× with its interval, and the number. The rows are a list, so that a reader without a
 * screen hears names and numbers; the drawing is beside them. On narrow screens the drawing goes below its name.
 */

import { escapeHtml } from "../escape.ts";
import { anchorAt, percent, px, stretched, svgText, title } from "./markup.ts";
import { extent, logScale, ratioTicks, type Scale } from "./scale.ts";

export interface RatioRow {
  readonly label: string;
  readonly ratio: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /** "1.083× [1.074, 1.092]" */
  readonly value: string;
  /** Class of the bar */
  readonly cssClass: string;
  /** The threshold: changes within this share of 1 do not matter. */
  readonly band?: number;
  /** Drawn as dots below the bar */
  readonly pairs?: readonly number[];
  /** Whether the bar is only an outline: the ratio is no claim. */
  readonly hollow?: boolean;
  readonly name?: string;
  readonly kind?: string;
}

/** Ratios beyond these are drawn at the end, with an arrow. */
const MOST_GATE = 2;

/** The axis of a gate run: as wide as intervals, thresholds and most pairs need, even to both sides of 1×. */
export function gateScale(rows: readonly RatioRow[]): Scale {
  let far = 1.04;
  for (const { low, high, ratio, band = 0, pairs = [] } of rows) {
    const ends = [1 + 1.5 * band, ratio ?? 1, low ?? 1, high ?? 1, ...quantiles(pairs)];
    for (const end of ends) if (end > 0) far = Math.max(far, end, 1 / end);
  }
  const high = Math.min(MOST_GATE, far * 1.01);
  return logScale(1 / high, high, 7);
}

/** The range of all but one in twenty at either side. */
function quantiles(values: readonly number[]): number[] {
  if (values.length === 0) return [];
  const sorted = values.toSorted((a, b) => a - b);
  const skipped = Math.floor(values.length / 20);
  return [sorted[skipped] as number, sorted[sorted.length - 1 - skipped] as number];
}

/** The axis of a comparison of engines. */
export function engineScale(rows: readonly RatioRow[]): Scale {
  const values = rows.flatMap(({ ratio, low, high }) => [ratio, low, high]);
  const [least, most] = extent([0.75, 1.4, ...values.filter((value) => value !== null && value > 0)] as number[]);
  const [low, high] = [least / 1.05, most * 1.05];
  return { ...logScale(low, high), ticks: ratioTicks(low, high) };
}

function tickText(value: number): string {
  return `${Number(value.toPrecision(4))}×`;
}

/** The list, below its axis. */
export function ratioRows(rows: readonly RatioRow[], scale: Scale): string {
  return `<div class="rows">${axis(scale)}<ol>\n${rows.map((row) => item(row, scale)).join("\n")}\n</ol></div>`;
}

function axis(scale: Scale): string {
  const ticks = scale.ticks.map((tick) => {
    const share = scale.at(tick);
    return svgText(percent(share), 12, tickText(tick), { anchor: anchorAt(share), cssClass: "tick" });
  });
  return `<div class="row axis" aria-hidden="true"><span class="name"></span><svg width="100%" height="18">${ticks.join("")}</svg><span class="val"></span></div>`;
}

const BAR_MIDDLE = 9;
const BAR_HEIGHT = 10;
const DOTS_TOP = 20;
const DOTS_HEIGHT = 11;

function item(row: RatioRow, scale: Scale): string {
  const { label, value, pairs = [], name, kind } = row;
  const height = pairs.length > 0 ? DOTS_TOP + DOTS_HEIGHT + 2 : 20;
  const attributes = `${name === undefined ? "" : ` data-name="${escapeHtml(name)}"`}${kind === undefined ? "" : ` data-kind="${escapeHtml(kind)}"`}`;
  const drawing = [band(row, scale, height), grid(scale, height), bar(row, scale), dots(pairs, scale)].join("");
  return `<li class="row"${attributes}><span class="name">${escapeHtml(label)}</span><svg width="100%" height="${height}" aria-hidden="true">${title(`${label}: ${value}`)}${drawing}</svg><span class="val">${escapeHtml(value)}</span></li>`;
}

function grid(scale: Scale, height: number): string {
  return scale.ticks
    .map((tick) => {
      const x = percent(scale.at(tick));
      return `<line class="${tick === 1 ? "one" : "grid"}" x1="${x}" x2="${x}" y1="0" y2="${height}"/>`;
    })
    .join("");
}

function band({ band: delta }: RatioRow, scale: Scale, height: number): string {
  if (delta === undefined || delta <= 0) return "";
  const from = scale.at(1 / (1 + delta));
  return `<rect class="band" x="${percent(from)}" width="${percent(scale.at(1 + delta) - from)}" y="0" height="${height}"/>`;
}

function bar({ ratio, low, high, cssClass, hollow }: RatioRow, scale: Scale): string {
  if (ratio === null || !(ratio > 0)) return "";
  const [one, end] = [scale.at(1), scale.at(ratio)];
  const from = Math.min(one, end);
  const shape = `<rect class="bar ${cssClass}${hollow === true ? " hollow" : ""}" x="${percent(from)}" width="${percent(Math.max(0.003, Math.abs(end - one)))}" y="${BAR_MIDDLE - BAR_HEIGHT / 2}" height="${BAR_HEIGHT}"/>`;
  return shape + whisker(low, high, scale) + arrow(ratio, scale);
}

function whisker(low: number | null, high: number | null, scale: Scale): string {
  if (low === null || high === null) return "";
  const [a, b] = [percent(scale.at(low)), percent(scale.at(high))];
  const cap = (x: string): string =>
    `<line class="whisker" x1="${x}" x2="${x}" y1="${BAR_MIDDLE - 4}" y2="${BAR_MIDDLE + 4}"/>`;
  return `<line class="whisker" x1="${a}" x2="${b}" y1="${BAR_MIDDLE}" y2="${BAR_MIDDLE}"/>${cap(a)}${cap(b)}`;
}

/** Says that the bar goes on beyond the axis. */
function arrow(ratio: number, { low, high }: Scale): string {
  if (ratio >= low && ratio <= high) return "";
  return ratio > high
    ? svgText("100%", BAR_MIDDLE + 4, "▶", { anchor: "end", cssClass: "tick" })
    : svgText("0", BAR_MIDDLE + 4, "◀", { cssClass: "tick" });
}

/** One dot for each pair, as one path: a line without length and with round ends is a dot. */
function dots(pairs: readonly number[], scale: Scale): string {
  if (pairs.length === 0) return "";
  const path = pairs.map((ratio, i) => `M${px(1000 * scale.at(ratio))} ${px(180 + 64 * ((i * 7) % 11))}h0`).join("");
  return stretched(DOTS_TOP, DOTS_HEIGHT, `<path class="dots" d="${path}"/>`);
}
