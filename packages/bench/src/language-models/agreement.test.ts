import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { COSINE_LIMIT, NMSE_LIMIT, compareRows, disagreement } from "./agreement.ts";

function row(seed: number): Float32Array {
  const values = new Float32Array(1000);
  new Random(seed).fillNormal(values);
  return values;
}

describe("compareRows", () => {
  const [a, b] = [row(1), row(2)];

  it("finds nothing between equal rows", () => {
    expect(compareRows([a, b], [a, b])).toMatchObject({ nmse: 0, maxError: 0, rows: 2, sameToken: 2 });
    expect(compareRows([a, b], [a, b]).cosine).toBeCloseTo(1, 12);
    expect(disagreement(compareRows([a, b], [a, b]))).toBeUndefined();
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
    const nothing = new Float32Array(1000).fill(NaN);
    expect(compareRows([nothing], [nothing])).toMatchObject({ nmse: Infinity, cosine: 0, sameToken: 0 });
    expect(disagreement(compareRows([a, nothing], [a, nothing]))).toBeDefined();
  });

  it("what rounding does is agreement, a few times as much is none", () => {
    const noisy = (share: number): Float32Array => a.map((value, i) => value + share * (b[i] as number));
    // Of 16 layers with weights in 4.5 bits: NMSE 0.0022.
    expect(disagreement(compareRows([noisy(0.047)], [a]))).toBeUndefined();
    expect(disagreement(compareRows([noisy(0.2)], [a]))).toMatch(/normalised mean square error 4\.\d+e-2, limit 0\.02/);
    expect(compareRows([noisy(0.1)], [a]).cosine).toBeGreaterThan(COSINE_LIMIT);
  });

  it("logits that are all half as large are not the same", () => {
    const half = compareRows([a.map((value) => value / 2)], [a]);
    expect(half.cosine).toBeCloseTo(1, 6);
    expect(disagreement(half)).toContain("normalised mean square error");
  });

  it("another most likely token is noise where two logits are nearly equal, and else something else", () => {
    const top = a.slice();
    const noise = a.map((value, i) => value + 0.01 * (b[i] as number));
    top[3] = noise[3] = 10;
    top[7] = 9.99;
    noise[7] = 10.01;
    const near = compareRows([noise], [top]);
    expect(near).toMatchObject({ sameToken: 0, otherToken: 0 });
    expect(disagreement(near)).toBeUndefined();
    top[7] = 9;
    const far = compareRows([noise], [top]);
    expect(far.nmse).toBeLessThan(NMSE_LIMIT);
    expect(disagreement(far)).toContain("another most likely token in 1 of 1 rows");
  });
});
