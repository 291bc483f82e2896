import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { NMSE_LIMIT, compareRows } from "./agreement.ts";

function row(seed: number): Float32Array {
  const values = new Float32Array(1000);
  new Random(seed).fillNormal(values);
  return values;
}

describe("compareRows", () => {
  const [a, b] = [row(1), row(2)];

  it("finds nothing between equal rows", () => {
    expect(compareRows([a, b], [a, b])).toEqual({ nmse: 0, maxError: 0, rows: 2, sameToken: 2 });
  });

  it("measures noise as the share of the power", () => {
    const noisy = a.map((value, i) => value + 0.01 * (b[i] as number));
    expect(compareRows([noisy], [a]).nmse).toBeCloseTo(1e-4, 5);
  });

  it("gives unrelated rows twice the power, and no less for one of many", () => {
    expect(compareRows([b], [a]).nmse).toBeGreaterThan(1.5);
    expect(compareRows([a, a], [a, b]).nmse).toBeGreaterThan(NMSE_LIMIT);
  });

  it("has no measure for rows that are missing, of another length, or hold NaN", () => {
    expect(compareRows([], [a]).nmse).toBe(Infinity);
    expect(compareRows([a.subarray(1)], [a]).nmse).toBe(Infinity);
    expect(compareRows([a.map((value, i) => (i === 5 ? NaN : value))], [a]).nmse).toBe(Infinity);
  });
});
