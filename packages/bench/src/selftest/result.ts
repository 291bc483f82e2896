/** What a test of the gate itself gives: an acceptance test AT1 to AT17 of the method. */

import type { Calibration } from "../gate/calibration.ts";

export interface SelftestOptions {
  /** Of everything random; printed with the result. */
  readonly seed: number;
  /** How much is simulated or measured, relative to the default; the statistical limits belong to 1. */
  readonly scale?: number | undefined;
  /** Folder for the results of every run over the suite, compressed; AT16 judges what is there again. */
  readonly keep?: string | undefined;
}

export interface SelftestResult {
  /** "AT5" */
  readonly test: string;
  readonly title: string;
  readonly passed: boolean;
  /** What is missing to say so, where it did not pass and nothing has refuted it either. */
  readonly undecided?: string;
  /** What was found, in a sentence or a few lines. */
  readonly detail: string;
  readonly numbers: Readonly<Record<string, number>>;
  /** Floors of the benches, in the form of a calibration file. */
  readonly calibration?: Calibration;
}

export type Selftest = (options: SelftestOptions) => Promise<SelftestResult>;

/** `count` times the scale, at least one. */
export function scaled(count: number, { scale = 1 }: SelftestOptions): number {
  return Math.max(1, Math.round(count * scale));
}

/** What was found is wrong, or something is missing, or it passed. */
export function decision(
  wrong: boolean,
  missing: string | undefined,
): { readonly passed: boolean; readonly undecided?: string } {
  if (wrong) return { passed: false };
  return missing === undefined ? { passed: true } : { passed: false, undecided: missing };
}

/** Why fewer runs than `needed` say nothing; undefined: they are enough. */
export function tooFew(valid: number, needed: number): string | undefined {
  return valid >= needed ? undefined : `too few runs to say: ${valid} valid ones of the ${needed} that it takes`;
}

/** A share with two digits: "2.95 %". */
export function percent(value: number): string {
  return `${Number((100 * value).toFixed(2))} %`;
}
