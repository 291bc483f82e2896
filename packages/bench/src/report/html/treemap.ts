/**
 * Time per op or kernel as areas. Layout: squarified treemap (Bruls, Huizing, van Wijk 2000), in a box whose width is a share of
 * the page's.
 */

import { escapeHtml } from "../escape.ts";
import { formatMs } from "../format.ts";
import { folded, percent, px, table, title } from "./markup.ts";

export interface TimePart {
  readonly name: string;
  readonly ms: number;
}

interface Tile extends TimePart {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The box that the layout makes squares in; the page stretches its width. */
const WIDTH = 900;
const HEIGHT = 300;
const MOST_TILES = 48;

/** Parts of one name together, largest first, the smallest ones as one. */
export function gatherParts(parts: readonly TimePart[], most: number = MOST_TILES): TimePart[] {
  const sums = new Map<string, number>();
  for (const { name, ms } of parts) if (ms > 0) sums.set(name, (sums.get(name) ?? 0) + ms);
  const sorted = [...sums].map(([name, ms]) => ({ name, ms })).toSorted((a, b) => b.ms - a.ms);
  if (sorted.length <= most) return sorted;
  const rest = sorted.slice(most - 1);
  return [
    ...sorted.slice(0, most - 1),
    { name: `${rest.length} others`, ms: rest.reduce((sum, { ms }) => sum + ms, 0) },
  ].toSorted((a, b) => b.ms - a.ms);
}

/** Places parts, largest first, in rows along the shorter side; a row is closed when one more would make it less square. */
export function squarify(parts: readonly TimePart[], width: number = WIDTH, height: number = HEIGHT): Tile[] {
  const total = parts.reduce((sum, { ms }) => sum + ms, 0);
  const tiles: Tile[] = [];
  let [x, y, freeWidth, freeHeight] = [0, 0, width, height];
  let left = parts.map((part) => ({ part, area: (part.ms / total) * width * height }));
  while (left.length > 0) {
    const side = Math.min(freeWidth, freeHeight);
    let count = 1;
    while (count < left.length && worst(left, count + 1, side) <= worst(left, count, side)) count++;
    const row = left.slice(0, count);
    const area = row.reduce((sum, item) => sum + item.area, 0);
    const thickness = area / side;
    let along = 0;
    for (const item of row) {
      const length = item.area / thickness;
      const [dx, dy, w, h] = freeWidth >= freeHeight ? [0, along, thickness, length] : [along, 0, length, thickness];
      tiles.push({ ...item.part, x: x + dx, y: y + dy, width: w, height: h });
      along += length;
    }
    if (freeWidth >= freeHeight) [x, freeWidth] = [x + thickness, freeWidth - thickness];
    else [y, freeHeight] = [y + thickness, freeHeight - thickness];
    left = left.slice(count);
  }
  return tiles;
}

/** The largest quotient of sides in a row of the first `count` parts. */
function worst(items: readonly { readonly area: number }[], count: number, side: number): number {
  const areas = items.slice(0, count).map(({ area }) => area);
  const sum = areas.reduce((total, area) => total + area, 0);
  const square = (sum / side) ** 2;
  return Math.max(...areas.map((area) => Math.max(square / area, area / square)));
}

/** At most `most` areas. */
export function treemapChart(label: string, parts: readonly TimePart[], most: number = MOST_TILES): string {
  const gathered = gatherParts(parts, most);
  const total = gathered.reduce((sum, { ms }) => sum + ms, 0);
  if (gathered.length === 0 || !(total > 0)) return "";
  const shareText = (ms: number): string => `${((100 * ms) / total).toFixed(1)} %`;
  const tiles = squarify(gathered).map((tile) => {
    const { name, ms, x, y, width, height } = tile;
    // A name that would not even begin on a phone is left to the list.
    const shown = width / WIDTH > 0.09 && height > 18;
    const lines = shown
      ? `<text x="5" y="14">${escapeHtml(name)}</text>${height > 34 ? `<text class="tick" x="5" y="29">${escapeHtml(`${formatMs(ms)}, ${shareText(ms)}`)}</text>` : ""}`
      : "";
    return `<svg x="${percent(x / WIDTH)}" y="${px(y)}" width="${percent(width / WIDTH)}" height="${px(height)}">${title(`${name}: ${formatMs(ms)}, ${shareText(ms)}`)}<rect class="tile f${family(name)}" width="100%" height="100%"/>${lines}</svg>`;
  });
  const largest = gathered.slice(0, 3).map(({ name, ms }) => `${name} ${shareText(ms)}`);
  return `<div role="img" aria-label="${escapeHtml(`${label}: ${formatMs(total)}, of which ${largest.join(", ")}`)}"><svg width="100%" height="${HEIGHT}">\n${tiles.join("\n")}\n</svg></div>${partsTable(label, gathered, shareText)}`;
}

/** The same for those who see no areas or have nothing to point with. */
function partsTable(label: string, parts: readonly TimePart[], shareText: (ms: number) => string): string {
  const rows = parts.map(({ name, ms }) => ({ cells: [name, formatMs(ms), shareText(ms)] }));
  return folded("as a table", [table(["part", "time", "share"], rows, { label, numeric: [1, 2], wrap: [0] })]);
}

/** Kernels whose names begin alike have one colour. */
function family(name: string): number {
  const first = /[a-z]+/i.exec(name)?.[0] ?? "";
  let sum = 0;
  for (const character of first) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return sum % 6;
}
