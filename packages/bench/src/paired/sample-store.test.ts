import { describe, expect, it } from "vitest";
import type { PairOutcome } from "./pair-outcomes.ts";
import type { MeasureMemory } from "./plan.ts";
import { SampleStore } from "./sample-store.ts";

const REF = { id: "x", file: "x.bench.js" };

const bound: PairOutcome = { kind: "bound", flag: "timer-bound" };

function sample(index: number): PairOutcome {
  const check = { checked: 1, maxError: 0, fault: null };
  const times = [30, 31, 30];
  return {
    kind: "sample",
    sample: { index, order: "base-first", base: times, head: times },
    checks: { base: check, head: check },
    unsteady: 0,
  };
}

function stored(outcomes: readonly PairOutcome[], counts: MeasureMemory["counts"] = new Map()): SampleStore {
  const store = new SampleStore([REF], {}, counts);
  for (const outcome of outcomes) {
    store.add({ outcomes: new Map([["x", outcome]]), loaded: { base: [], head: [] }, rest: [] });
  }
  return store;
}

describe("a body that is too short to be evaluated", () => {
  it("is flagged at once where it always is, and measured no further", () => {
    const store = stored([bound]);
    expect(store.measurable("x")).toBe(false);
    expect(store.benches()[0]).toMatchObject({ flags: ["timer-bound"], pairs: [] });
  });

  it("is measured where it is too short in some pairs alone, which are left out", () => {
    const store = stored([sample(0), sample(1), bound, sample(3)]);
    expect(store.measurable("x")).toBe(true);
    const [bench] = store.benches();
    expect(bench?.flags).toEqual([]);
    expect(bench?.pairs.map(({ index }) => index)).toEqual([0, 1, 3]);
  });

  it("is flagged once it is too short in most of them, without samples of the others", () => {
    const store = stored([sample(0), bound, bound]);
    expect(store.measurable("x")).toBe(false);
    expect(store.benches()[0]).toMatchObject({ flags: ["timer-bound"], pairs: [] });
  });

  it("is judged by the pairs of earlier stages too", () => {
    const counts: MeasureMemory["counts"] = new Map();
    stored([sample(0), sample(1)], counts);
    const later = stored([bound, sample(3)], counts);
    expect(later.measurable("x")).toBe(true);
    expect(later.benches()[0]?.pairs.map(({ index }) => index)).toEqual([3]);
    const last = stored([bound, bound, bound], counts);
    expect(last.benches()[0]).toMatchObject({ flags: ["timer-bound"], pairs: [] });
    expect(counts.get("x")).toEqual({ measured: 3, bound: 4 });
  });
});
