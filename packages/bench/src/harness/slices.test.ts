import { Tensor } from "@quern/core";
import { describe, expect, it } from "vitest";
import type { CompiledModel } from "../engines/engine.ts";
import { Random } from "./random.ts";
import { SliceRunner } from "./slices.ts";

interface Recording {
  readonly model: CompiledModel;
  readonly seen: number[];
  /** What calls found in the memory that they were given. */
  readonly found: number[];
  /** Outputs given back and not yet used again. */
  readonly free: Float32Array[];
}

/** A model that writes down which inputs each call has, and writes them to memory of outputs that were given back. */
function recording(async = false): Recording {
  const [seen, found, free]: [number[], number[], Float32Array[]] = [[], [], []];
  const call = (feeds: unknown): Float32Array => {
    seen.push(feeds as number);
    for (const end = performance.now() + 0.2; performance.now() < end;);
    const output = free.pop() ?? new Float32Array(4);
    found.push(output[0] as number);
    return output.fill(feeds as number);
  };
  const model = {
    async,
    call: async ? async (feeds: unknown) => call(feeds) : call,
    tensors: (fetched: unknown) => ({ y: new Tensor("f32", [4], fetched as Float32Array) }),
    release: (fetched: unknown) => free.push(fetched as Float32Array),
  } as unknown as CompiledModel;
  return { model, seen, found, free };
}

const SETS = [0, 1, 2, 3];

describe("inputs of slices", () => {
  it("rotate call by call", async () => {
    const { model, seen } = recording();
    const runner = new SliceRunner(model, SETS, 2, new Random(1));
    await runner.run(false);
    await runner.run(false);
    expect(seen.length).toBeGreaterThan(4);
    expect(seen).toEqual(seen.map((_, i) => i % SETS.length));
  });

  it("stay for a slice where caches are to be warm, the untimed calls before it included", async () => {
    const { model, seen } = recording();
    const runner = new SliceRunner(model, SETS, 2, new Random(1), { sliceWise: true });
    await runner.warmUp(1, 3, 100); // the slices' lengths in calls follow from it
    const perSlice: number[][] = [];
    for (let slice = 0; slice < 5; slice++) {
      seen.length = 0;
      await runner.run(true);
      perSlice.push([...new Set(seen)]);
      expect(seen.length).toBeGreaterThan(2);
    }
    expect(perSlice).toEqual([[1], [2], [3], [0], [1]]);
  });
});

describe.each([false, true])("outputs that are kept (asynchronous calls: %s)", (async) => {
  it("are those of the inputs they are filed under, and no later call writes to them", async () => {
    const { model } = recording(async);
    const runner = new SliceRunner(model, SETS, 2, new Random(1));
    await runner.warmUp(1, 3, 100);
    for (let slice = 0; slice < 20; slice++) await runner.run(true);
    expect(runner.kept.length).toBe(16);
    for (const { set, fetched } of runner.kept) expect([...(fetched as Float32Array)]).toEqual(Array(4).fill(set));
  });

  it("are of calls from all of a slice", async () => {
    const { model, seen } = recording(async);
    const places: number[] = [];
    for (let seed = 0; seed < 40 && places.length < 60; seed++) {
      const runner = new SliceRunner(model, SETS, 4, new Random(seed));
      await runner.warmUp(1, 3, 100);
      await runner.run(false);
      for (let slice = 0; slice < 4; slice++) {
        seen.length = 0;
        const before = runner.kept.length;
        const keep = model.release;
        let calls = 0;
        let place = -1;
        // What is kept is not released.
        model.release = (fetched) => {
          calls++;
          keep(fetched);
          if (place < 0 && runner.kept.length > before) place = calls;
        };
        await runner.run(true);
        model.release = keep;
        if (place >= 0) places.push(place / (calls + 1));
      }
    }
    expect(places.length).toBeGreaterThan(30);
    expect(Math.max(...places)).toBeGreaterThan(0.7);
    expect(places.filter((place) => place > 0.5).length).toBeGreaterThan(places.length / 5);
  });

  it("are fewer where they are large", async () => {
    const { model } = recording(async);
    const runner = new SliceRunner(model, SETS, 1, new Random(1), { outputBytes: 100 * 2 ** 20 });
    for (let slice = 0; slice < 20; slice++) await runner.run(true);
    expect(runner.kept.length).toBe(4);
  });
});

describe.each([false, true])("memory given back (asynchronous calls: %s)", (async) => {
  it("is filled with NaN at times, in slices of which nothing is kept too, and before kept calls", async () => {
    for (const keep of [false, true]) {
      const { model, found } = recording(async);
      const runner = new SliceRunner(model, SETS, 2, new Random(7));
      let poisonedSlices = 0;
      for (let slice = 0; slice < 16; slice++) {
        found.length = 0;
        await runner.run(keep);
        if (found.some((value) => Number.isNaN(value))) poisonedSlices++;
      }
      expect(poisonedSlices).toBeGreaterThan(2);
      expect(poisonedSlices).toBeLessThan(14);
    }
  });

  it("shows a call that does nothing", async () => {
    const { model } = recording(async);
    const { call } = model;
    let lazy = false;
    const free: Float32Array[] = [];
    const idle = {
      ...model,
      call: (feeds: unknown) => {
        if (!lazy) return call(feeds);
        // The memory it would have written to.
        const output = free.pop() ?? new Float32Array(4).fill(0);
        return async ? Promise.resolve(output) : output;
      },
      release: (fetched: unknown) => free.push(fetched as Float32Array),
    } as unknown as CompiledModel;
    const runner = new SliceRunner(idle, SETS, 2, new Random(3));
    await runner.warmUp(1, 3, 100);
    lazy = true;
    for (let slice = 0; slice < 12; slice++) await runner.run(true);
    expect(runner.kept.some(({ fetched }) => Number.isNaN((fetched as Float32Array)[0]))).toBe(true);
  });

  it("is no part of the time", async () => {
    const { model } = recording(async);
    const slow = {
      ...model,
      tensors: (fetched: unknown) => {
        for (const end = performance.now() + 20; performance.now() < end;);
        return model.tensors(fetched);
      },
    } as unknown as CompiledModel;
    const runner = new SliceRunner(slow, SETS, 1, new Random(7));
    const medians: number[] = [];
    for (let slice = 0; slice < 8; slice++) medians.push((await runner.run(false)).medianMs);
    // As a part of it, it would be in every one; a busy machine is in some.
    expect(Math.min(...medians)).toBeLessThan(20);
  });
});
