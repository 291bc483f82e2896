import { describe, expect, it } from "vitest";
import type { LoopMode } from "./loops.ts";
import type { Opened } from "./protocol.ts";
import { affordableRounds, boundBy, timedBench } from "./timed-bench.ts";

const opened = (callNs: number, more: Partial<Opened> = {}): Opened => ({
  callNs,
  makeMs: 0,
  timerNs: 40,
  emptyNs: null,
  ...more,
});

const ref = { id: "x", file: "x.bench.js" };

describe("timedBench", () => {
  it("decides for both arms by the faster one, and for all later pairs", () => {
    const modes = new Map<string, LoopMode>();
    const settings = { modes, sliceMs: 5, rounds: 20 };
    expect(timedBench(ref, opened(1e6), opened(100), settings).mode).toBe("batch");
    expect(timedBench(ref, opened(1e6), opened(1e6), settings).mode).toBe("batch");
    expect(timedBench({ ...ref, id: "y" }, opened(1e6), opened(1e6), settings).mode).toBe("call");
  });

  it("renews inputs for a quarter of a slice, in fewer rounds where they take longer, but twice in a pair", () => {
    const renewal = (makeMs: number): number[] => {
      const settings = { modes: new Map<string, LoopMode>(), sliceMs: 4, rounds: 20 };
      const { renew, renewEvery } = timedBench(ref, opened(1e6, { makeMs }), opened(1e6), settings);
      return [renew, renewEvery];
    };
    expect(renewal(0.01)).toEqual([8, 1]);
    expect(renewal(0.5)).toEqual([2, 1]);
    expect(renewal(3)).toEqual([1, 3]);
    expect(renewal(1000)).toEqual([1, 10]);
  });
});

describe("boundBy", () => {
  it.each([
    [{ readingNs: 40, emptyNs: 0 }, 39, "timer-bound"],
    [{ readingNs: 40, emptyNs: 0 }, 40, undefined],
    // A fast clock does not make a body of some instructions worth timing.
    [{ readingNs: 10, emptyNs: 0 }, 24, "timer-bound"],
    [{ readingNs: 10, emptyNs: 0 }, 25, undefined],
    [{ readingNs: 10, emptyNs: 2 }, 3.5, "empty-body"],
    [{ readingNs: 10, emptyNs: 2 }, 3.6, "timer-bound"],
  ] as const)("%o with a call of %d ns: %s", (bench, callNs, bound) => {
    expect(boundBy(bench, callNs)).toBe(bound);
  });
});

describe("affordableRounds", () => {
  it("are fewer where a call fills more than two slices, and five at least", () => {
    expect([1, 5, 10, 20, 100, 1e6].map((callMs) => affordableRounds(20, 5, callMs))).toEqual([20, 20, 20, 10, 5, 5]);
    expect(affordableRounds(3, 5, 1e6)).toBe(3);
  });
});
