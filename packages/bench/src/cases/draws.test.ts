import { expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { distributionOf, drawsOf, setKind } from "./draws.ts";

const COUNT = 200_000;

function numbers(set: number, seed: number, scale = 3): Float32Array {
  const draw = drawsOf({ kind: "normal", scale }, set, Random.of(seed, set));
  return Float32Array.from({ length: COUNT }, draw);
}

const rms = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / COUNT);

it("the smallest pool has one set of each kind, larger ones more normal sets", () => {
  expect([0, 1, 2, 3, 7].map(setKind)).toEqual(["normal", "structured", "adversarial", "normal", "normal"]);
});

it("every set has the same rms, signs of both kinds, and neither zeros nor denormals", () => {
  for (const set of [0, 1, 2, 5]) {
    const values = numbers(set, 11);
    expect(rms(values) / 3, `set ${set}`).toBeCloseTo(1, 1);
    expect(values.filter((value) => value > 0).length / COUNT).toBeCloseTo(0.5, 1);
    expect(values.every((value) => Math.abs(value) > 1e-12)).toBe(true);
  }
});

it("the structured set repeats, the adversarial one covers its decades evenly", () => {
  const wave = numbers(1, 5);
  // A sine is the solution of y(i + 1) + y(i - 1) = c y(i): the same c everywhere.
  const ratio = (i: number): number => ((wave[i + 1] as number) + (wave[i - 1] as number)) / (wave[i] as number);
  const steep = [...wave.keys()].slice(1, 200).filter((i) => Math.abs(wave[i] as number) > 1);
  for (const i of steep) expect(ratio(i)).toBeCloseTo(ratio(steep[0] as number), 3);
  const exponents = numbers(2, 5).map((value) => Math.log10(Math.abs(value)));
  const largest = exponents.reduce((most, exponent) => Math.max(most, exponent));
  const decades = Array.from({ length: 6 }, (_, d) => exponents.filter((e) => Math.floor(largest - e) === d).length);
  for (const count of decades) expect(count / COUNT).toBeCloseTo(1 / 6, 1);
});

it("says what was drawn", () => {
  expect(distributionOf({ kind: "normal", scale: 2 })).toMatch(/^N\(0, 2²\); set 1 a sine .* over 6 decades/);
  expect(distributionOf({ kind: "integers", below: 7 })).toBe("integers, uniform below 7");
});
