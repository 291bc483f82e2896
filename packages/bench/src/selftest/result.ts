/** What a test of the gate itself gives: an acceptance test AT1 to AT17 of the method. */

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
  /** What was found, in a sentence or a few lines. */
  readonly detail: string;
  readonly numbers: Readonly<Record<string, number>>;
}

export type Selftest = (options: SelftestOptions) => Promise<SelftestResult>;

/** `count` times the scale, at least one. */
export function scaled(count: number, { scale = 1 }: SelftestOptions): number {
  return Math.max(1, Math.round(count * scale));
}
