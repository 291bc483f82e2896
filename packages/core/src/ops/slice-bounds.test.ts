import { expect, test } from "vitest";
import { type Dim, dimAdd, dimMul, evaluateDim, printDim, symbol } from "../dim.ts";
import { sliceAxis } from "./slice-bounds.ts";

/** Indices that Python's `list(range(size))[start:end:step]` gives. */
function pythonSlice(size: number, start: number, end: number, step: number): number[] {
  const clamp = (index: number): number => {
    const at = index < 0 ? index + size : index;
    return step > 0 ? Math.min(Math.max(at, 0), size) : Math.min(Math.max(at, -1), size - 1);
  };
  const indices: number[] = [];
  for (let at = clamp(start); step > 0 ? at < clamp(end) : at > clamp(end); at += step) indices.push(at);
  return indices;
}

const BOUNDS = [-(2 ** 63), -7, -3, -2, -1, 0, 1, 2, 3, 7, 2 ** 31 - 1, 2 ** 63];

test("known sizes slice as in Python", () => {
  for (const size of [0, 1, 2, 5]) {
    for (const start of BOUNDS) {
      for (const end of BOUNDS) {
        for (const step of [1, 2, 3, -1, -2]) {
          const plan = sliceAxis(size, start, end, step) as { start: number; size: number };
          const indices = Array.from({ length: plan.size }, (_, i) => plan.start + i * step);
          expect(indices, `${size}: [${start}:${end}:${step}]`).toEqual(pythonSlice(size, start, end, step));
        }
      }
    }
  }
});

test("symbolic sizes agree once they are large enough", () => {
  const n = symbol("n");
  for (const start of BOUNDS) {
    for (const end of BOUNDS) {
      for (const step of [1, 2, -1]) {
        const plan = sliceAxis(n, start, end, step);
        for (const size of [8, 11]) {
          const expected = pythonSlice(size, start, end, step);
          const count = evaluateDim(plan.size, { n: size });
          const what = `${size}: [${start}:${end}:${step}], size ${printDim(plan.size)}`;
          // A slice that runs backwards from its bounds is empty, however far.
          expect(Math.max(count, 0), what).toBe(expected.length);
          if (expected.length > 0) expect(evaluateDim(plan.start, { n: size }), what).toBe(expected[0]);
        }
      }
    }
  }
});

test("bounds that are symbolic themselves", () => {
  const n = symbol("n");
  const plan = (size: Dim, start: Dim, end: Dim): string => {
    const { start: first, size: count } = sliceAxis(size, start, end, 1);
    return `${printDim(first)}+${printDim(count)}`;
  };
  expect(plan(512, 0, n)).toBe("0+n");
  expect(plan(n, 0, 2 ** 63)).toBe("0+n");
  expect(plan(n, -1, 2 ** 63)).toBe("n - 1+1");
  expect(plan(dimAdd(n, 4), 2, 2 ** 63)).toBe("2+n + 2");
  expect(plan(dimMul(n, 2), n, 2 ** 63)).toBe("n+n");
});
