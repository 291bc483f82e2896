/**
 * Vector instructions that work element by element: arithmetic, logic, shifts, comparisons, multiply-adds.
 *
 * An instruction is a row: elements, and what one element of the result is of those of the sources. Lengths follow from
 * the registers; `ss` and `sd` forms compute element 0 and take the rest of the low 16 bytes from the first source.
 */
import { fmaF32, primEvaluator, roundTiesEven } from "@quern/core";
import type { Instr, Operand } from "../../asm/index.ts";
import { bit } from "./machine.ts";
import type { Handler, Machine } from "./machine.ts";

export type Element = "f32" | "f64" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64";

interface ArrayType {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): ArrayBufferView;
}

const ARRAYS: Readonly<Record<Element, ArrayType>> = {
  f32: Float32Array,
  f64: Float64Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
};

/** Elements of either number type; the operation knows which. */
export type Numbers = { [at: number]: number; readonly length: number; readonly buffer: ArrayBufferLike };

export function bytesOf(element: Element): number {
  return ARRAYS[element].BYTES_PER_ELEMENT;
}

export function view(bytes: Uint8Array, element: Element): Numbers {
  return new ARRAYS[element](bytes.buffer, bytes.byteOffset, bytes.byteLength / bytesOf(element)) as unknown as Numbers;
}

const WIDTHS: Readonly<Record<string, number>> = { xmm: 16, ymm: 32, zmm: 64 };

/** Bytes of the widest vector register among the operands. */
export function vectorBytes(m: Machine, { operands }: Instr): number {
  let bytes = 0;
  for (const operand of operands) if (operand.kind === "reg") bytes = Math.max(bytes, WIDTHS[operand.cls] ?? 0);
  return bytes || m.fail("no vector register");
}

/** The source operands; the trailing immediate, if there is one, apart. */
export function sourcesOf(instr: Instr): { sources: readonly Operand[]; immediate: number } {
  const rest = instr.operands.slice(1);
  const last = rest.at(-1);
  return last?.kind === "imm"
    ? { sources: rest.slice(0, -1), immediate: Number(last.value) & 0xff }
    : { sources: rest, immediate: 0 };
}

type Compute = (...elements: number[]) => number;

/** A float result that is NaN has the bits of its first NaN source, made quiet, or is the default NaN. */
function setFloat(out: Numbers, at: number, element: "f32" | "f64", value: number, sources: readonly Numbers[]): void {
  out[at] = value;
  if (value === value) return;
  const origin = sources.find((source) => source[at] !== source[at]);
  if (element === "f32") {
    const bits = new Uint32Array(out.buffer as ArrayBuffer);
    bits[at] =
      origin === undefined ? 0xffc00000 : (new Uint32Array(origin.buffer as ArrayBuffer)[at] as number) | 0x00400000;
  } else {
    const bits = new BigUint64Array(out.buffer as ArrayBuffer);
    bits[at] =
      origin === undefined
        ? 0xfff8000000000000n
        : (new BigUint64Array(origin.buffer as ArrayBuffer)[at] as bigint) | 0x0008000000000000n;
  }
}

interface LaneOptions {
  /** Sources before the written ones: the destination, for multiply-adds. */
  readonly readsDestination?: boolean;
  /** The order in which the operation takes destination and sources. */
  readonly order?: readonly number[];
  readonly isScalar?: boolean;
}

function lanes(element: Element, compute: Compute, options: LaneOptions = {}): Handler {
  const { readsDestination = false, order, isScalar = false } = options;
  const size = bytesOf(element);
  return (m, instr) => {
    const { sources: written, immediate } = sourcesOf(instr);
    const to = instr.operands[0] as Operand;
    const operands = readsDestination ? [to, ...written] : written;
    const bytes = isScalar ? size : vectorBytes(m, instr);
    const mask = m.mask();
    const given = operands.map((operand) => view(m.source(operand, bytes, size, mask), element));
    const sources = order === undefined ? given : order.map((at) => given[at] as Numbers);
    const out = new Uint8Array(bytes);
    const result = view(out, element);
    for (let i = 0; i < result.length; i++) {
      const value = compute(...sources.map((source) => source[i] as number), immediate);
      if (element === "f32" || element === "f64") setFloat(result, i, element, value, sources);
      else result[i] = value;
    }
    if (!isScalar) return m.setVector(to, out, size);
    const full = m.source(readsDestination ? to : (operands[0] as Operand), 16, 16);
    const kept = mask === undefined || bit(mask, 0);
    if (kept) full.set(out);
    else full.set(instr.zeroing === true ? new Uint8Array(size) : m.source(to, size, size));
    writeWhole(m, to, full);
  };
}

/** Writes 16 bytes whatever the mask says; it was applied before. */
function writeWhole(m: Machine, to: Operand, bytes: Uint8Array): void {
  const { current } = m;
  m.current = current && { op: current.op, operands: current.operands };
  m.setVector(to, bytes, bytes.length);
  m.current = current;
}

const round = Math.fround;

/** Rounding modes of the immediate of vround and vrndscale (no scale). */
function roundBy(x: number, mode: number): number {
  switch (mode & 3) {
    case 0:
      return roundTiesEven(x);
    case 1:
      return Math.floor(x);
    case 2:
      return Math.ceil(x);
    default:
      return Math.trunc(x);
  }
}

/** x · 2^⌊n⌋. */
function scale(x: number, n: number, exact: Compute): number {
  if (x !== x || n !== n) return x + n;
  if (n === Infinity || n === -Infinity)
    return n > 0 ? (x === 0 ? NaN : x * Infinity) : Math.abs(x) === Infinity ? NaN : x / Infinity;
  return exact(x, Math.floor(n));
}

const fmaF64 = primEvaluator("fma", "f64", "f64") as Compute;

function floatRows(letter: "s" | "d"): Record<string, Handler> {
  const element = letter === "s" ? "f32" : "f64";
  const fit = letter === "s" ? round : (x: number): number => x;
  const fma = letter === "s" ? (fmaF32 as Compute) : fmaF64;
  const exact = primEvaluator("scale2", element, element) as Compute;
  const operations: Record<string, Compute> = {
    add: (a, b) => fit((a as number) + (b as number)),
    sub: (a, b) => fit((a as number) - (b as number)),
    mul: (a, b) => fit((a as number) * (b as number)),
    div: (a, b) => fit((a as number) / (b as number)),
    // The second operand where either is NaN or both are zero.
    max: (a, b) => ((a as number) > (b as number) ? (a as number) : (b as number)),
    min: (a, b) => ((a as number) < (b as number) ? (a as number) : (b as number)),
    scalef: (a, b) => scale(a as number, b as number, exact),
  };
  const rows: Record<string, Handler> = {};
  for (const [name, compute] of Object.entries(operations)) {
    rows[`v${name}p${letter}`] = lanes(element, compute);
    rows[`v${name}s${letter}`] = lanes(element, compute, { isScalar: true });
  }
  rows[`vsqrtp${letter}`] = lanes(element, (a) => fit(Math.sqrt(a as number)));
  rows[`vsqrts${letter}`] = lanes(element, (_a, b) => fit(Math.sqrt(b as number)), { isScalar: true });
  for (const name of ["vround", "vrndscale"]) {
    rows[`${name}p${letter}`] = lanes(element, (a, mode) => roundBy(a as number, mode as number));
    rows[`${name}s${letter}`] = lanes(element, (_a, b, mode) => roundBy(b as number, mode as number), {
      isScalar: true,
    });
  }
  // Operand 1 is the destination: 213 is 2 · 1 + 3.
  const orders: Record<string, readonly number[]> = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] };
  const signs: Record<string, readonly [number, number]> = {
    fmadd: [1, 1],
    fmsub: [1, -1],
    fnmadd: [-1, 1],
    fnmsub: [-1, -1],
  };
  for (const [digits, order] of Object.entries(orders)) {
    for (const [name, [product, addend]] of Object.entries(signs)) {
      const compute: Compute = (a, b, c) => fma((a as number) * product, b as number, (c as number) * addend);
      rows[`v${name}${digits}p${letter}`] = lanes(element, compute, { readsDestination: true, order });
      rows[`v${name}${digits}s${letter}`] = lanes(element, compute, { readsDestination: true, order, isScalar: true });
    }
  }
  return rows;
}

const LETTERS = { b: ["i8", "u8"], w: ["i16", "u16"], d: ["i32", "u32"], q: ["i64", "u64"] } as const;

function saturate(low: number, high: number): (x: number) => number {
  return (x) => Math.max(low, Math.min(high, x));
}

/** Elements are numbers or bigints, alike within one row. */
// oxlint-disable-next-line no-explicit-any
type Any = any;

function integerRows(): Record<string, Handler> {
  const rows: Record<string, Handler> = {};
  for (const [letter, [signed, unsigned]] of Object.entries(LETTERS)) {
    const bits = bytesOf(signed) * 8;
    const big = letter === "q";
    const one = (x: number): Any => (big ? BigInt(x) : x);
    rows[`vpadd${letter}`] = lanes(signed, (a: Any, b: Any) => a + b);
    rows[`vpsub${letter}`] = lanes(signed, (a: Any, b: Any) => a - b);
    rows[`vpabs${letter}`] = lanes(signed, (a: Any) => (a < 0 ? -a : a));
    rows[`vpmaxs${letter}`] = lanes(signed, (a: Any, b: Any) => (a > b ? a : b));
    rows[`vpmins${letter}`] = lanes(signed, (a: Any, b: Any) => (a < b ? a : b));
    rows[`vpmaxu${letter}`] = lanes(unsigned, (a: Any, b: Any) => (a > b ? a : b));
    rows[`vpminu${letter}`] = lanes(unsigned, (a: Any, b: Any) => (a < b ? a : b));
    const narrow = (element: Element, shift: (a: Any, n: Any) => Any, over: (a: Any) => Any): Compute =>
      ((a: Any, n: Any) => {
        const count = BigInt.asUintN(64, BigInt(n));
        return count >= BigInt(bits) ? over(a) : bytesOf(element) === 8 ? shift(a, count) : shift(a, Number(count));
      }) as Compute;
    const fill = (a: Any): Any => (a < 0 ? one(-1) : one(0));
    const shifts: Record<string, readonly [Element, Compute]> = {
      sll: [
        unsigned,
        narrow(
          unsigned,
          (a, n) => a << n,
          () => one(0),
        ),
      ],
      srl: [
        unsigned,
        narrow(
          unsigned,
          (a, n) => (big ? a >> n : a >>> n),
          () => one(0),
        ),
      ],
      sra: [signed, narrow(signed, (a, n) => a >> n, fill)],
    };
    for (const [name, [element, compute]] of Object.entries(shifts)) {
      rows[`vp${name}v${letter}`] = lanes(element, ((a: Any, n: Any) =>
        compute(a, big ? (BigInt.asUintN(64, n) as Any) : ((n >>> 0) as Any))) as Compute);
      rows[`vp${name}${letter}`] = byOneCount(element, compute);
    }
  }
  for (const [name, element] of [
    ["vpaddsb", "i8"],
    ["vpaddsw", "i16"],
    ["vpaddusb", "u8"],
    ["vpaddusw", "u16"],
  ] as const) {
    const fit = limits(element);
    rows[name] = lanes(element, (a, b) => fit((a as number) + (b as number)));
    rows[name.replace("add", "sub")] = lanes(element, (a, b) => fit((a as number) - (b as number)));
  }
  rows["vpmulld"] = lanes("i32", (a, b) => Math.imul(a as number, b as number));
  rows["vpmullw"] = lanes("i16", (a, b) => Math.imul(a as number, b as number));
  rows["vpmullq"] = lanes("i64", (a: Any, b: Any) => a * b);
  // Low halves of 64-bit elements.
  rows["vpmuludq"] = lanes("u64", (a: Any, b: Any) => (BigInt.asUintN(32, a) * BigInt.asUintN(32, b)) as Any);
  rows["vpmuldq"] = lanes("i64", (a: Any, b: Any) => (BigInt.asIntN(32, a) * BigInt.asIntN(32, b)) as Any);
  const logic: Record<string, (a: number, b: number) => number> = {
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
    andn: (a, b) => ~a & b,
  };
  for (const [name, compute] of Object.entries(logic)) {
    rows[`vp${name}`] = lanes("i32", compute as Compute);
    rows[`vp${name}d`] = lanes("i32", compute as Compute);
    rows[`v${name}ps`] = lanes("i32", compute as Compute);
    const wide = ((a: Any, b: Any) =>
      name === "and" ? a & b : name === "or" ? a | b : name === "xor" ? a ^ b : ~a & b) as Compute;
    rows[`vp${name}q`] = lanes("i64", wide);
    rows[`v${name}pd`] = lanes("i64", wide);
  }
  const ternary = (bits: number): Compute =>
    ((a: Any, b: Any, c: Any, table: number) => {
      let out = 0n;
      for (let i = 0n; i < BigInt(bits); i++) {
        const at = Number((((BigInt(a) >> i) & 1n) << 2n) + (((BigInt(b) >> i) & 1n) << 1n) + ((BigInt(c) >> i) & 1n));
        if ((table >> at) & 1) out |= 1n << i;
      }
      return bits === 64 ? out : Number(out);
    }) as Compute;
  rows["vpternlogd"] = lanes("u32", ternary(32), { readsDestination: true });
  rows["vpternlogq"] = lanes("u64", ternary(64), { readsDestination: true });
  return rows;
}

function limits(element: "i8" | "i16" | "u8" | "u16"): (x: number) => number {
  const bits = bytesOf(element) * 8;
  return element.startsWith("i") ? saturate(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) : saturate(0, 2 ** bits - 1);
}

/** Shifts by an immediate, or by the low 64 bits of an xmm register or memory. */
function byOneCount(element: Element, compute: Compute): Handler {
  const size = bytesOf(element);
  return (m, instr) => {
    const [to, from, by] = instr.operands as [Operand, Operand, Operand];
    const bytes = vectorBytes(m, { op: instr.op, operands: [to, from] });
    const count =
      by.kind === "imm"
        ? BigInt(by.value) & 0xffn
        : (view(m.source(by, 16, 16).subarray(0, 8).slice(), "u64")[0] as unknown as bigint);
    const source = view(m.source(from, bytes, size, m.mask()), element);
    const out = new Uint8Array(bytes);
    const result = view(out, element);
    for (let i = 0; i < result.length; i++) result[i] = compute(source[i] as number, count as unknown as number);
    m.setVector(to, out, size);
  };
}

/** Sums of products of neighbours: vpmaddwd and the dot products of VNNI. */
function dot(
  wide: "i16" | "i32",
  group: number,
  a: Element,
  b: Element,
  options: { readonly adds: boolean; readonly fit?: (x: number) => number },
): Handler {
  return (m, instr) => {
    const bytes = vectorBytes(m, instr);
    const [to, x, y] = instr.operands as [Operand, Operand, Operand];
    const element = bytesOf(wide);
    const [left, right] = [view(m.source(x, bytes, element), a), view(m.source(y, bytes, element), b)];
    const out = options.adds ? m.source(to, bytes, element) : new Uint8Array(bytes);
    const result = view(out, wide);
    for (let i = 0; i < result.length; i++) {
      let sum = result[i] as number;
      for (let j = group * i; j < group * (i + 1); j++) sum += (left[j] as number) * (right[j] as number);
      result[i] = options.fit === undefined ? sum : options.fit(sum);
    }
    m.setVector(to, out, element);
  };
}

export const LANES: Readonly<Record<string, Handler>> = {
  ...floatRows("s"),
  ...floatRows("d"),
  ...integerRows(),
  vpmaddwd: dot("i32", 2, "i16", "i16", { adds: false }),
  vpmaddubsw: dot("i16", 2, "u8", "i8", { adds: false, fit: limits("i16") }),
  vpdpbusd: dot("i32", 4, "u8", "i8", { adds: true }),
  "{vex} vpdpbusd": dot("i32", 4, "u8", "i8", { adds: true }),
  vpdpwssd: dot("i32", 2, "i16", "i16", { adds: true }),
};
