/** Slices by turns: hooks, orders, results, aborts. */

import { describe, expect, it } from "vitest";
import { type InterleaveOptions, type Subject, measureInterleaved } from "./interleaved.ts";

const SETTINGS: InterleaveOptions = { seed: 1, label: "test", retainSamples: false, sliceMs: 1 };
const FAST = { time: 8, iterations: 4, warmupTime: 2 } as const;

function spin(count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.sqrt(i);
  return sum;
}

describe("results", () => {
  it("one for each name, with statistics of tinybench and slices in rounds", async () => {
    const subjects = ["a", "b", "c"].map((name): Subject => ({ name, fn: () => void spin(2000) }));
    const results = await measureInterleaved(subjects, FAST, SETTINGS);
    expect(results.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    const rounds = results[0]!.slices.length;
    expect(rounds % 2).toBe(0);
    for (const { result, slices } of results) {
      expect(result.state).toBe("completed");
      expect(slices).toHaveLength(rounds);
      expect(result.latency.samplesCount).toBeGreaterThanOrEqual(rounds);
      expect(result.latency.samples).toBeUndefined();
      expect(result.totalTime).toBeGreaterThanOrEqual(FAST.time);
      const { mean, p50, min, max } = result.latency;
      expect([min <= p50, p50 <= max, mean > 0, result.throughput.mean > 0]).toEqual([true, true, true, true]);
      expect(result.runtime).toBe("node");
    }
  });

  it("samples are kept where they are asked for", async () => {
    const [only] = await measureInterleaved([{ name: "a", fn: () => void spin(100) }], FAST, {
      ...SETTINGS,
      retainSamples: true,
    });
    expect(only!.result.latency.samples!.length).toBe(only!.result.latency.samplesCount);
  });

  it("functions that say how long they took", async () => {
    const fn = (): { overriddenDuration: number } => ({ overriddenDuration: 0.25 });
    const [only] = await measureInterleaved([{ name: "a", fn }], FAST, SETTINGS);
    expect([only!.result.latency.mean, only!.result.latency.p99]).toEqual([0.25, 0.25]);
  });

  it("short calls: statistics are of a part of them", async () => {
    let calls = 0;
    const fn = (): { overriddenDuration: number } => ({ overriddenDuration: calls++ % 2 === 0 ? 1e-5 : 3e-5 });
    const [only] = await measureInterleaved([{ name: "a", fn }], { time: 8, warmup: false }, SETTINGS);
    expect(calls).toBeGreaterThan(200_000);
    expect(only!.result.latency.samplesCount).toBeLessThanOrEqual(200_000);
    expect(only!.result.latency.mean).toBeCloseTo(2e-5, 6);
  });
});

describe("orders", () => {
  async function orderOf(seed: number): Promise<string[]> {
    const seen: string[] = [];
    // A slice is one call that says it took all of it.
    const fn = (name: string) => () => (seen.push(name), { overriddenDuration: 1 });
    const subjects = ["a", "b", "c"].map((name): Subject => ({ name, fn: fn(name), fnOpts: { async: false } }));
    await measureInterleaved(subjects, { time: 12, iterations: 1, warmup: false }, { ...SETTINGS, seed });
    return seen;
  }

  it("follow from the seed; every second round is the reverse of the one before", async () => {
    const seen = await orderOf(1);
    expect(seen).toHaveLength(36);
    expect(await orderOf(1)).toEqual(seen);
    expect(await orderOf(2)).not.toEqual(seen);
    for (let i = 0; i < seen.length; i += 6) expect(seen.slice(i + 3, i + 6)).toEqual(seen.slice(i, i + 3).reverse());
    const firsts = new Set(Array.from({ length: 12 }, (_, round) => seen[3 * round]));
    expect(firsts.size).toBe(3);
  });
});

describe("the warm-up", () => {
  /** Calls of a function that takes 200 ms, of which two are measured. */
  async function callsWith(options: Parameters<typeof measureInterleaved>[1]): Promise<number> {
    let calls = 0;
    const fn = (): { overriddenDuration: number } => (calls++, { overriddenDuration: 200 });
    const subject: Subject = { name: "a", fn, fnOpts: { async: false } };
    await measureInterleaved([subject], { time: 0, iterations: 1, ...options }, SETTINGS);
    return calls;
  }

  it("has as many calls and takes as long as is asked for, whichever is later", async () => {
    expect(await callsWith({ warmup: false, warmupIterations: 10 })).toBe(2);
    expect(await callsWith({ warmupTime: 0 })).toBe(2);
    expect(await callsWith({ warmupTime: 0, warmupIterations: 10 })).toBe(12);
    expect(await callsWith({ warmupTime: 800, warmupIterations: 2 })).toBe(6);
  });
});

describe("hooks and asynchronous functions", () => {
  it("beforeAll and afterAll run once around all slices, the others around every call", async () => {
    const counts = { setup: 0, teardown: 0, beforeAll: 0, afterAll: 0, beforeEach: 0, afterEach: 0, calls: 0 };
    let ready = false;
    const fn = (): void => {
      if (!ready) throw new Error("called before its hooks");
      counts.calls += 1;
      spin(500);
    };
    const fnOpts = {
      beforeAll: () => void ((ready = true), (counts.beforeAll += 1)),
      afterAll: () => void (counts.afterAll += 1),
      beforeEach: () => void (counts.beforeEach += 1),
      afterEach: () => void (counts.afterEach += 1),
    };
    const hooks = { setup: () => void (counts.setup += 1), teardown: () => void (counts.teardown += 1) };
    await measureInterleaved([{ name: "a", fn, fnOpts }], { ...FAST, ...hooks }, SETTINGS);
    const { beforeEach, afterEach, calls, ...once } = counts;
    expect(once).toEqual({ setup: 1, teardown: 1, beforeAll: 1, afterAll: 1 });
    expect([beforeEach, afterEach]).toEqual([calls, calls]);
  });

  it("promises are awaited", async () => {
    let running = 0;
    let most = 0;
    const fn = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise((done) => setImmediate(done));
      running -= 1;
    };
    await measureInterleaved(
      [
        { name: "a", fn },
        { name: "b", fn },
      ],
      FAST,
      SETTINGS,
    );
    expect([running, most]).toEqual([0, 1]);
  });

  it("what a function throws is thrown, after the hooks at the end", async () => {
    let ended = 0;
    const fnOpts = { afterAll: () => void (ended += 1) };
    let calls = 0;
    const fn = (): void => {
      if (++calls > 50) throw new Error("broken");
    };
    const both = [
      { name: "a", fn: () => {}, fnOpts },
      { name: "b", fn, fnOpts },
    ];
    await expect(measureInterleaved(both, FAST, SETTINGS)).rejects.toThrow("broken");
    expect(ended).toBe(2);
  });

  it("hooks at the end run where the first call throws, those behind hooks that have run", async () => {
    const ended: string[] = [];
    const fails = (): never => {
      throw new Error("broken");
    };
    const teardown = (): void => void ended.push("teardown");
    const afterAll = (): void => void ended.push("afterAll");
    const attempt = (fn: () => void, beforeAll: () => void): Promise<unknown> =>
      measureInterleaved([{ name: "a", fn, fnOpts: { beforeAll, afterAll } }], { ...FAST, teardown }, SETTINGS);
    await expect(attempt(fails, () => {})).rejects.toThrow("broken");
    expect(ended).toEqual(["afterAll", "teardown"]);
    await expect(attempt(() => {}, fails)).rejects.toThrow("broken");
    expect(ended.slice(2)).toEqual(["teardown"]);
  });

  it("ends when it is aborted", async () => {
    const controller = new AbortController();
    let calls = 0;
    const fn = (): void => {
      if (++calls === 20) controller.abort(new Error("enough"));
    };
    const attempt = measureInterleaved([{ name: "a", fn }], { time: 1e6 }, { ...SETTINGS, signal: controller.signal });
    await expect(attempt).rejects.toThrow("enough");
  });

  it("ends when either of two signals does", async () => {
    for (const which of ["ours", "theirs"] as const) {
      const signals = { ours: new AbortController(), theirs: new AbortController() };
      let calls = 0;
      const fn = (): void => {
        if (++calls === 20) signals[which].abort(new Error(`enough of ${which}`));
      };
      const options = { time: 1e6, signal: signals.theirs.signal };
      const attempt = measureInterleaved([{ name: "a", fn }], options, { ...SETTINGS, signal: signals.ours.signal });
      await expect(attempt).rejects.toThrow(`enough of ${which}`);
    }
  });

  it("refuses concurrency", async () => {
    await expect(measureInterleaved([], { concurrency: "task" }, SETTINGS)).rejects.toThrow(
      "cannot run at the same time",
    );
  });
});
