import { afterEach, describe, expect, it, vi } from "vitest";
import { defineBench, type Bench } from "../define/bench.ts";
import { measureOverhead } from "./overhead.ts";
import { BenchSession } from "./session.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const options = { seed: 9, index: 2, directory: "/nowhere" };

describe("BenchSession", () => {
  it("gives setup its parameters, the directory and random numbers that follow from seed and pair", async () => {
    const draws: number[] = [];
    const bench = defineBench({
      id: "context",
      params: { n: 3 },
      setup: ({ params, directory, random }) => {
        expect([params, directory]).toEqual([{ n: 3 }, "/nowhere"]);
        draws.push(random("a").uniform(), random("a").uniform(), random("b").uniform());
        return { closed: false };
      },
      run: (state) => state.closed,
      teardown: (state) => {
        state.closed = true;
      },
    }) as Bench;
    const { session } = await BenchSession.open(bench, options);
    await BenchSession.open(bench, options);
    await BenchSession.open(bench, { ...options, index: 3 });
    expect(draws[0]).toBe(draws[1]);
    expect(draws[0]).not.toBe(draws[2]);
    expect(draws.slice(3, 6)).toEqual(draws.slice(0, 3));
    expect(draws[6]).not.toBe(draws[0]);
    expect((await session.finish()).fault).toBeNull();
  });

  it.each([
    [undefined, [[]]],
    ["full", [[]]],
    ["minor", [[{ type: "minor" }]]],
    ["none", []],
  ] as const)(
    "collects garbage when it is opened as it is told to (%s), after the first calls",
    async (collect, wanted) => {
      const collected: unknown[][] = [];
      const runsBefore: number[] = [];
      let runs = 0;
      vi.stubGlobal("gc", (...args: unknown[]) => {
        collected.push(args);
        runsBefore.push(runs);
      });
      const bench = defineBench({
        id: "garbage",
        run: () => {
          runs++;
          let sum = 0;
          for (let i = 0; i < 20_000; i++) sum += Math.sqrt(i);
          return sum;
        },
      }) as Bench;
      await BenchSession.open(bench, collect === undefined ? options : { ...options, collect });
      expect(collected).toEqual(wanted);
      // What the first call and the estimate have left is what there is to collect.
      for (const before of runsBefore) expect(before).toBe(runs);
      expect(runs).toBeGreaterThan(1);
    },
  );

  it.each(["call", "batch"] as const)("gives every input of the pool to timed calls, in turn (%s)", async (mode) => {
    const seen: number[] = [];
    const bench = defineBench({
      id: "turns",
      inputs: (random) => ({ x: random.uniform() }),
      run: (_, { x }) => {
        seen.push(x);
        let sum = x;
        for (let i = 0; i < 2000; i++) sum += Math.sqrt(i);
        return sum;
      },
    }) as Bench;
    const { session } = await BenchSession.open(bench, options);
    const warmed = await session.warmUp(mode, 20, 2);
    expect(warmed.callNs).toBeGreaterThan(0);
    seen.length = 0;
    const { calls, spentNs, callNs } = await session.slice(3, 0, "none");
    // Whole calls, and whole batches, that fill the slice at the speed of the warm-up; how long they take is the machine's to say.
    expect(calls * warmed.callNs).toBeGreaterThan(0.9 * 2e6);
    expect(calls * warmed.callNs).toBeLessThan(1.1 * 2e6);
    expect(spentNs).toBeGreaterThan(0);
    expect(callNs).toBeGreaterThan(0);
    // Two untimed calls come before.
    expect(seen).toHaveLength(calls + 2);
    const timed = seen.slice(2);
    expect(new Set(timed.slice(0, 8)).size).toBe(Math.min(8, timed.length));
    for (const [place, x] of timed.entries()) expect(x).toBe(timed[place % 8]);
    const before = new Set(timed);
    seen.length = 0;
    await session.slice(3, 8, "minor");
    expect(seen.some((x) => before.has(x))).toBe(false);
  });

  it("looks at the outputs of a body that becomes too short to be timed while it is warmed up", async () => {
    let result = 1;
    let spinMs = 0.01;
    const bench = defineBench({
      id: "shrinks",
      run: () => {
        const end = spinMs === 0 ? 0 : performance.now() + spinMs;
        while (end > 0 && performance.now() < end);
        return result;
      },
    }) as Bench;
    const open = async (): Promise<BenchSession> => {
      [spinMs, result] = [0.01, 1];
      const { session } = await BenchSession.open(bench, options);
      spinMs = 0;
      return session;
    };
    expect((await (await open()).warmUp("batch", 20, 2)).callNs).toBeLessThan(500);
    const session = await open();
    result = NaN;
    await expect(session.warmUp("batch", 20, 2)).rejects.toThrow("NaN");
  });

  it("ends the warm-up of slow calls after two, and warms others up for as long as it was asked to", async () => {
    let calls = 0;
    const bench = defineBench({
      id: "slow",
      run: () => {
        calls++;
        const end = performance.now() + 600;
        while (performance.now() < end);
        return calls;
      },
    }) as Bench;
    const { session } = await BenchSession.open(bench, options);
    calls = 0;
    const warmed = await session.warmUp("call", 150, 5);
    expect(calls).toBe(2);
    expect(warmed).toMatchObject({ steady: true, slices: 2 });
  });
});

describe("teardown", () => {
  /** A bench of which a part throws; how often it is torn down. */
  function broken(changes: Partial<Bench>): { readonly bench: Bench; readonly ended: () => number } {
    let ended = 0;
    const bench = { id: "torn", run: () => 1, ...changes, teardown: () => void ended++ } as Bench;
    return { bench: defineBench(bench) as Bench, ended: () => ended };
  }

  const fails = (): never => {
    throw new Error("no luck");
  };

  it.each([
    ["inputs", { inputs: fails }, "no luck"],
    ["run", { run: fails }, "no luck"],
    ["check", { check: fails }, "no luck"],
    ["output", { run: () => NaN }, "NaN"],
  ] as const)("runs once where a bench fails while it is opened: its %s", async (_, changes, message) => {
    const { bench, ended } = broken(changes as Partial<Bench>);
    await expect(BenchSession.open(bench, options)).rejects.toThrow(message);
    expect(ended()).toBe(1);
  });

  it("does not run where there is nothing to tear down, as setup has failed", async () => {
    const { bench, ended } = broken({ setup: fails });
    await expect(BenchSession.open(bench, options)).rejects.toThrow("no luck");
    expect(ended()).toBe(0);
  });

  it("runs where an input was changed, and its own error hides nothing", async () => {
    const input = Float64Array.of(1, 2);
    let ended = 0;
    let changes = 0;
    const bench = defineBench({
      id: "writes",
      inputs: () => input.slice(),
      run: (_, numbers) => {
        const sum = numbers[0]! + numbers[1]!;
        numbers[0]! += changes;
        const end = performance.now() + 0.1;
        while (performance.now() < end);
        return sum;
      },
      teardown: () => {
        ended++;
        throw new Error("too late");
      },
    }) as Bench;
    const { session } = await BenchSession.open(bench, options);
    await session.warmUp("call", 5, 1);
    changes = 1;
    await session.slice(0, 0, "none").catch(() => {});
    await expect(session.finish()).rejects.toThrow("changed its input");
    expect(ended).toBe(1);
  });
});

it("measures what the harness adds to a body of a millisecond", async () => {
  const { bareNs, measuredNs, share, logs } = await measureOverhead(6, 1);
  expect(bareNs).toBeGreaterThan(0);
  expect(measuredNs).toBeGreaterThan(0);
  expect(Number.isFinite(share)).toBe(true);
  expect(logs).toHaveLength(6);
  expect(logs.every(Number.isFinite)).toBe(true);
});
