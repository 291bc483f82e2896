/**
 * Arithmetic on vectors and on scalar floats.
 *
 * Most primitives are one instruction per part; the table gives its name. The rest are short sequences below.
 * Operands may be memory only where the table has an entry.
 */
import type { KDType, KType, KValue, Prim } from "@quern/core/kernel";
import type { Mem, Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import { greaterQuad } from "./compare-lanes.ts";
import { divideVectors } from "./divide.ts";
import type { Range } from "./range.ts";
import type { Selector } from "./selector.ts";
import { LANE_LETTERS, floatSuffix, isFloating, isSigned, laneBytesOf } from "./element.ts";
import { shiftVectors } from "./shift.ts";

export type Operand = Reg | Mem;

const floatStems: Partial<Record<Prim, string>> = {
  add: "vadd",
  sub: "vsub",
  mul: "vmul",
  div: "vdiv",
  min: "vmin",
  max: "vmax",
};

/** The instruction that does the whole work for one part, when there is one. */
function directOp(s: Selector | undefined, prim: Prim, type: KType): string | undefined {
  const { dtype } = type;
  if (isFloating(dtype)) {
    const stem = floatStems[prim];
    if (stem !== undefined) return stem + floatSuffix(type);
    if (prim === "scale2" && s?.wide === true) return `vscalef${floatSuffix(type)}`;
    return undefined;
  }
  const bytes = laneBytesOf(dtype);
  const letter = LANE_LETTERS[bytes] as string;
  switch (prim) {
    case "add":
      return `vpadd${letter}`;
    case "sub":
      return `vpsub${letter}`;
    case "mul":
      return bytes === 2
        ? "vpmullw"
        : bytes === 4
          ? "vpmulld"
          : bytes === 8 && s?.wide === true
            ? "vpmullq"
            : undefined;
    case "min":
    case "max":
      return bytes === 8 && s?.wide !== true ? undefined : `vp${prim}${isSigned(dtype) ? "s" : "u"}${letter}`;
    // The element size matters for operands that are broadcast from memory.
    case "and":
      return bytes === 8 ? "vandpd" : "vandps";
    case "or":
      return bytes === 8 ? "vorpd" : "vorps";
    case "xor":
      return bytes === 8 ? "vxorpd" : "vxorps";
    default:
      return undefined;
  }
}

/** Is the primitive a single instruction that reads its operands before it writes, with memory allowed as the last? */
export function isDirect(prim: Prim, dtype: KDType): boolean {
  return (
    directOp(undefined, prim, { dtype, lanes: 4, rows: 1 }) !== undefined || (prim === "sqrt" && isFloating(dtype))
  );
}

export function vectorPrim(
  s: Selector,
  prim: Prim,
  type: KType,
  operands: readonly (readonly Operand[])[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [a, b] = operands as [readonly Operand[], readonly Operand[]];
  const op = operands.length === 2 ? directOp(s, prim, type) : undefined;
  if (op !== undefined) {
    const out = s.results(type, into);
    out.forEach((to, i) => code.emit(op, to, a[i]!, b[i]!));
    return out;
  }
  const { dtype } = type;
  const registers = operands as readonly (readonly Reg[])[];
  switch (prim) {
    case "sqrt": {
      const out = s.results(type, into);
      const name = `vsqrt${floatSuffix(type)}`;
      out.forEach((to, i) =>
        type.lanes === 1
          ? code.emit(name, to, a[i]!.kind === "reg" ? (a[i] as Reg) : to, a[i]!)
          : code.emit(name, to, a[i]!),
      );
      return out;
    }
    case "neg":
      return negate(s, type, registers[0]!, into);
    case "abs":
      return absolute(s, type, registers[0]!, into);
    case "not":
      return invert(s, type, registers[0]!, into);
    case "floor":
    case "ceil":
    case "trunc":
    case "round":
      return roundTo(s, prim, type, registers[0]!, into);
    case "shl":
    case "shr":
      return shiftVectors(s, prim, type, registers[0]!, registers[1]!, into);
    case "div":
    case "rem":
      return divideVectors(s, prim, type, registers[0]!, registers[1]!, into);
    case "mul":
      return multiply(s, type, registers[0]!, registers[1]!, into);
    case "min":
    case "max":
      return pickWide(s, prim, type, registers[0]!, registers[1]!, into);
    case "scale2":
      return scaleByPower(s, type, registers[0]!, registers[1]!, into);
    default:
      return s.unsupported(prim, dtype, "no instruction sequence is known");
  }
}

/** The sign bit of each lane, or the other way round. */
function signMask(s: Selector, type: KType, invertBits: boolean): Reg {
  const bytes = literalBytes(
    type.dtype === "f64" ? "u64" : "u32",
    type.dtype === "f64" ? (invertBits ? 0x7fffffffffffffffn : 1n << 63n) : invertBits ? 0x7fffffff : 0x80000000,
  );
  return splat(s, bytes, Math.max(16, s.shape(type).bytes));
}

function packedView(s: Selector, reg: Reg, bytes: number): Reg {
  return s.resize(reg, Math.max(16, bytes));
}

function negate(s: Selector, type: KType, a: readonly Reg[], into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const out = s.results(type, into);
  if (isFloating(type.dtype)) {
    const sign = signMask(s, type, false);
    out.forEach((to, i) => code.emit("vxorps", to, a[i]!, sign));
    return out;
  }
  const { bytes } = s.shape(type);
  const zero = splat(s, new Uint8Array(4), bytes);
  out.forEach((to, i) => code.emit(`vpsub${LANE_LETTERS[laneBytesOf(type.dtype)]}`, to, zero, a[i]!));
  return out;
}

function absolute(s: Selector, type: KType, a: readonly Reg[], into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const { dtype } = type;
  const bytes = laneBytesOf(dtype);
  const out = s.results(type, into);
  if (isFloating(dtype)) {
    const mask = signMask(s, type, true);
    out.forEach((to, i) => code.emit("vandps", to, a[i]!, mask));
    return out;
  }
  if (!isSigned(dtype)) {
    s.moveAll(out, a);
    return out;
  }
  if (bytes < 8 || s.wide) {
    out.forEach((to, i) => code.emit(`vpabs${LANE_LETTERS[bytes]}`, to, a[i]!));
    return out;
  }
  const zero = splat(s, new Uint8Array(4), s.shape(type).bytes);
  out.forEach((to, i) => {
    const sign = s.vector(s.shape(type).bytes);
    const flipped = s.vector(s.shape(type).bytes);
    code.emit("vpcmpgtq", sign, zero, a[i]!);
    code.emit("vxorps", flipped, a[i]!, sign);
    code.emit("vpsubq", to, flipped, sign);
  });
  return out;
}

function invert(s: Selector, type: KType, a: readonly Reg[], into: readonly Reg[] | undefined): readonly Reg[] {
  const out = s.results(type, into);
  const ones = splat(s, new Uint8Array(4).fill(255), s.shape(type).bytes);
  out.forEach((to, i) => s.code.emit("vxorps", to, a[i]!, ones));
  return out;
}

const roundImmediates: Partial<Record<Prim, number>> = { round: 8, floor: 9, ceil: 10, trunc: 11 };

function roundTo(
  s: Selector,
  prim: Prim,
  type: KType,
  a: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const out = s.results(type, into);
  const name = `${s.wide ? "vrndscale" : "vround"}${floatSuffix(type)}`;
  const mode = roundImmediates[prim] as number;
  out.forEach((to, i) =>
    type.lanes === 1 ? code.emit(name, to, a[i]!, a[i]!, mode) : code.emit(name, to, a[i]!, mode),
  );
  return out;
}

/** 64-bit products from 32-bit ones (AVX2), and bytes through 16 bits. */
function multiply(
  s: Selector,
  type: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const { bytes } = s.shape(type);
  const out = s.results(type, into);
  if (laneBytesOf(type.dtype) === 1) {
    const low = splat(s, Uint8Array.of(255, 0, 255, 0), bytes);
    out.forEach((to, i) => {
      const [even, oddA, oddB, odd, evenLow, oddHigh] = Array.from({ length: 6 }, () => s.vector(bytes)) as [
        Reg,
        Reg,
        Reg,
        Reg,
        Reg,
        Reg,
      ];
      code.emit("vpmullw", even, a[i]!, b[i]!);
      code.emit("vpsrlw", oddA, a[i]!, 8);
      code.emit("vpsrlw", oddB, b[i]!, 8);
      code.emit("vpmullw", odd, oddA, oddB);
      code.emit("vandps", evenLow, even, low);
      code.emit("vpsllw", oddHigh, odd, 8);
      code.emit("vorps", to, evenLow, oddHigh);
    });
    return out;
  }
  out.forEach((to, i) => {
    const [highA, highB, cross1, cross2, cross, shifted, low] = Array.from({ length: 7 }, () => s.vector(bytes)) as [
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
      Reg,
    ];
    code.emit("vpsrlq", highA, a[i]!, 32);
    code.emit("vpsrlq", highB, b[i]!, 32);
    code.emit("vpmuludq", cross1, highA, b[i]!);
    code.emit("vpmuludq", cross2, highB, a[i]!);
    code.emit("vpaddq", cross, cross1, cross2);
    code.emit("vpsllq", shifted, cross, 32);
    code.emit("vpmuludq", low, a[i]!, b[i]!);
    code.emit("vpaddq", to, low, shifted);
  });
  return out;
}

/** Minimum and maximum of 64-bit integers (AVX2). */
function pickWide(
  s: Selector,
  prim: Prim,
  type: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const { bytes } = s.shape(type);
  const out = s.results(type, into);
  out.forEach((to, i) => {
    const greater = greaterQuad(s, type.dtype, a[i]!, b[i]!, bytes);
    if (prim === "max") code.emit("vblendvpd", to, b[i]!, a[i]!, greater);
    else code.emit("vblendvpd", to, a[i]!, b[i]!, greater);
  });
  return out;
}

/**
 * x * 2^n without vscalef: three factors whose exponents sum to n, the smaller ones first, so that only the last
 * product can be inexact. n is limited to what takes every finite x to zero or infinity. Two factors will do for an n
 * that is known to be within twice the range of exponents.
 */
export function scaleByPower(
  s: Selector,
  type: KType,
  x: readonly Reg[],
  n: readonly Reg[],
  into: readonly Reg[] | undefined,
  range?: Range,
): readonly Reg[] {
  const { code } = s;
  const { dtype } = type;
  const { bytes } = s.shape(type);
  const out = s.results(type, into);
  const suffix = floatSuffix(type);
  const single = dtype === "f32";
  const packed = Math.max(16, bytes);
  const low = splat(s, literalBytes(dtype, single ? -126 : -1022), bytes);
  const high = splat(s, literalBytes(dtype, single ? 127 : 1023), bytes);
  // Adding 1.5 * 2^23 (2^52) leaves the integer in the low mantissa bits.
  const magic = splat(s, literalBytes(dtype, single ? 12582912 : 6755399441055744), bytes);
  const bias = splat(s, single ? literalBytes("i32", 127) : literalBytes("i64", 1023n), packed);
  out.forEach((to, i) => {
    const power = (exponent: Reg): Reg => {
      const [sum, biased, shifted] = [s.vector(bytes), s.vector(packed), s.vector(packed)];
      code.emit(`vadd${suffix}`, sum, exponent, magic);
      code.emit(single ? "vpaddd" : "vpaddq", biased, packedView(s, sum, bytes), bias);
      code.emit(single ? "vpslld" : "vpsllq", shifted, biased, single ? 23 : 52);
      return shifted;
    };
    const clamp = (value: Reg): Reg => {
      const [above, inside] = [s.vector(bytes), s.vector(bytes)];
      code.emit(`vmax${suffix}`, above, low, value);
      code.emit(`vmin${suffix}`, inside, high, above);
      return inside;
    };
    const last = clamp(n[i]!);
    const rest = s.vector(bytes);
    code.emit(`vsub${suffix}`, rest, n[i]!, last);
    if (range !== undefined && range.low >= (single ? -252 : -2044) && range.high <= (single ? 254 : 2046)) {
      const product = s.vector(bytes);
      code.emit(`vmul${suffix}`, product, x[i]!, power(rest));
      code.emit(`vmul${suffix}`, to, product, power(last));
      return;
    }
    const middle = clamp(rest);
    const more = s.vector(bytes);
    code.emit(`vsub${suffix}`, more, rest, middle);
    const first = clamp(more);
    const [once, twice] = [s.vector(bytes), s.vector(bytes)];
    code.emit(`vmul${suffix}`, once, x[i]!, power(first));
    code.emit(`vmul${suffix}`, twice, once, power(middle));
    code.emit(`vmul${suffix}`, to, twice, power(last));
  });
  return out;
}

/** fma(a, b, c) in one of the forms that overwrite an operand: preferably one that is not needed afterwards. */
export function emitFma(s: Selector, value: KValue, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const { def, type } = value;
  if (def.kind !== "prim") return s.unsupported("fma", type.dtype, "not a primitive");
  const [first, second, c] = def.args as [KValue, KValue, KValue];
  const suffix = floatSuffix(type);
  // At most one operand stays in memory: the addend if it is a load, else a factor.
  const waits = (v: KValue): boolean => s.pending[v.id] === 1;
  let memory: readonly Operand[] | undefined;
  const addendRegs = (): readonly Reg[] => s.regs(c);
  const [a, b] = waits(first) && !waits(second) ? [second, first] : [first, second];
  if (waits(b)) memory = s.foldable(b, true);
  const out = (): readonly Reg[] => s.results(type, into);
  const same = (x: readonly Reg[] | undefined): boolean =>
    into !== undefined && x !== undefined && x[0]?.id === into[0]?.id;
  if (memory !== undefined) {
    const [aRegs, cRegs] = [s.regs(a), addendRegs()];
    const to = out();
    // a dies and c does not: a = a * [b] + c; else c = a * [b] + c.
    const tieA = same(aRegs) || (!same(cRegs) && s.dies(a) && !s.dies(c));
    to.forEach((reg, i) => {
      s.move(reg, (tieA ? aRegs : cRegs)[i]!);
      if (tieA) code.emit(`vfmadd132${suffix}`, reg, cRegs[i]!, memory[i]!);
      else code.emit(`vfmadd231${suffix}`, reg, aRegs[i]!, memory[i]!);
    });
    return to;
  }
  const addendMemory = waits(c) ? s.foldable(c, true) : undefined;
  const [aRegs, bRegs] = [s.regs(a), s.regs(b)];
  const cOperands: readonly Operand[] = addendMemory ?? addendRegs();
  const cRegs = addendMemory === undefined ? (cOperands as readonly Reg[]) : undefined;
  const to = out();
  let tie: "a" | "b" | "c";
  if (same(cRegs)) tie = "c";
  else if (same(aRegs)) tie = "a";
  else if (same(bRegs)) tie = "b";
  else if (cRegs !== undefined && s.dies(c)) tie = "c";
  else if (s.dies(a)) tie = "a";
  else if (s.dies(b)) tie = "b";
  // A literal factor may as well be loaded into the result, which leaves the addend to be a memory operand.
  else tie = cRegs === undefined || (a.def.kind === "const" && c.def.kind === "const") ? "a" : "c";
  to.forEach((reg, i) => {
    if (tie === "c") {
      s.move(reg, cRegs![i]!);
      code.emit(`vfmadd231${suffix}`, reg, aRegs[i]!, bRegs[i]!);
    } else {
      s.move(reg, (tie === "a" ? aRegs : bRegs)[i]!);
      code.emit(`vfmadd213${suffix}`, reg, (tie === "a" ? bRegs : aRegs)[i]!, cOperands[i]!);
    }
  });
  return to;
}
