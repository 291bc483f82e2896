/**
 * Ratios as rows: a name, a bar from 1× with its interval, and the number. The rows are a list, so that a reader without a
 * screen hears names and numbers; the drawing is beside them. On narrow screens the drawing goes below its name.
 */

import { escapeHtml } from "../escape.ts";
import { anchorAt, percent, px, stretched, svgText } from "./markup.ts";
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

/**
 * The drawing is one stretched box of few shapes, for a page of hundreds of rows: all lines of the grid are one path, so are the
 * whiskers, and so are the dots.
 */
function item(row: RatioRow, scale: Scale): string {
  const { label, value, pairs = [], name, kind } = row;
  const height = pairs.length > 0 ? DOTS_TOP + DOTS_HEIGHT + 2 : 20;
  const attributes = `${name === undefined ? "" : ` data-name="${escapeHtml(name)}"`}${kind === undefined ? "" : ` data-kind="${escapeHtml(kind)}"`}`;
  const box: Box = {
    x: (ratio) => px(1000 * scale.at(ratio)),
    y: (pixels) => px((1000 * pixels) / height),
    width: (from, to) => px(1000 * (scale.at(to) - scale.at(from))),
  };
  const shapes = [band(row, box), grid(scale, box), bar(row, scale, box), dots(pairs, box)].join("");
  const drawing = stretched(0, height, shapes) + arrow(row.ratio, scale);
  return `<li class="row"${attributes}><span class="name">${escapeHtml(label)}</span><svg width="100%" height="${height}" aria-hidden="true">${drawing}</svg><span class="val">${escapeHtml(value)}</span></li>`;
}

/** Places in the box of 1000 by 1000 units. */
interface Box {
  /** Of a ratio */
  x(ratio: number): string;
  /** Of a distance in pixels from the top */
  y(pixels: number): string;
  /** Between two ratios */
  width(from: number, to: number): string;
}

function grid(scale: Scale, box: Box): string {
  const lines = scale.ticks.filter((tick) => tick !== 1).map((tick) => `M${box.x(tick)} 0V1000`);
  const path = lines.length === 0 ? "" : `<path class="grid" d="${lines.join("")}"/>`;
  return scale.ticks.includes(1) ? `${path}<path class="one" d="M${box.x(1)} 0V1000"/>` : path;
}

function band({ band: delta }: RatioRow, box: Box): string {
  if (delta === undefined || delta <= 0) return "";
  const [low, high] = [1 / (1 + delta), 1 + delta];
  return `<rect class="band" x="${box.x(low)}" width="${box.width(low, high)}" y="0" height="1000"/>`;
}

/** As wide as can be seen, in units of the box */
const LEAST_WIDTH = 3;

function bar({ ratio, low, high, cssClass, hollow }: RatioRow, scale: Scale, box: Box): string {
  if (ratio === null || !(ratio > 0)) return "";
  const [from, to] = ratio < 1 ? [ratio, 1] : [1, ratio];
  const width = px(Math.max(LEAST_WIDTH, 1000 * (scale.at(to) - scale.at(from))));
  const shape = `<rect class="bar ${cssClass}${hollow === true ? " hollow" : ""}" x="${box.x(from)}" width="${width}" y="${box.y(BAR_MIDDLE - BAR_HEIGHT / 2)}" height="${box.y(BAR_HEIGHT)}"/>`;
  return shape + whisker(low, high, box);
}

function whisker(low: number | null, high: number | null, box: Box): string {
  if (low === null || high === null) return "";
  const [top, middle, bottom] = [BAR_MIDDLE - 4, BAR_MIDDLE, BAR_MIDDLE + 4].map(box.y) as [string, string, string];
  const cap = (x: string): string => `M${x} ${top}V${bottom}`;
  return `<path class="whisker" d="M${box.x(low)} ${middle}H${box.x(high)}${cap(box.x(low))}${cap(box.x(high))}"/>`;
}

/** Says that the bar goes on beyond the axis. */
function arrow(ratio: number | null, { low, high }: Scale): string {
  if (ratio === null || !(ratio > 0) || (ratio >= low && ratio <= high)) return "";
  return ratio > high
    ? svgText("100%", BAR_MIDDLE + 4, "▶", { anchor: "end", cssClass: "tick" })
    : svgText("0", BAR_MIDDLE + 4, "◀", { cssClass: "tick" });
}

/** One dot for each pair: a line without length and with round ends is a dot. */
function dots(pairs: readonly number[], box: Box): string {
  if (pairs.length === 0) return "";
  const place = (i: number): string => box.y(DOTS_TOP + DOTS_HEIGHT * (0.18 + 0.064 * ((i * 7) % 11)));
  return `<path class="dots" d="${pairs.map((ratio, i) => `M${box.x(ratio)} ${place(i)}h0`).join("")}"/>`;
}
