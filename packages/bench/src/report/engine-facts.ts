/** Where engines were measured, which ones and how, in lines that every report of engines shows. */

import { ASSUMED } from "../results/notes.ts";
import type { EngineRecord, Machine, Result, Results, RooflinePoint } from "../results/schema.ts";
import { digits } from "./format.ts";

export function threadsText(threads: number): string {
  return `${threads} thread${threads === 1 ? "" : "s"}`;
}

/** "measured peak, 1 thread: 152 GFLOP/s f32, 10.4 GB/s read": one line for each number of threads, and what is missing. */
export function peakLines({
  machine,
}: {
  readonly machine: { readonly roofline: readonly RooflinePoint[]; readonly rooflineNote?: string };
}): string[] {
  const lines = machine.roofline.map((point) => {
    const peaks: readonly (readonly [number | null | undefined, string])[] = [
      [point.fmaGflops, "GFLOP/s f32"],
      [point.matrixGflops, "GFLOP/s bf16 matrix"],
      [point.byteGops, "Gop/s int8"],
      [point.readGBps, "GB/s read"],
      [point.l3ReadGBps, "GB/s read from L3"],
      [point.l2ReadGBps, "GB/s read from L2"],
    ];
    const known = peaks.flatMap(([peak, unit]) => (peak == null ? [] : [`${digits(peak)} ${unit}`]));
    return `measured peak, ${threadsText(point.threads)}: ${known.join(", ")}`;
  });
  return machine.rooflineNote === undefined ? lines : [...lines, machine.rooflineNote];
}

/** Whose instruction set is an assumption. */
export function assumedLines({ results }: Results): string[] {
  const engines = new Set(results.filter(({ isa }) => isa?.endsWith(ASSUMED) === true).map(({ engine }) => engine));
  if (engines.size === 0) return [];
  return [
    `instruction set of ${[...engines].join(", ")}: assumed to be the widest that the processor has, since the library does not say`,
  ];
}

/** How well the logits of an engine agree with the baseline's: one line for each engine, model and number of threads. */
export function agreementLines({ results }: Results): string[] {
  const lines = new Set<string>();
  for (const { case: name, engine, threads, nmse, cosine, sameTokens, checkedOutputs, oracle } of results) {
    if (sameTokens === undefined || nmse == null || cosine == null || oracle !== "logits of the baseline") continue;
    const model = name.slice(0, name.lastIndexOf("/"));
    lines.add(
      `logits of ${engine}, ${model}, ${threadsText(threads)}: worst NMSE ${nmse.toExponential(1)}, worst cosine ${cosine.toFixed(4)}, the baseline's most likely token in ${sameTokens} of ${checkedOutputs ?? "?"} rows`,
    );
  }
  return [...lines];
}

/** Version, library and settings of an engine. */
export function engineText({ version, library, sha256, settings }: EngineRecord): string {
  return [
    `version ${version}`,
    ...(sha256 === null ? [] : [`${library} sha256 ${sha256.slice(0, 16)}…`]),
    ...Object.entries(settings).map(([name, value]) => `${name}: ${value}`),
  ].join("; ");
}

export function settingsText({ settings }: Results): string {
  const { seed, secondsPerEngine, processes, sliceMs, idle, affinity } = settings;
  return [
    `seed ${seed}`,
    `${secondsPerEngine} s per engine and case`,
    `${processes} processes each`,
    `slices of ${sliceMs} ms`,
    `idle engines ${idle}`,
    ...(affinity === undefined ? [] : [affinity]),
  ].join(", ");
}

export interface Rate {
  readonly value: number;
  readonly unit: "GFLOP/s" | "GB/s";
}

/** A ceiling this far below the peak of arithmetic is a slope of bandwidth. */
const BELOW_PEAK = 0.99;

/** The rate that the roofline of a row is about: of reads where bandwidth bounds it, else of arithmetic. */
export function rateOf({ gflops, gbps, peakShare, threads }: Result, { roofline }: Machine): Rate | undefined {
  if (gflops == null) return gbps == null ? undefined : { value: gbps, unit: "GB/s" };
  const arithmetic: Rate = { value: gflops, unit: "GFLOP/s" };
  const peak = roofline.find((point) => point.threads === threads)?.fmaGflops;
  if (gbps == null || peak == null || peakShare == null) return arithmetic;
  return gflops < BELOW_PEAK * peak * peakShare ? { value: gbps, unit: "GB/s" } : arithmetic;
}
