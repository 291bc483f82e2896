import { expect, it } from "vitest";
import { steadyTail } from "./steady.ts";

it("compares the medians of the last two thirds", () => {
  const flat = [...Array<number>(10).fill(300), ...Array<number>(20).fill(100)];
  expect(steadyTail(flat, 10)).toBe(true);
  const falling = Array.from({ length: 30 }, (_, i) => 130 - i);
  expect(steadyTail(falling, 10)).toBe(false);
  // Extended by a third each time, the early part leaves the comparison.
  expect(steadyTail([...falling, ...Array<number>(10).fill(101)], 10)).toBe(false);
  expect(steadyTail([...falling, ...Array<number>(20).fill(101)], 10)).toBe(true);
  // Single slow slices are no trend.
  expect(
    steadyTail(
      flat.map((time, i) => (i % 7 === 0 ? 3 * time : time)),
      10,
    ),
  ).toBe(true);
  // Noise as large as the difference is none either, a trend above it is.
  const noisy = (slope: number): number[] => Array.from({ length: 30 }, (_, i) => 100 + 15 * (-1) ** i - slope * i);
  expect(steadyTail(noisy(0.3), 10)).toBe(true);
  expect(steadyTail(noisy(2), 10)).toBe(false);
});
