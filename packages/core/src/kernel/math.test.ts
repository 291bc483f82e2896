import { expect, test } from "vitest";
import { type KValue, KernelBuilder, interpretKernel, kernelMath, scalarType, seededRandom } from "./index.ts";

type Unary = (k: KernelBuilder, x: KValue) => KValue;

/** Runs a function of the kernel language on every element. */
function evaluate(
  name: string,
  inputs: readonly (Float32Array | Float64Array)[],
  body: (k: KernelBuilder, args: KValue[]) => KValue,
): Float32Array | Float64Array {
  const k = new KernelBuilder(name);
  const first = inputs[0] as Float32Array | Float64Array;
  const dtype = first instanceof Float32Array ? "f32" : "f64";
  const buffers = inputs.map((_, i) => k.buffer(`x${i}`, dtype, first.length));
  const y = k.buffer("y", dtype, first.length, { access: "write" });
  k.for({ end: first.length }, (i) =>
    k.store(
      y,
      i,
      body(
        k,
        buffers.map((buffer) => k.load(buffer, i)),
      ),
    ),
  );
  const out = dtype === "f32" ? new Float32Array(first.length) : new Float64Array(first.length);
  const given = Object.fromEntries(inputs.map((data, i) => [`x${i}`, data]));
  interpretKernel(k.finish(), { buffers: { ...given, y: out } }, { checkRaces: false });
  return out;
}

/** Distance between f32 or f64 neighbours at |x|. */
function ulp(x: number, bits: 24 | 53): number {
  const [minimum, precision] = bits === 24 ? [-149, 24] : [-1074, 53];
  if (x === 0) return 2 ** minimum;
  const exponent = Math.floor(Math.log2(Math.abs(x)));
  return 2 ** Math.max(minimum, exponent - precision + 1);
}

function sameSpecial(got: number, want: number): boolean {
  return Object.is(got, want) || (Number.isNaN(got) && Number.isNaN(want));
}

/** Largest error in ulp; infinite where a NaN, an infinity or the sign of a zero is wrong. */
function worstUlp(
  inputs: readonly (Float32Array | Float64Array)[],
  got: Float32Array | Float64Array,
  reference: (...x: number[]) => number,
): { ulps: number; at: number[] } {
  let worst = { ulps: 0, at: [] as number[] };
  const bits = got instanceof Float32Array ? 24 : 53;
  for (let i = 0; i < got.length; i++) {
    const x = inputs.map((input) => input[i] as number);
    const exact = reference(...x);
    const want = bits === 24 ? Math.fround(exact) : exact;
    const y = got[i] as number;
    let ulps = 0;
    if (Number.isNaN(want) || want === 0 || !Number.isFinite(want) || !Number.isFinite(y)) {
      // One step over the edge to infinity or zero counts as an ulp.
      const edge = Math.abs(want) === Infinity || Math.abs(y) === Infinity ? 3.4028235e38 : 0;
      ulps = sameSpecial(y, want) ? 0 : edge === 0 && want === 0 && Math.abs(y) <= 2 ** -149 ? 1 : Infinity;
      if (
        ulps === Infinity &&
        edge > 0 &&
        Math.sign(want) === Math.sign(y) &&
        Math.min(Math.abs(want), Math.abs(y)) > 3.4028e38
      )
        ulps = 1;
    } else {
      ulps = Math.abs(y - exact) / ulp(exact, bits);
    }
    if (ulps > worst.ulps) worst = { ulps, at: x };
  }
  return worst;
}

const SPECIALS = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  2,
  Infinity,
  -Infinity,
  Number.NaN,
  2 ** -149,
  -(2 ** -149),
  2 ** -130,
  -(2 ** -127),
  3.4028234663852886e38,
  -3.4028234663852886e38,
];
const COUNT = 40_000;

function points(seed: number, low: number, high: number, double = false): Float32Array | Float64Array {
  const random = seededRandom(seed);
  const data = double ? new Float64Array(COUNT) : new Float32Array(COUNT);
  for (let i = 0; i < COUNT; i++) {
    if (i < SPECIALS.length) data[i] = SPECIALS[i] as number;
    // A third each: even over the range, clustered at zero, and log-uniform in magnitude within the range.
    else if (i % 3 === 0) data[i] = low + (high - low) * random();
    else if (i % 3 === 1) data[i] = Math.min(Math.max((random() - 0.5) * 4, low), high);
    else data[i] = Math.min(Math.max((random() < 0.5 ? -1 : 1) * 2 ** (random() * 60 - 50), low), high);
  }
  return data;
}

/** erf in f64: Taylor series for small, continued fraction of erfc for large arguments. */
function erf64(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum) && n < 200; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

/** Name, function, reference, range of the points, bound in ulp. */
const CASES: readonly (readonly [string, Unary, (x: number) => number, number, number, number])[] = [
  ["exp", kernelMath.exp, Math.exp, -110, 95, 1],
  ["exp2", kernelMath.exp2, (x) => 2 ** x, -155, 130, 1],
  ["expm1", kernelMath.expm1, Math.expm1, -30, 92, 1.5],
  [
    "sigmoid",
    kernelMath.sigmoid,
    (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    -110,
    110,
    2,
  ],
  ["tanh", kernelMath.tanh, Math.tanh, -20, 20, 2],
  ["sinh", kernelMath.sinh, Math.sinh, -92, 92, 2],
  ["cosh", kernelMath.cosh, Math.cosh, -92, 92, 2],
  ["erf", kernelMath.erf, erf64, -5, 5, 2],
  ["log", kernelMath.log, Math.log, -1, 1e10, 1],
  ["log2", kernelMath.log2, Math.log2, -1, 1e10, 2],
  ["log10", kernelMath.log10, Math.log10, -1, 1e10, 2],
  ["log1p", kernelMath.log1p, Math.log1p, -1.5, 1e10, 2],
  ["softplus", kernelMath.softplus, (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), -110, 110, 3],
  ["asinh", kernelMath.asinh, Math.asinh, -1e12, 1e12, 3],
  ["acosh", kernelMath.acosh, Math.acosh, 0, 1e12, 3],
  ["atanh", kernelMath.atanh, Math.atanh, -1.1, 1.1, 3],
  ["sin", kernelMath.sin, Math.sin, -1e5, 1e5, 2],
  ["cos", kernelMath.cos, Math.cos, -1e5, 1e5, 2],
  ["tan", kernelMath.tan, Math.tan, -1e5, 1e5, 3],
  ["asin", kernelMath.asin, Math.asin, -1.1, 1.1, 2.5],
  ["acos", kernelMath.acos, Math.acos, -1.1, 1.1, 2],
  ["atan", kernelMath.atan, Math.atan, -1e6, 1e6, 2],
  ["rsqrt", kernelMath.rsqrt, (x) => 1 / Math.sqrt(x), -1, 1e10, 1.5],
];

test.for(CASES)("%s (f32) keeps its error bound", ([name, f, reference, low, high, bound]) => {
  const seed = 1;
  let x = points(seed, low, high);
  // The largest numbers have no meaning for the circular functions.
  if (["sin", "cos", "tan"].includes(name)) x = x.filter((v) => !(Math.abs(v) > 1e38 && Number.isFinite(v)));
  const got = evaluate(name, [x], (k, [a]) => f(k, a as KValue));
  const worst = worstUlp([x], got, reference);
  expect(worst.ulps, `${name} at ${worst.at.join(", ")} (seed ${seed})`).toBeLessThanOrEqual(bound);
});

// The references are JavaScript's f64 functions, good to an ulp themselves.
const CASES_F64: readonly (readonly [string, Unary, (x: number) => number, number, number, number])[] = [
  ["exp", kernelMath.exp, Math.exp, -700, 700, 2],
  ["exp2", kernelMath.exp2, (x) => 2 ** x, -1000, 1000, 2],
  ["expm1", kernelMath.expm1, Math.expm1, -40, 700, 3],
  ["log", kernelMath.log, Math.log, 0, 1e10, 2],
  ["log2", kernelMath.log2, Math.log2, 0, 1e10, 3],
  ["log10", kernelMath.log10, Math.log10, 0, 1e10, 3],
  ["log1p", kernelMath.log1p, Math.log1p, -0.999, 1e10, 3],
  ["sin", kernelMath.sin, Math.sin, -1e5, 1e5, 2],
  ["cos", kernelMath.cos, Math.cos, -1e5, 1e5, 2],
  ["tanh", kernelMath.tanh, Math.tanh, -30, 30, 4],
  [
    "sigmoid",
    kernelMath.sigmoid,
    (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    -700,
    700,
    4,
  ],
];

test.for(CASES_F64)("%s (f64) keeps its error bound", ([name, f, reference, low, high, bound]) => {
  const x = points(2, low, high, true).filter((v) => Math.abs(v) < 1e30 && Math.abs(v) > 1e-30);
  const got = evaluate(name, [x], (k, [a]) => f(k, a as KValue));
  const worst = worstUlp([x], got, reference);
  expect(worst.ulps, `${name} at ${worst.at.join(", ")} (seed 2)`).toBeLessThanOrEqual(bound);
});

test("pow keeps its error bound and the special cases of IEEE 754", () => {
  const seed = 3;
  const random = seededRandom(seed);
  const exponents = [
    0,
    -0,
    1,
    -1,
    2,
    3,
    -3,
    0.5,
    -0.5,
    2.5,
    1e10,
    -1e10,
    Infinity,
    -Infinity,
    Number.NaN,
    16777217,
    2 ** -149,
  ];
  const bases: number[] = [];
  const powers: number[] = [];
  for (const x of [...SPECIALS, 3, -3, -2, 1.5, 0.999999, 1.0000001]) {
    for (const y of exponents) {
      bases.push(x);
      powers.push(y);
    }
  }
  for (let i = 0; i < COUNT; i++) {
    const x = i % 2 === 0 ? 2 ** (random() * 40 - 20) : 1 + (random() - 0.5) * 2 ** -(random() * 20);
    // Results over the whole range of f32.
    const y = ((random() * 2 - 1) * 128) / Math.abs(Math.log2(x) || 1);
    bases.push(i % 5 === 0 ? -x : x);
    powers.push(i % 5 === 0 ? Math.round(y) : y);
  }
  const x = Float32Array.from(bases);
  const y = Float32Array.from(powers);
  const got = evaluate("pow", [x, y], (k, [a, b]) => kernelMath.pow(k, a as KValue, b as KValue));
  // JavaScript's ** gives NaN for 1 ** NaN and (±1) ** ±Infinity, where IEEE 754 gives 1.
  const worst = worstUlp([x, y], got, (a, b) =>
    a === 1 || (Math.abs(a) === 1 && Math.abs(b) === Infinity) ? 1 : a ** b,
  );
  expect(worst.ulps, `pow at ${worst.at.join(", ")} (seed ${seed})`).toBeLessThanOrEqual(2);
});

test("fmod and mod agree with exact remainders", () => {
  const random = seededRandom(4);
  const a = Float32Array.from({ length: 5000 }, (_, i) =>
    i < SPECIALS.length ? (SPECIALS[i] as number) % 1e6 : (random() - 0.5) * 2000,
  );
  const b = Float32Array.from({ length: 5000 }, (_, i) =>
    i % 7 === 0 ? Math.round(random() * 9 + 1) : (random() - 0.5) * 50,
  );
  a[20] = 5;
  b[20] = Infinity;
  const truncated = evaluate("fmod", [a, b], (k, [x, y]) => kernelMath.fmod(k, x as KValue, y as KValue));
  expect(worstUlp([a, b], truncated, (x, y) => x % y)).toEqual({ ulps: 0, at: [] });
});

test("integer mod and floorDiv round towards minus infinity", () => {
  const k = new KernelBuilder("ints");
  const i32 = scalarType("i32");
  const value = (f: typeof kernelMath.mod, a: number, b: number): unknown =>
    (f(k, k.const(i32, a), k.const(i32, b)).def as { value: unknown }).value;
  const pairs = [
    [7, 3],
    [-7, 3],
    [7, -3],
    [-7, -3],
    [6, 3],
    [-6, 3],
    [0, 5],
  ] as const;
  for (const [a, b] of pairs) {
    expect(value(kernelMath.floorDiv, a, b)).toBe(Math.floor(a / b) + 0);
    expect(value(kernelMath.mod, a, b)).toBe(a - b * Math.floor(a / b));
  }
});

test("ieeeMin, ieeeMax, sign and the NaN tests", () => {
  const x = Float32Array.of(1, Number.NaN, 2, -3, -0, Infinity);
  const y = Float32Array.of(2, 1, Number.NaN, -5, 3, -Infinity);
  const run = (f: (k: KernelBuilder, a: KValue, b: KValue) => KValue): number[] => [
    ...evaluate("pair", [x, y], (k, [a, b]) => f(k, a as KValue, b as KValue)),
  ];
  expect(run(kernelMath.ieeeMin)).toEqual([1, Number.NaN, Number.NaN, -5, -0, -Infinity]);
  expect(run(kernelMath.ieeeMax)).toEqual([2, Number.NaN, Number.NaN, -3, 3, Infinity]);
  expect(run((k, a) => kernelMath.sign(k, a))).toEqual([1, Number.NaN, 1, -1, -0, 1]);
  expect(run((k, a) => k.cast(kernelMath.isNaN(k, a), "f32"))).toEqual([0, 1, 0, 0, 0, 0]);
  expect(run((k, a) => k.cast(kernelMath.isInf(k, a), "f32"))).toEqual([0, 0, 0, 0, 0, 1]);
});
