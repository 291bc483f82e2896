import { describe, expect, it } from "vitest";
import type { CompiledModel } from "../engines/engine.ts";
import { Random } from "./random.ts";
import { SliceRunner } from "./slices.ts";

/** A model that writes down which inputs each call has. */
function recording(): { readonly model: CompiledModel; readonly seen: number[] } {
  const seen: number[] = [];
  const model = {
    async: false,
    call(feeds: unknown) {
      seen.push(feeds as number);
      for (const end = performance.now() + 0.2; performance.now() < end;);
      return feeds;
    },
    release: () => {},
  } as unknown as CompiledModel;
  return { model, seen };
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
    const runner = new SliceRunner(model, SETS, 2, new Random(1), true);
    await runner.warmUp(1, 3, 100); // the slices' lengths in calls follow from it
    const perSlice: number[][] = [];
    for (let slice = 0; slice < 5; slice++) {
      seen.length = 0;
      await runner.run(true);
      perSlice.push([...new Set(seen)]);
      expect(seen.length).toBeGreaterThan(2);
    }
    expect(perSlice).toEqual([[1], [2], [3], [0], [1]]);
    expect(runner.kept.map(({ set, fetched }) => set === fetched)).toEqual(runner.kept.map(() => true));
    expect(runner.kept.length).toBeGreaterThan(0);
  });
});
