/** Achieved rates over arithmetic intensity, both logarithmic, under the measured ceilings. Reference: Williams et al. 2009. */

import { digits } from "../format.ts";
import { anchorAt, percent, plot, px, svgText, title } from "./markup.ts";
import { extent, logScale, type Scale } from "./scale.ts";

export interface RooflineMark {
  readonly label: string;
  readonly series: number;
  /** flop per byte */
  readonly intensity: number;
  readonly gflops: number;
}

export interface RooflineCeiling {
  readonly label: string;
  /** Null: a slope of bandwidth alone. */
  readonly gflops: number | null;
  readonly gbps: number;
  /** Where a slope ends: the highest peak. */
  readonly cap?: number;
}

const HEIGHT = 360;
const TOP = 26;
const BOTTOM = HEIGHT - 44;

/** Shapes by series, so that colour is not needed to tell them apart. */
const SHAPES: readonly string[] = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
  "M-4.5-4.5h9v9h-9z",
  "M0-6L6 0L0 6L-6 0z",
  "M0-6L5.5 4.5h-11z",
  "M0 6L5.5-4.5h-11z",
  "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
];

/** Beyond six series colours come again, with other shapes. */
function look(series: number): { readonly colour: string; readonly shape: string } {
  const shape = SHAPES[(series + Math.floor(series / 6)) % 6] as string;
  return { colour: `s${series % 6}`, shape };
}

/** A key of a legend: the shape of a series. */
export function shapeOf(series: number): string {
  const { colour, shape } = look(series);
  return `<svg class="shape" width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true"><path class="${colour}" d="${shape}"/></svg>`;
}

export function rooflineChart(marks: readonly RooflineMark[], ceilings: readonly RooflineCeiling[]): string {
  const peaks = ceilings.map(({ gflops }) => gflops).filter((gflops) => gflops !== null);
  const ridges = ceilings.flatMap(({ gflops, gbps }) => (gflops === null ? [] : [gflops / gbps]));
  const x = spread([...marks.map(({ intensity }) => intensity), ...ridges]);
  const y = spread([...marks.map(({ gflops }) => gflops), ...peaks]);
  const down = (gflops: number): number => BOTTOM - (BOTTOM - TOP) * y.at(gflops);
  const yLabels = [
    ...y.ticks.map((tick) => svgText("48", down(tick) + 4, text(tick), { anchor: "end", cssClass: "tick" })),
    svgText("0", 12, "GFLOP/s", { cssClass: "tick" }),
  ];
  const area = [
    ...y.ticks.map((tick) => `<line class="grid" x1="0" x2="100%" y1="${px(down(tick))}" y2="${px(down(tick))}"/>`),
    ...x.ticks.map((tick) => {
      const at = percent(x.at(tick));
      return `<line class="grid" x1="${at}" x2="${at}" y1="${TOP}" y2="${BOTTOM}"/>${svgText(at, BOTTOM + 16, text(tick), { anchor: anchorAt(x.at(tick)), cssClass: "tick" })}`;
    }),
    svgText("50%", HEIGHT - 8, "arithmetic intensity, flop per byte", { anchor: "middle", cssClass: "tick" }),
    ...ceilings.map((ceiling) => roof(ceiling, x, y, down)),
    ...marks.map((mark) => {
      const { colour, shape } = look(mark.series);
      return `<svg x="${percent(x.at(mark.intensity))}" y="${px(down(mark.gflops))}" overflow="visible"><path class="mark ${colour}" d="${shape}">${title(`${mark.label}: ${digits(mark.gflops)} GFLOP/s at ${digits(mark.intensity)} flop per byte`)}</path></svg>`;
    }),
  ];
  return plot(`Roofline of ${marks.length} results: the table has the numbers`, HEIGHT, yLabels, area);
}

/** Whole decades around the values. */
function spread(values: readonly number[]): Scale {
  const positive = values.filter((value) => value > 0);
  if (positive.length === 0) return logScale(0.1, 10);
  const [low, high] = extent(positive);
  return logScale(10 ** Math.floor(Math.log10(low) - 0.1), 10 ** Math.ceil(Math.log10(high) + 0.1), 6);
}

function text(value: number): string {
  return value >= 1e4 || value < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}

/** The slope of the bandwidth up to the ridge, and the level of the peak from there on. */
function roof(
  { label, gflops, gbps, cap }: RooflineCeiling,
  x: Scale,
  y: Scale,
  down: (gflops: number) => number,
): string {
  const first = Math.max(x.low, y.low / gbps);
  const ridge = Math.min(x.high, (gflops ?? cap ?? y.high) / gbps);
  const slope =
    ridge > first
      ? `<line class="ceiling" x1="${percent(x.at(first))}" y1="${px(down(first * gbps))}" x2="${percent(x.at(ridge))}" y2="${px(down(ridge * gbps))}"/>`
      : "";
  if (gflops === null) {
    // Below the slope, a little behind its beginning.
    const at = first * (ridge / first) ** 0.12;
    return slope + svgText(percent(x.at(at) + 0.01), down(at * gbps) + 12, label, { cssClass: "tick" });
  }
  const level = `<line class="ceiling" x1="${percent(x.at(ridge))}" x2="100%" y1="${px(down(gflops))}" y2="${px(down(gflops))}"/>`;
  return slope + level + svgText("99%", down(gflops) - 5, label, { anchor: "end", cssClass: "tick" });
}
