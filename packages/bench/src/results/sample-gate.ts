/** Made-up results of a gate run with every verdict: what the tests of the reports work on. */

import { Random } from "../harness/random.ts";
import { sampleResults } from "./sample-results.ts";
import type { BenchRecord, PairRecord, Results, Verdict } from "./schema.ts";

interface Sample {
  readonly id: string;
  readonly verdict: Verdict;
  readonly ratio: number;
  /** ns */
  readonly base: number;
  readonly more?: Partial<BenchRecord>;
}

const SAMPLES: readonly Sample[] = [
  { id: "parse/small", verdict: "EQUIVALENT", ratio: 1.001, base: 1200, more: { work: { bytes: 4096 } } },
  { id: "sort/1e4", verdict: "REGRESSED", ratio: 1.083, base: 812_000, more: { params: { n: 10_000 } } },
  { id: "sort/1e5", verdict: "INCONCLUSIVE", ratio: 1.012, base: 9_800_000, more: { flags: ["unstable"] } },
  { id: "hash <b>&", verdict: "IMPROVED", ratio: 0.94, base: 45_000 },
  {
    id: "gemm/256",
    verdict: "REGRESSED",
    ratio: 1.041,
    base: 400_000,
    more: {
      work: { flops: 33_554_432, bytes: 786_432 },
      accepted: { trailer: "Bench-Accept: gemm/256 +5% exact rounding", limit: 0.05, reason: "exact rounding" },
      check: { checked: 96, maxError: 2.5e-7, passed: true },
    },
  },
  { id: "noop", verdict: "INVALID", ratio: 1.0, base: 20, more: { flags: ["timer-bound"], reason: "timer-bound" } },
];

/** Pairs of processes around a ratio, with a spread of about 1 %. */
export function samplePairs(random: Random, count: number, rounds: number, base: number, ratio: number): PairRecord[] {
  const noisy = (centre: number, spread: number): number =>
    Number((centre * Math.exp(spread * random.normal())).toPrecision(6));
  return Array.from({ length: count }, (_, index) => {
    const level = noisy(base, 0.1);
    const shift = noisy(ratio, 0.01);
    return {
      index,
      order: index % 2 === 0 ? "base-first" : "head-first",
      base: Array.from({ length: rounds }, () => noisy(level, 0.02)),
      head: Array.from({ length: rounds }, () => noisy(level * shift, 0.02)),
    };
  });
}

function sampleBench({ id, verdict, ratio, base, more }: Sample, random: Random): BenchRecord {
  const suspect = verdict === "REGRESSED" || verdict === "IMPROVED";
  const estimate = {
    ratio,
    low: Number((ratio * 0.992).toFixed(4)),
    high: Number((ratio * 1.008).toFixed(4)),
    p: verdict === "REGRESSED" ? 1e-6 : 0.5,
    sw: 0.009,
    mde: verdict === "INCONCLUSIVE" ? 0.061 : 0.021,
    pairs: suspect ? 12 : 6,
    stage: suspect ? "confirm" : "screen",
  };
  return {
    id,
    unit: "ns",
    delta: 0.025,
    stages: [
      { stage: "screen", pairs: samplePairs(random, 6, 4, base, ratio) },
      ...(suspect ? [{ stage: "confirm" as const, pairs: samplePairs(random, 12, 4, base, ratio) }] : []),
    ],
    estimate,
    verdict,
    reason: verdict === "INCONCLUSIVE" ? "needs about 90 more pairs" : "",
    flags: [],
    check: null,
    ...more,
  };
}

/** A gate run; equal for equal seeds. */
export function sampleGate(seed = 1): Results {
  const random = new Random(seed);
  const engines = sampleResults();
  const facts = { cpu: "Example <CPU> & Co", kernel: "6.1", governor: "performance", node: "24.0.0" };
  return {
    ...engines,
    settings: { ...engines.settings, seed: 7, command: "quern gate --base main" },
    results: [],
    comparisons: [],
    skipped: [],
    run: {
      kind: "gate",
      id: "0123456789abcdef",
      seed: 7,
      startedAt: "2026-11-23T12:00:00.000Z",
      wallMs: 183_000,
      tool: { name: "quern", version: "0.1.0" },
      argv: ["gate", "--base", "main", "--profile", "ci"],
      policy: {
        profile: "ci",
        delta: 0.025,
        delta0: 0.01,
        q: 0.01,
        screenPairs: 16,
        confirmPairs: 48,
        rounds: 20,
        sliceMs: 5,
        fdr: "bh",
      },
    },
    arms: [
      {
        name: "base",
        source: "main",
        commit: "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d",
        dirty: false,
        directory: "a",
        artefactSha256: "12".repeat(32),
        files: 14,
      },
      { name: "head", source: ".", dirty: true, directory: "b", artefactSha256: "34".repeat(32), files: 14 },
    ],
    environment: {
      before: { hash: "aa".repeat(8), class: "example-2", facts },
      after: { hash: "bb".repeat(8), class: "example-2", facts: { ...facts, governor: "powersave" } },
      controls: [
        {
          id: "ctl.fma",
          stages: [{ stage: "screen", pairs: samplePairs(random, 6, 4, 5000, 1) }],
          estimate: { ratio: 1.001, low: 0.998, high: 1.003, p: 0.9, sw: 0.004, mde: 0.013, pairs: 6, stage: "screen" },
          disturbed: 0.04,
          moved: false,
        },
      ],
      changed: ["governor"],
    },
    benches: [
      ...SAMPLES.map((sample) => sampleBench(sample, random)),
      {
        id: "render/page",
        unit: "ns",
        delta: 0.05,
        stages: [],
        estimate: null,
        verdict: "ERROR",
        reason: "the worker of head ended with signal SIGSEGV",
        flags: [],
        check: { checked: 3, maxError: null, passed: false },
      },
    ],
    summary: { verdict: "ERROR", exitCode: 4, geomean: 1.012 },
    trends: [
      {
        bench: "sort/1e4",
        class: "example-2",
        unit: "ratio",
        points: Array.from({ length: 60 }, (_, i) => ({
          at: new Date(Date.UTC(2026, 8, 1 + i)).toISOString(),
          value: Number(((i < 35 ? 1 : 1.06) * Math.exp(0.01 * random.normal())).toFixed(5)),
          commit: (0x1000000 + i).toString(16),
        })),
        changes: [{ index: 35, ratio: 1.06, p: 1e-9 }],
      },
    ],
  };
}
