/** A benchmark over time: its points, the level between change points, and the changes. */

import { median } from "../../statistics/basics.ts";
import type { Trend } from "../../results/schema.ts";
import { formatBytes, formatChange, formatChangeRatio, formatNs } from "../format.ts";
import { anchorAt, percent, plot, px, stretched, svgText, title } from "./markup.ts";
import { extent, linearScale } from "./scale.ts";

const HEIGHT = 220;
const TOP = 26;
const BOTTOM = HEIGHT - 26;

const TEXTS: Readonly<Record<Trend["unit"], (value: number) => string>> = {
  ns: formatNs,
  ratio: formatChangeRatio,
  bytes: (value) => formatBytes(Math.round(value)),
};

export function trendChart(trend: Trend): string {
  const { points, unit, bench } = trend;
  if (points.length === 0) return "";
  const values = points.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]);
  const [least, most] = extent(values);
  const room = Math.max((most - least) * 0.1, most * 0.01);
  const y = linearScale(Math.max(0, least - room), most + room, 5);
  const down = (value: number): number => BOTTOM - (BOTTOM - TOP) * y.at(value);
  // Runs are nights or commits: one step each, whatever the time between them.
  const along = (index: number): number => (index + 0.5) / points.length;
  const valueText = (value: number): string => TEXTS[unit](value);
  const changes = inOrder(trend);
  const area = [
    ...y.ticks.map((tick) => `<line class="grid" x1="0" x2="100%" y1="${px(down(tick))}" y2="${px(down(tick))}"/>`),
    ...changes.map(({ index, ratio }) => {
      const at = index / points.length;
      const x = percent(at);
      return `<line class="change" x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${BOTTOM}"/>${svgText(x, 12, formatChange(ratio), { anchor: anchorAt(at), cssClass: "value" })}`;
    }),
    stretched(
      TOP,
      BOTTOM - TOP,
      curves(points, changes, along, (value) => 1000 * (1 - y.at(value))),
    ),
    ...hoverPoints(points, along, down, valueText),
    ...[0, points.length - 1].map((index) =>
      svgText(percent(index === 0 ? 0 : 1), HEIGHT - 8, points[index]?.at.slice(0, 10) ?? "", {
        anchor: index === 0 ? "start" : "end",
        cssClass: "tick",
      }),
    ),
  ];
  const yLabels = y.ticks.map((tick) =>
    svgText("48", down(tick) + 4, valueText(tick), { anchor: "end", cssClass: "tick" }),
  );
  const summary = `${bench}, ${points.length} points, ${changes.length === 0 ? "no change" : `changes ${changes.map(({ ratio }) => formatChangeRatio(ratio)).join(", ")}`}`;
  return plot(summary, HEIGHT, yLabels, area);
}

/** Changes that lie between two points, one for each place, from left to right. */
function inOrder({ points, changes }: Trend): Trend["changes"] {
  const byIndex = new Map(changes.map((change) => [change.index, change]));
  return [...byIndex.values()]
    .filter(({ index }) => index > 0 && index < points.length)
    .toSorted((a, b) => a.index - b.index);
}

/** Its changes in words: since when, with which commit, by how much. */
export function changesText(trend: Trend): string {
  const { points } = trend;
  const lines = inOrder(trend).map(({ index, ratio }) => {
    const { at = "", commit } = points[index] ?? {};
    return `${formatChange(ratio)} since ${at.slice(0, 10)}${commit === undefined ? "" : ` (${commit.slice(0, 12)})`}`;
  });
  return lines.join(", ");
}

function curves(
  points: Trend["points"],
  changes: Trend["changes"],
  along: (index: number) => number,
  down: (value: number) => number,
): string {
  const at = (index: number, value: number): string => `${px(1000 * along(index))} ${px(down(value))}`;
  const line = points.map(({ value }, i) => at(i, value)).join("L");
  const intervals = points
    .flatMap(({ low, high }, i) => (low === undefined || high === undefined ? [] : [`M${at(i, low)}L${at(i, high)}`]))
    .join("");
  const borders = [0, ...changes.map(({ index }) => index), points.length];
  const levels = borders.slice(1).map((end, i) => {
    const start = borders[i] as number;
    const level = median(points.slice(start, end).map(({ value }) => value));
    return `M${px((1000 * start) / points.length)} ${px(down(level))}H${px((1000 * end) / points.length)}`;
  });
  return `<path class="faint" d="M${line}"/>${intervals === "" ? "" : `<path class="faint" d="${intervals}"/>`}<path class="dots" d="${points.map(({ value }, i) => `M${at(i, value)}h0`).join("")}"/><path class="level" d="${levels.join("")}"/>`;
}

const MOST_HOVER = 120;

/** Places to point at, that say which commit it was. */
function hoverPoints(
  points: Trend["points"],
  along: (index: number) => number,
  down: (value: number) => number,
  valueText: (value: number) => string,
): string[] {
  return points.slice(-MOST_HOVER).map(({ value, at, commit }, i) => {
    const index = Math.max(0, points.length - MOST_HOVER) + i;
    const where = commit === undefined ? "" : `, ${commit.slice(0, 12)}`;
    return `<circle class="hover" cx="${percent(along(index))}" cy="${px(down(value))}" r="6">${title(`${at.slice(0, 10)}${where}: ${valueText(value)}`)}</circle>`;
  });
}
