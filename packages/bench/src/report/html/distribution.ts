/** Distribution of times: which share of the samples took at most so long. */

import { quantile } from "../../statistics/basics.ts";
import { formatMs } from "../format.ts";
import { anchorAt, percent, plot, px, stretched, svgText, title } from "./markup.ts";
import { extent, logScale } from "./scale.ts";

export interface DistributionSeries {
  readonly label: string;
  readonly series: number;
  readonly samplesMs: readonly number[];
}

const HEIGHT = 170;
const TOP = 8;
const BOTTOM = HEIGHT - 24;
/** Points of a curve: what more samples would show is less than the width of the line. */
const POINTS = 33;
/** Shares of the samples beyond the axis at either end: one sample out of hundreds would squeeze the rest into a corner. */
const BEYOND = 0.005;

export function distributionChart(label: string, series: readonly DistributionSeries[]): string {
  const curves = series
    .map(({ samplesMs, ...rest }) => ({
      ...rest,
      sorted: samplesMs.filter((ms) => ms > 0).toSorted((a, b) => a - b),
    }))
    .filter(({ sorted }) => sorted.length > 0);
  if (curves.length === 0) return "";
  const [low, high] = extent(curves.flatMap(({ sorted }) => [quantile(sorted, BEYOND), quantile(sorted, 1 - BEYOND)]));
  const x = logScale(low * 0.98, high * 1.02, 4);
  const down = (share: number): number => BOTTOM - (BOTTOM - TOP) * share;
  const shares = [0, 0.5, 0.9];
  const yLabels = shares.map((share) =>
    svgText("48", down(share) + 4, `${100 * share} %`, { anchor: "end", cssClass: "tick" }),
  );
  const area = [
    ...x.ticks.map((tick) =>
      svgText(percent(x.at(tick)), HEIGHT - 6, formatMs(tick), { anchor: anchorAt(x.at(tick)), cssClass: "tick" }),
    ),
    stretched(
      TOP,
      BOTTOM - TOP,
      `<path class="grid" d="${shares.map((share) => `M0 ${px(1000 * (1 - share))}H1000`).join("")}"/>${curves
        .map(({ sorted, label: name, series: index }) => {
          const steps = Math.min(POINTS, sorted.length + 1) - 1;
          const points = Array.from({ length: steps + 1 }, (_, i) => {
            const share = i / steps;
            return `${px(1000 * x.at(quantile(sorted, share)))} ${px(1000 * (1 - share))}`;
          });
          return `<path class="curve ${lineOf(index)}" d="M${points.join("L")}">${title(`${name}: ${describe(sorted)}`)}</path>`;
        })
        .join("")}`,
    ),
  ];
  const summary = curves.map(({ label: name, sorted }) => `${name} ${describe(sorted)}`).join("; ");
  return plot(`${label}: ${summary}`, HEIGHT, yLabels, area);
}

function describe(sorted: readonly number[]): string {
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => formatMs(quantile(sorted, share)));
  return `median ${p50}, 90 % ${p90}, 99 % ${p99}, ${sorted.length} samples`;
}

/** Colour and dashes; beyond six series they come again, broader. */
function lineOf(series: number): string {
  return series < 6 ? `l${series}` : `l${series % 6} again`;
}

/** A key of a legend: the stroke of a series. */
export function strokeOf(series: number): string {
  return `<svg class="stroke" width="26" height="10" aria-hidden="true"><path class="curve ${lineOf(series)}" d="M1 5h24"/></svg>`;
}
