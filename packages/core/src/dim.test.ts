import { describe, expect, test } from "vitest";
import {
  type Dim,
  dimAdd,
  dimCeilDiv,
  dimFloorDiv,
  dimMax,
  dimMin,
  dimMod,
  dimMul,
  dimSub,
  evaluateDim,
  parseDim,
  printDim,
  sameDim,
  substituteDim,
  symbol,
} from "./dim.ts";

const n = symbol("n");
const m = symbol("m");

describe("dimensions", () => {
  test("equal polynomials print alike", () => {
    expect(printDim(dimAdd(dimMul(n, 2), dimAdd(m, 3)))).toBe("m + 2*n + 3");
    expect(printDim(dimMul(dimAdd(n, 1), dimSub(n, 1)))).toBe("n*n - 1");
    expect(sameDim(dimMul(dimAdd(n, m), 2), dimAdd(dimMul(m, 2), dimMul(2, n)))).toBe(true);
  });

  test("what cancels is a number", () => {
    expect(dimSub(n, n)).toBe(0);
    expect(dimSub(dimAdd(n, 5), n)).toBe(5);
    expect(dimFloorDiv(dimMul(n, 12), dimMul(n, 4))).toBe(3);
    expect(dimMod(dimMul(n, 6), 3)).toBe(0);
  });

  test("exact quotients simplify, others stay", () => {
    expect(printDim(dimFloorDiv(dimAdd(dimMul(n, 4), 8), 4))).toBe("n + 2");
    expect(printDim(dimFloorDiv(n, 2))).toBe("floordiv(n, 2)");
  });

  test("random expressions survive printing and parsing and agree with integers", () => {
    const seed = Date.now() % 100_000;
    let state = seed;
    const random = (below: number): number => (state = (state * 48271 + 11) % 2147483647) % below;
    const make = (depth: number): Dim => {
      if (depth === 0) return [n, m, random(7), random(4)][random(4)] as Dim;
      const a = make(depth - 1);
      const b = make(depth - 1);
      switch (random(7)) {
        case 0:
          return dimSub(a, b);
        case 1:
          return dimMul(a, b);
        case 2:
          return dimFloorDiv(a, 1 + random(5));
        case 3:
          return dimMax(a, b);
        case 4:
          return dimMin(a, b);
        case 5:
          return dimCeilDiv(a, 1 + random(5));
        default:
          return dimAdd(a, b);
      }
    };
    for (let i = 0; i < 300; i++) {
      const dim = make(3);
      const again = parseDim(printDim(dim));
      const bindings = { n: random(20), m: random(20) };
      expect(printDim(again), `seed ${seed}`).toBe(printDim(dim));
      expect(evaluateDim(again, bindings), `seed ${seed}: ${printDim(dim)}`).toBe(evaluateDim(dim, bindings));
      const replaced = substituteDim(dim, (name) => (name === "n" ? bindings.n : undefined));
      expect(evaluateDim(replaced, bindings), `seed ${seed}`).toBe(evaluateDim(dim, bindings));
    }
  });

  test("a symbol without a value is a user error", () => {
    expect(() => evaluateDim(n, {})).toThrow('dimension symbol "n" has no value');
    expect(() => parseDim("n +")).toThrow("cannot read dimension");
    expect(() => symbol("2x")).toThrow("is not an identifier");
  });
});
