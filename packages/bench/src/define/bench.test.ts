import { describe, expect, it } from "vitest";
import { benchesOfModule, checkBench, defineBench } from "./bench.ts";

const run = (): number => 1;

describe("defineBench", () => {
  it("gives the record back", () => {
    const bench = { id: "sort/1e4", params: { n: 4, kind: "f32" }, run, work: { flops: 8 }, delta: 0.03, tolerance: 0 };
    expect(defineBench(bench)).toBe(bench);
  });

  it.each([
    [undefined, "must be an object made by defineBench"],
    [{ run }, '"id" is missing'],
    [{ id: "a" }, 'bench "a": "run" is missing'],
    [{ id: "a b", run }, 'bench "a b": not a usable id'],
    [{ id: "ctl.fma", run }, 'ids with "ctl." are control kernels'],
    [{ id: "a", run, setUp: run }, 'bench "a" has no "setUp"'],
    [{ id: "a", run: 3 }, '"run" must be of type function, not number'],
    [{ id: "a", run, work: null }, '"work" must be of type object, not null'],
    [{ id: "a", run, work: { flop: 1 } }, 'work has no "flop"'],
    [{ id: "a", run, work: { flops: Number.NaN } }, "work.flops must be a positive number"],
    [{ id: "a", run, delta: 2 }, "delta must lie between 0 and 1"],
    [{ id: "a", run, tolerance: -1 }, "tolerance must be 0 or more"],
    [{ id: "a", run, params: { n: [1] } }, 'parameter "n" must be a string or a number'],
  ])("refuses %o", (bench, message) => {
    expect(() => checkBench(bench, "bench/a.bench.ts")).toThrow(message);
    expect(() => checkBench(bench, "bench/a.bench.ts")).toThrow("bench/a.bench.ts");
  });
});

describe("benchesOfModule", () => {
  it("takes one bench or several", () => {
    expect(benchesOfModule({ id: "a", run }, "f").map(({ id }) => id)).toEqual(["a"]);
    expect(
      benchesOfModule(
        [
          { id: "a", run },
          { id: "b", run },
        ],
        "f",
      ).map(({ id }) => id),
    ).toEqual(["a", "b"]);
    expect(benchesOfModule({ id: "ctl.fma", run }, "f", true)).toHaveLength(1);
  });

  it.each([
    [undefined, "no default export"],
    [[], "exports no bench"],
    [
      [
        { id: "a", run },
        { id: "a", run },
      ],
      'bench "a" is defined twice',
    ],
  ])("refuses %o", (exported, message) => expect(() => benchesOfModule(exported, "f")).toThrow(message));
});
