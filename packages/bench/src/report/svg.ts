/**
 * Charts as inline SVG text: ratio bars with intervals, a log-log roofline, horizontal time bars.
 *
 * Colours come from CSS variables of the page, so that the charts follow light, dark and print. Every mark has a
 * `<title>`, which browsers show on hover and readers speak.
 */

import { digits, formatInterval, formatMs, formatRatio } from "./format.ts";

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Class names `series-0` … `series-5` give colours. */
export function seriesClass(index: number): string {
  return `series-${index % 6}`;
}

const WIDTH = 860;
const LABEL_WIDTH = 300;

function svg(height: number, label: string, body: readonly string[]): string {
  return [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(label)}">`,
    ...body,
    "</svg>",
  ].join("\n");
}

/** A round number without trailing zeros. */
function tickText(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function text(
  x: number,
  y: number,
  content: string,
  anchor: "start" | "middle" | "end" = "start",
  cssClass = "",
): string {
  const attribute = cssClass === "" ? "" : ` class="${cssClass}"`;
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${attribute}>${escapeHtml(content)}</text>`;
}

export interface RatioBar {
  readonly label: string;
  readonly series: number;
  readonly ratio: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** Powers of two, thinned to at most eight ticks. */
function ratioTicks(low: number, high: number): number[] {
  const first = Math.floor(Math.log2(low));
  const last = Math.ceil(Math.log2(high));
  const step = Math.max(1, Math.ceil((last - first) / 8));
  const ticks: number[] = [];
  for (let power = Math.ceil(first / step) * step; power <= last; power += step) ticks.push(2 ** power);
  return ticks;
}

/** Bars from 1× to the right (faster) or left (slower) on a log axis, with their intervals. */
export function ratioChart(bars: readonly RatioBar[]): string {
  const values = bars
    .flatMap((bar) => [bar.ratio, bar.low ?? bar.ratio, bar.high ?? bar.ratio])
    .filter((value) => value > 0);
  const low = Math.min(0.7, ...values) / 1.1;
  const high = Math.max(1.5, ...values) * 1.15;
  const x = (ratio: number): number =>
    LABEL_WIDTH + ((WIDTH - LABEL_WIDTH - 70) * Math.log(ratio / low)) / Math.log(high / low);
  const rowHeight = 22;
  const height = bars.length * rowHeight + 34;
  const body: string[] = [];
  for (const tick of ratioTicks(low, high).filter((value) => value >= low && value <= high)) {
    body.push(
      `<line class="${tick === 1 ? "axis" : "grid"}" x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="4" y2="${height - 26}"/>`,
    );
    body.push(text(x(tick), height - 10, `${tickText(tick)}×`, "middle", "tick"));
  }
  bars.forEach((bar, i) => {
    const y = 6 + i * rowHeight;
    const from = Math.min(x(1), x(bar.ratio));
    const size = Math.abs(x(bar.ratio) - x(1));
    const title = `${bar.label}: ${formatRatio(bar.ratio)} ${formatInterval(bar.low, bar.high)}`;
    body.push(text(LABEL_WIDTH - 8, y + 13, bar.label, "end"));
    body.push(
      `<g><title>${escapeHtml(title)}</title><rect class="${seriesClass(bar.series)}" x="${from.toFixed(1)}" y="${y}" width="${Math.max(1, size).toFixed(1)}" height="16" rx="2"/>`,
    );
    if (bar.low !== null && bar.high !== null) {
      const middle = y + 8;
      body.push(
        `<path class="interval" d="M${x(bar.low).toFixed(1)} ${middle}H${x(bar.high).toFixed(1)}M${x(bar.low).toFixed(1)} ${y + 4}v8M${x(bar.high).toFixed(1)} ${y + 4}v8"/>`,
      );
    }
    body.push("</g>");
    body.push(
      text(
        Math.max(x(bar.ratio), x(bar.high ?? bar.ratio), x(1)) + 6,
        y + 13,
        formatRatio(bar.ratio),
        "start",
        "value",
      ),
    );
  });
  return svg(height, "Ratio of each engine to the baseline", body);
}

export interface RooflineMark {
  readonly label: string;
  readonly series: number;
  /** flop per byte */
  readonly intensity: number;
  readonly gflops: number;
}

export interface RooflineCeiling {
  readonly label: string;
  readonly gflops: number;
  readonly gbps: number;
}

/** Achieved GFLOP/s over arithmetic intensity, both logarithmic, under the measured ceilings. */
export function rooflineChart(marks: readonly RooflineMark[], ceilings: readonly RooflineCeiling[]): string {
  const height = 380;
  const left = 70;
  const top = 26;
  const bottom = height - 46;
  const intensities = [
    ...marks.map((mark) => mark.intensity),
    ...ceilings.map((ceiling) => ceiling.gflops / ceiling.gbps),
  ];
  const rates = [...marks.map((mark) => mark.gflops), ...ceilings.map((ceiling) => ceiling.gflops)];
  const decades = (values: readonly number[]): readonly [number, number] => [
    Math.floor(Math.log10(Math.min(...values)) - 0.1),
    Math.ceil(Math.log10(Math.max(...values)) + 0.1),
  ];
  const [x0, x1] = decades(intensities);
  const [y0, y1] = decades(rates);
  const x = (value: number): number => left + ((WIDTH - left - 20) * (Math.log10(value) - x0)) / (x1 - x0);
  const y = (value: number): number => bottom - ((bottom - top) * (Math.log10(value) - y0)) / (y1 - y0);
  const body: string[] = [];
  for (let power = x0; power <= x1; power++) {
    body.push(
      `<line class="grid" x1="${x(10 ** power).toFixed(1)}" x2="${x(10 ** power).toFixed(1)}" y1="${top}" y2="${bottom}"/>`,
    );
    body.push(text(x(10 ** power), bottom + 16, tickText(10 ** power), "middle", "tick"));
  }
  for (let power = y0; power <= y1; power++) {
    body.push(
      `<line class="grid" x1="${left}" x2="${WIDTH - 20}" y1="${y(10 ** power).toFixed(1)}" y2="${y(10 ** power).toFixed(1)}"/>`,
    );
    body.push(text(left - 8, y(10 ** power) + 4, tickText(10 ** power), "end", "tick"));
  }
  body.push(text((left + WIDTH) / 2, height - 8, "arithmetic intensity, flop per byte", "middle", "tick"));
  body.push(text(10, 12, "GFLOP/s", "start", "tick"));
  for (const ceiling of ceilings) {
    const ridge = ceiling.gflops / ceiling.gbps;
    const start = Math.max(10 ** x0, 10 ** y0 / ceiling.gbps);
    body.push(
      `<path class="ceiling" d="M${x(start).toFixed(1)} ${y(start * ceiling.gbps).toFixed(1)}L${x(ridge).toFixed(1)} ${y(ceiling.gflops).toFixed(1)}H${WIDTH - 20}"/>`,
    );
    body.push(text(WIDTH - 24, y(ceiling.gflops) - 5, ceiling.label, "end", "tick"));
  }
  for (const mark of marks) {
    body.push(
      `<circle class="${seriesClass(mark.series)}" cx="${x(mark.intensity).toFixed(1)}" cy="${y(mark.gflops).toFixed(1)}" r="5"><title>${escapeHtml(`${mark.label}: ${digits(mark.gflops)} GFLOP/s at ${digits(mark.intensity)} flop per byte`)}</title></circle>`,
    );
  }
  return svg(height, "Roofline", body);
}

export interface TimeBar {
  readonly label: string;
  readonly ms: number;
  readonly series: number;
}

/** Horizontal bars of time, longest first as given. */
export function timeChart(bars: readonly TimeBar[]): string {
  const rowHeight = 20;
  const longest = Math.max(...bars.map((bar) => bar.ms), 1e-9);
  const body = bars.flatMap((bar, i) => {
    const y = 4 + i * rowHeight;
    const size = ((WIDTH - LABEL_WIDTH - 90) * bar.ms) / longest;
    return [
      text(LABEL_WIDTH - 8, y + 12, bar.label, "end"),
      `<rect class="${seriesClass(bar.series)}" x="${LABEL_WIDTH}" y="${y}" width="${Math.max(1, size).toFixed(1)}" height="15" rx="2"><title>${escapeHtml(`${bar.label}: ${formatMs(bar.ms)}`)}</title></rect>`,
      text(LABEL_WIDTH + size + 6, y + 12, formatMs(bar.ms), "start", "value"),
    ];
  });
  return svg(bars.length * rowHeight + 10, "Time per op", body);
}
