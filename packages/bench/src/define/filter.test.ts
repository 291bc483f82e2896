import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { filterBenches } from "./filter.ts";
import { editDistance, meantInstead, nearestName } from "./nearest.ts";
import { patternMatcher } from "./pattern.ts";

describe("patterns of identifiers", () => {
  const matches = (pattern: string, ...ids: string[]): boolean[] => ids.map(patternMatcher(pattern));

  it("let a star stand for text within one part and two stars for any text", () => {
    expect(matches("gemm/*/f32", "gemm/64/f32", "gemm/64/32/f32", "gemm//f32", "gemm/f32")).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(matches("gemm/**", "gemm/64/f32", "gemm/", "gemm")).toEqual([true, true, false]);
    expect(matches("**/f32", "gemm/64/f32", "f32")).toEqual([true, false]);
  });

  it("know alternatives and single characters", () => {
    expect(matches("sort/{1e3,1e4}", "sort/1e3", "sort/1e4", "sort/1e5", "sort/{1e3,1e4}")).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(matches("n=1?", "n=16", "n=1", "n=1/")).toEqual([true, false, false]);
    expect(matches("{*,x/*}/y", "a/y", "x/a/y", "z/a/y")).toEqual([true, true, false]);
  });

  it("stand for a folder where they have no sign", () => {
    expect(matches("gemm", "gemm", "gemm/64", "gemma")).toEqual([true, true, false]);
    expect(matches("gemm/", "gemm/64", "gemm")).toEqual([true, false]);
  });

  it("take every other character for itself", () => {
    expect(matches("a.c*", "a.cd", "abcd")).toEqual([true, false]);
    expect(matches("*(x)+[y]", "a(x)+[y]", "axxy")).toEqual([true, false]);
    expect(matches("{a*", "{ab", "ab")).toEqual([true, false]);
  });

  it("match every identifier that is written as itself", () => {
    const seed = 20_261;
    const random = new Random(seed);
    const letters = Array.from("ab/.*?{},[]()|+$^\\-=");
    for (let trial = 0; trial < 500; trial++) {
      const id = Array.from({ length: 1 + random.below(8) }, () => letters[random.below(letters.length)]).join("");
      expect(patternMatcher(id)(id), `${id}, seed ${seed}`).toBe(true);
    }
  });
});

describe("filters", () => {
  const benches = [
    { id: "gemm/64/f32", params: { n: 64, dtype: "f32" } },
    { id: "gemm/64/f16", params: { n: 64, dtype: "f16" } },
    { id: "gemm/128/f32", params: { n: 128, dtype: "f32" } },
    { id: "sort/1e4" },
  ];
  const chosen = (...filter: string[]): string[] => filterBenches(benches, filter).map(({ id }) => id);

  it("choose everything where there are none", () => {
    expect(chosen()).toEqual(benches.map(({ id }) => id));
  });

  it("add patterns up and hold conditions together", () => {
    expect(chosen("gemm/*/f32", "sort/*")).toEqual(["gemm/64/f32", "gemm/128/f32", "sort/1e4"]);
    expect(chosen("gemm/*/f32 n=64")).toEqual(["gemm/64/f32"]);
    expect(chosen("n=64", "dtype=f32")).toEqual(["gemm/64/f32"]);
    expect(chosen("n=64,128", "dtype=f*")).toHaveLength(3);
    expect(chosen("n=1e2,6.4e1")).toHaveLength(2);
  });

  it("exclude", () => {
    expect(chosen("!gemm/64")).toEqual(["gemm/128/f32", "sort/1e4"]);
    expect(chosen("gemm", "dtype!=f16")).toEqual(["gemm/64/f32", "gemm/128/f32"]);
    expect(chosen("dtype!=f16")).toContain("sort/1e4");
  });

  it("are errors when they choose nothing", () => {
    expect(() => chosen("gemm/64 n=128")).toThrow("the filter leaves no bench");
    expect(() => chosen("!**")).toThrow("the filter leaves no bench");
    expect(() => chosen(" ")).toThrow("the filter is empty");
  });

  it("are errors when one term speaks of nothing, though others do", () => {
    expect(() => chosen("sort/*", "gem/64/f32")).toThrow(/no bench is named like "gem\/64\/f32".*\n.*"gemm\/64\/f32"/s);
    expect(() => chosen("typ=f32")).toThrow(/no bench has a parameter "typ".*There are: dtype, n/s);
    expect(() => chosen("dtyp=f32")).toThrow('Did you mean "dtype"?');
    expect(() => chosen("dtype=f64")).toThrow("no bench has dtype=f64");
    expect(() => chosen("n=")).toThrow('"n=" names no value');
    expect(() => chosen("!")).toThrow('"!" is no filter');
  });
});

describe("nearest names", () => {
  it("count a swap of neighbours as one edit", () => {
    expect(editDistance("detla", "delta")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });

  it("are named only where they are near", () => {
    expect(nearestName("Benchs", ["benches", "files"])).toBe("benches");
    expect(nearestName("colour", ["benches", "files"])).toBeUndefined();
    expect(meantInstead("colour", ["benches", "files"])).toBe("There are: benches, files.");
    expect(meantInstead("x", [])).toBe("There is none.");
  });
});
