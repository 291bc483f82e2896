import { describe, expect, it } from "vitest";
import type { BenchRef } from "../paired/plan.ts";
import { SampleStore } from "../paired/sample-store.ts";
import type { RooflinePoint } from "../results/schema.ts";
import { ceilingsOf } from "./ceilings.ts";

const ONE: RooflinePoint = {
  threads: 1,
  fmaGflops: 100,
  matrixGflops: null,
  byteGops: 380,
  readGBps: 10,
  l1ReadGBps: 300,
  l2ReadGBps: 80,
};
/** Beside a neighbour. */
const FOUR: RooflinePoint = { ...ONE, threads: 4, fmaGflops: 150, byteGops: 500, l1ReadGBps: 500 };

/** The error of a bench that claims so much work in a call of 1 µs. */
function errorOf(work: BenchRef["work"], points: readonly RooflinePoint[]): string | undefined {
  const ref = { id: "x", file: "x.bench.js", native: true, ...(work === undefined ? {} : { work }) };
  const store = new SampleStore([ref], ceilingsOf(points));
  const check = { checked: 1, maxError: 0, fault: null };
  const sample = { index: 0, order: "base-first", base: [1000, 1000], head: [1000, 1000] } as const;
  const outcome = { kind: "sample", sample, checks: { base: check, head: check }, unsteady: 0 } as const;
  store.add({ outcomes: new Map([["x", outcome]]), loaded: { base: [], head: [] }, rest: [] });
  return store.benches()[0]?.error?.reason;
}

const perUs = (giga: number): number => giga * 1000;

describe("ceilings", () => {
  it.each([
    ["multiply-adds of all threads", { flops: perUs(4 * 100) }],
    ["products of bytes of all threads", { flops: perUs(4 * 380) }],
    ["data in the nearest caches of all threads", { bytes: perUs(4 * 300) }],
    ["data that are read and written there", { bytes: perUs(4 * 300 * 1.5) }],
  ])("do not make %s impossible", (_, work) => {
    expect(errorOf(work, [ONE, FOUR])).toBeUndefined();
  });

  it("are below what nobody computes or reads", () => {
    expect(errorOf({ flops: perUs(4000) }, [ONE, FOUR])).toMatch(/impossible: 4000 GFLOP\/s/);
    expect(errorOf({ bytes: perUs(10_000) }, [ONE, FOUR])).toMatch(/impossible: .* GB\/s/);
  });

  it("are those of bytes where the matrix unit was measured with halves", () => {
    const tiles = { ...ONE, matrixGflops: 1600 };
    expect(errorOf({ flops: perUs(2 * 1600) }, [tiles])).toBeUndefined();
    expect(errorOf({ flops: perUs(3 * 1600) }, [tiles])).toMatch(/impossible/);
  });

  it("judge nothing that was not measured", () => {
    expect(ceilingsOf([{ ...ONE, l1ReadGBps: null }]).gbps).toBeUndefined();
    expect(ceilingsOf([{ ...ONE, fmaGflops: null, byteGops: null }]).gflops).toBeUndefined();
    expect(errorOf({ flops: 1e12, bytes: 1e12 }, [])).toBeUndefined();
  });
});
