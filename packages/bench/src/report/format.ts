/** Numbers as people read them: times, ratios, rates and sizes with three digits and a unit. */

import { ASSUMED } from "../results/notes.ts";

/** Three significant digits without an exponent. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 6));
}

/** A time in ms as "44.2 µs", "6.37 ms", "1.70 s"; null is "–". */
export function formatMs(ms: number | null): string {
  if (ms === null) return "–";
  if (ms < 1e-3) return `${digits(ms * 1e6)} ns`;
  if (ms < 1) return `${digits(ms * 1e3)} µs`;
  return ms < 1000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`;
}

/**
 * The precision asked for, the encoding of quantised weights, and what products were computed at where that is another
 * precision: "high (computed at highest)", "medium, Q4_K weights". "medium (chosen by llama.cpp)": it was not asked for.
 */
export function formatPrecision({
  precision,
  precisions,
  weights,
  chosenPrecision,
  engine,
}: {
  readonly precision: string;
  readonly precisions?: readonly string[] | undefined;
  readonly weights?: string | undefined;
  readonly chosenPrecision?: boolean | undefined;
  readonly engine?: string | undefined;
}): string {
  const chosen = chosenPrecision === true && engine !== undefined ? ` (chosen by ${engine})` : "";
  const asked = `${precision}${weights === undefined ? "" : `, ${weights} weights`}${chosen}`;
  const others = (precisions ?? []).filter((used) => used !== precision);
  return others.length === 0
    ? asked
    : `${asked} (${others.length === precisions?.length ? "" : "partly "}computed at ${others.join(", ")})`;
}

/** Bytes in binary units, "1.18 GiB"; null is "–". */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return "–";
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10));
  return `${digits(bytes / 1024 ** power)} ${units[power - 1]}`;
}

/** Two decimals near one, three digits elsewhere. */
function ratioDigits(ratio: number): string {
  return ratio >= 0.1 && ratio < 10 ? ratio.toFixed(2) : digits(ratio);
}

/** "1.67×" */
export function formatRatio(ratio: number): string {
  return `${ratioDigits(ratio)}×`;
}

export function formatInterval(low: number | null, high: number | null): string {
  return low === null || high === null ? "" : `[${ratioDigits(low)}, ${ratioDigits(high)}]`;
}

export function formatShare(share: number | null | undefined): string {
  return share === null || share === undefined ? "" : `${(100 * share).toFixed(0)} %`;
}

/** Sign of a check, readable without colour. */
export function formatVerified(verified: boolean | null): string {
  if (verified === null) return "?";
  return verified ? "✓" : "✗";
}

/** "avx512", or "avx512 (assumed)": what that means stands once in a report. */
export function formatIsa(isa: string | null | undefined): string {
  return isa == null ? "" : isa.replace(ASSUMED, " (assumed)");
}

export function formatNs(ns: number | null): string {
  return formatMs(ns === null ? null : ns / 1e6);
}

/** A ratio as people compare it with 1: three decimals near it. */
export function formatChangeRatio(ratio: number): string {
  return ratio >= 0.1 && ratio < 10 ? `${ratio.toFixed(3)}×` : formatRatio(ratio);
}

/** "[0.998, 1.003]" */
export function formatChangeInterval(low: number, high: number): string {
  const one = (ratio: number): string => formatChangeRatio(ratio).slice(0, -1);
  return `[${one(low)}, ${one(high)}]`;
}

/** A share with one decimal: "2.1 %". */
export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A ratio as a change: "+4.9 %", "−0.5 %". */
export function formatChange(ratio: number): string {
  const percent = 100 * (ratio - 1);
  const size = Math.abs(percent).toFixed(1);
  return `${percent < 0 && size !== "0.0" ? "−" : "+"}${size} %`;
}

/** "1 min 23 s", "45 s" */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
