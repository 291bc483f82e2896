/**
 * Conversions: between numbers of different sizes and kinds, in vectors and scalars.
 */
import { readElement, roundTiesEven, writeElement } from "@quern/core";
import type { Operand, Reg } from "../../asm/index.ts";
import { bytesOf, vectorBytes, view } from "./lanes.ts";
import type { Element, Numbers } from "./lanes.ts";
import { toBytes } from "./machine.ts";
import type { Handler } from "./machine.ts";

type Convert = (x: number) => number | bigint;

/**
 * Element by element; sources or results that are narrower take part of a register, the rest is zero. `results` says
 * how many elements: as many as fit the wider side of the widest register named.
 */
function convert(from: Element, to: Element, f: Convert): Handler {
  const [a, b] = [bytesOf(from), bytesOf(to)];
  return (m, instr) => {
    const [target, source] = instr.operands as [Operand, Operand];
    const width = vectorBytes(m, instr);
    // The destination alone may be a narrow register, and memory of any size.
    const targetBytes = target.kind === "reg" ? m.sizeOf(target, 0) : Infinity;
    const sourceBytes = source.kind === "reg" ? m.sizeOf(source, 0) : Infinity;
    const count = Math.min(width / Math.min(a, b), targetBytes / b, sourceBytes / a, width / Math.max(a, b));
    const given = view(m.source(source, count * a, a, m.mask()), from);
    const out = new Uint8Array(count * b);
    const result = view(out, to);
    for (let i = 0; i < count; i++) result[i] = f(given[i] as number) as number;
    if (from.startsWith("f") && to.startsWith("f")) quietNaNs(given, result, from, to);
    m.setVector(target, target.kind === "reg" && out.length < 16 ? padded(out) : out, b);
  };
}

function padded(bytes: Uint8Array): Uint8Array {
  const full = new Uint8Array(16);
  full.set(bytes);
  return full;
}

/** A NaN keeps its sign and the top of its payload. */
function quietNaNs(from: Numbers, to: Numbers, fromElement: Element, toElement: Element): void {
  for (let i = 0; i < to.length; i++) {
    if (to[i] === to[i]) continue;
    if (fromElement === "f32" && toElement === "f64") {
      const bits = BigInt(new Uint32Array(from.buffer as ArrayBuffer)[i] as number);
      new BigUint64Array(to.buffer as ArrayBuffer)[i] =
        ((bits >> 31n) << 63n) | 0x7ff8000000000000n | ((bits & 0x7fffffn) << 29n);
    } else if (fromElement === "f64" && toElement === "f32") {
      const bits = new BigUint64Array(from.buffer as ArrayBuffer)[i] as bigint;
      new Uint32Array(to.buffer as ArrayBuffer)[i] = Number(
        ((bits >> 63n) << 31n) | 0x7fc00000n | ((bits >> 29n) & 0x7fffffn),
      );
    }
  }
}

/** To an integer of `bits` bits; what does not fit is the "integer indefinite". */
function toInteger(round: (x: number) => number, bits: number, signed: boolean): Convert {
  const [low, high] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1)] : [0, 2 ** bits];
  return (x) => {
    const rounded = round(x);
    const fits = rounded >= low && rounded < high;
    if (bits === 64) return fits ? BigInt(rounded) : signed ? -(2n ** 63n) : 2n ** 64n - 1n;
    return fits ? rounded : signed ? low : high - 1;
  };
}

/** BigInt to the nearest f32: Number() and fround would round twice. */
function bigToF32(x: bigint): number {
  const negative = x < 0n;
  const magnitude = negative ? -x : x;
  const extra = magnitude.toString(2).length - 24;
  if (extra <= 0) return Number(x);
  let kept = magnitude >> BigInt(extra);
  const rest = magnitude - (kept << BigInt(extra));
  const half = 1n << BigInt(extra - 1);
  if (rest > half || (rest === half && kept % 2n === 1n)) kept += 1n;
  const value = Number(kept) * 2 ** extra;
  return negative ? -value : value;
}

const INTEGERS = {
  dq: ["i32", 32, true],
  udq: ["u32", 32, false],
  qq: ["i64", 64, true],
  uqq: ["u64", 64, false],
} as const;

function rows(): Record<string, Handler> {
  const all: Record<string, Handler> = {};
  for (const [name, [element, bits, signed]] of Object.entries(INTEGERS)) {
    for (const [letter, float] of [
      ["ps", "f32"],
      ["pd", "f64"],
    ] as const) {
      all[`vcvt${letter}2${name}`] = convert(float, element, toInteger(roundTiesEven, bits, signed));
      all[`vcvtt${letter}2${name}`] = convert(float, element, toInteger(Math.trunc, bits, signed));
      all[`vcvt${name}2${letter}`] = convert(element, float, (x) =>
        typeof x === "bigint" ? (float === "f32" ? bigToF32(x) : Number(x)) : x,
      );
    }
  }
  all["vcvtps2pd"] = convert("f32", "f64", (x) => x);
  all["vcvtpd2ps"] = convert("f64", "f32", Math.fround);
  for (const [letter, from] of [
    ["b", "i8"],
    ["w", "i16"],
    ["d", "i32"],
  ] as const) {
    for (const [target, to] of [
      ["w", "i16"],
      ["d", "i32"],
      ["q", "i64"],
    ] as const) {
      const widen: Convert = to === "i64" ? (x) => BigInt(x) : (x) => x;
      all[`vpmovsx${letter}${target}`] = convert(from, to, widen);
      all[`vpmovzx${letter}${target}`] = convert(from.replace("i", "u") as Element, to, widen);
    }
  }
  for (const [letter, from] of [
    ["w", "i16"],
    ["d", "i32"],
    ["q", "i64"],
  ] as const) {
    for (const [target, to] of [
      ["b", "i8"],
      ["w", "i16"],
      ["d", "i32"],
    ] as const) {
      if (bytesOf(to) >= bytesOf(from)) continue;
      const bits = bytesOf(to) * 8;
      const clamp =
        (low: bigint, high: bigint): Convert =>
        (x) => {
          const big = BigInt(x);
          return Number(big < low ? low : big > high ? high : big);
        };
      all[`vpmov${letter}${target}`] = convert(from, to, (x) => Number(BigInt.asIntN(bits, BigInt(x))));
      all[`vpmovs${letter}${target}`] = convert(
        from,
        to,
        clamp(-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n),
      );
      all[`vpmovus${letter}${target}`] = convert(
        from.replace("i", "u") as Element,
        to.replace("i", "u") as Element,
        clamp(0n, 2n ** BigInt(bits) - 1n),
      );
    }
  }
  return all;
}

/** vcvtsi2ss and kin: the low element from a general register, the rest from the first source. */
function fromGeneral(isSigned: boolean, float: "f32" | "f64"): Handler {
  return (m, { operands }) => {
    const [to, rest, source] = operands as [Operand, Operand, Operand];
    const bytes = m.sizeOf(source, 4);
    const x = isSigned ? m.signed(source, bytes) : m.integer(source, bytes);
    const full = m.source(rest, 16, 16);
    const low = view(full, float);
    low[0] = float === "f32" ? bigToF32(x) : Number(x);
    m.setVector(to, full, 16);
  };
}

function toGeneral(round: (x: number) => number, isSigned: boolean, float: "f32" | "f64"): Handler {
  return (m, { operands }) => {
    const [to, source] = operands as [Operand, Operand];
    const bytes = m.sizeOf(to, 8);
    const x = view(m.source(source, bytesOf(float), bytesOf(float)), float)[0] as number;
    m.setInteger(to, bytes, BigInt(toInteger(round, bytes * 8, isSigned)(x)));
  };
}

function scalarFloat(from: "f32" | "f64", to: "f32" | "f64"): Handler {
  return (m, { operands }) => {
    const [target, rest, source] = operands as [Operand, Operand, Operand];
    const given = view(m.source(source, bytesOf(from), bytesOf(from)), from);
    const full = m.source(rest, 16, 16);
    const low = new Uint8Array(bytesOf(to));
    const result = view(low, to);
    result[0] = to === "f32" ? Math.fround(given[0] as number) : (given[0] as number);
    quietNaNs(given, result, from, to);
    full.set(low);
    m.setVector(target, full, 16);
  };
}

const scalars: Record<string, Handler> = {};
for (const [letter, float] of [
  ["ss", "f32"],
  ["sd", "f64"],
] as const) {
  scalars[`vcvtsi2${letter}`] = fromGeneral(true, float);
  scalars[`vcvtusi2${letter}`] = fromGeneral(false, float);
  scalars[`vcvt${letter}2si`] = toGeneral(roundTiesEven, true, float);
  scalars[`vcvtt${letter}2si`] = toGeneral(Math.trunc, true, float);
  scalars[`vcvtt${letter}2usi`] = toGeneral(Math.trunc, false, float);
}

/** Nearest bf16, ties to even; denormals count as zero, a NaN stays quiet. */
function bf16Of(bits: number): number {
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (bits >>> 16) | 0x40;
  if (magnitude < 0x00800000) return (bits >>> 16) & 0x8000;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export const CONVERT: Readonly<Record<string, Handler>> = {
  ...rows(),
  ...scalars,
  vcvtss2sd: scalarFloat("f32", "f64"),
  vcvtsd2ss: scalarFloat("f64", "f32"),
  vcvtneps2bf16: convert("u32", "u16", bf16Of),
  vcvtne2ps2bf16: (m, instr) => {
    const bytes = vectorBytes(m, instr);
    const [to, high, low] = instr.operands as [Operand, Operand, Operand];
    const sources = [low, high].map((source) => view(m.source(source, bytes, 4), "u32"));
    const out = new Uint16Array(bytes / 2).map((_, i, all) =>
      bf16Of(sources[i < all.length / 2 ? 0 : 1]?.[i % (all.length / 2)] as number),
    );
    m.setVector(to, new Uint8Array(out.buffer), 2);
  },
  vcvtph2ps: convert("u16", "f32", (x) => {
    const half = new DataView(new ArrayBuffer(2));
    half.setUint16(0, x, true);
    return readElement(half, 0, "f16") as number;
  }),
  // The immediate chooses the rounding; kernels round to nearest even.
  vcvtps2ph: (m, instr) => {
    const [to, source, mode] = instr.operands as [Operand, Reg, Operand];
    if (mode.kind !== "imm" || (Number(mode.value) & 7) !== 0) m.fail("a rounding other than to nearest even");
    const given = view(m.vector(source, m.sizeOf(source, 0)), "f32");
    const out = new Uint8Array(given.length * 2);
    const halves = new DataView(out.buffer);
    for (let i = 0; i < given.length; i++) {
      const bits = new Uint32Array(given.buffer as ArrayBuffer)[i] as number;
      if (given[i] === given[i]) writeElement(halves, 2 * i, "f16", given[i] as number);
      else out.set(toBytes(BigInt(((bits >>> 16) & 0x8000) | 0x7e00 | ((bits >>> 13) & 0x3ff)), 2), 2 * i);
    }
    m.setVector(to, to.kind === "reg" && out.length < 16 ? padded(out) : out, 2);
  },
};
