import { Tensor } from "@quern/core";
import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";
import { differences, modelLimits, verifyTensors, type Verification } from "./verify.ts";

const random = new Random(5);
const normal = (count: number): Float32Array => {
  const values = new Float32Array(count);
  random.fillNormal(values);
  return values;
};

/** Judges `actual` as outputs of a model whose weights were quantised. */
function judged(actual: Float32Array, expected: Float32Array, encoding: string): Verification {
  const tensor = (data: Float32Array): Tensor => new Tensor("f32", [data.length], data);
  return verifyTensors({ y: tensor(actual) }, { y: tensor(expected) }, modelLimits("medium", encoding), "file");
}

/** Encodings, and the rms error of an output that a stack of layers with random weights makes of their rounding. */
const ENCODINGS: readonly (readonly [string, number])[] = [
  ["F16", 0.005],
  ["Q8_0", 0.0275],
  ["Q6_K", 0.11],
  ["Q5_K", 0.22],
  ["Q4_K", 0.44],
  ["Q4_0", 0.44],
];

describe("outputs of quantised weights", () => {
  const expected = normal(4000);
  const noise = normal(4000);
  const noisy = (share: number): Float32Array => expected.map((value, i) => value + share * (noise[i] as number));

  it.each(ENCODINGS)("%s: the noise of rounding passes", (encoding, share) => {
    expect(judged(noisy(share), expected, encoding)).toMatchObject({ ok: true });
  });

  it.each([...ENCODINGS.map(([encoding]) => encoding), "Q2_K"])("%s: half of everything does not", (encoding) => {
    const found = judged(
      expected.map((value) => value / 2),
      expected,
      encoding,
    );
    expect(found.ok).toBe(false);
    expect(found.cosine).toBeCloseTo(1, 9);
  });

  it("says how long an output is, and how far it points elsewhere", () => {
    const half = judged(
      expected.map((value) => value / 2),
      expected,
      "Q4_K",
    );
    expect(half.message).toBe('output "y" is 0.500 times as large as expected, limit 1 ± 0.222');
    // An rms error of 0.655, within its limit.
    const aside = judged(
      expected.map((value, i) => 0.85 * (value + 0.75 * Math.sign(noise[i] as number))),
      expected,
      "Q4_K",
    );
    expect(aside.message).toMatch(/^output "y" has a cosine similarity of 0\.80\d+, limit 0\.8321$/);
  });

  it("of few numbers the length says less", () => {
    const four = expected.subarray(0, 4);
    expect(
      judged(
        four.map((value) => 0.7 * value),
        four,
        "Q4_K",
      ).ok,
    ).toBe(true);
    expect(judged(new Float32Array(4), four, "Q4_K").ok).toBe(false);
  });
});

describe("expected outputs that are NaN", () => {
  const verified = (actual: number[], wanted: number[]): Verification =>
    verifyTensors({ y: Tensor.from("f32", actual) }, { y: Tensor.from("f32", wanted) }, 1e-4, "file");

  it("everywhere are nothing to compare with", () => {
    const found = verified([NaN, NaN], [NaN, Infinity]);
    expect(found.ok).toBe(false);
    expect(found.message).toBe('the expected output "y" has no finite number, which nothing can be compared with');
  });

  it("in some places are what an op defines", () => {
    expect(verified([NaN, 1], [NaN, 1]).ok).toBe(true);
    expect(verified([0, 1], [NaN, 1]).ok).toBe(false);
    expect(verified([], []).ok).toBe(true);
  });
});

describe("differences", () => {
  it("have a cosine and a length", () => {
    expect(differences([3, 0], [0, 4])).toMatchObject({ cosine: 0, length: 0.75 });
    expect(differences([-1, -2], [1, 2]).cosine).toBeCloseTo(-1, 12);
    expect(differences([0, 0], [0, 0])).toMatchObject({ cosine: 1, length: 1 });
    expect(differences([0, 0], [1, 0])).toMatchObject({ cosine: 0, length: 0 });
    expect(differences([1, 0], [0, 0])).toMatchObject({ cosine: 0, length: Infinity });
    expect(differences([NaN, 1], [1, 1])).toMatchObject({ maxError: Infinity, cosine: 0 });
  });
});
