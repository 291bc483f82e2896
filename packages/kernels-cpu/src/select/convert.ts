/**
 * cast and bitcast.
 *
 * Types narrower than 32 bits are widened first and narrowed last, so that the conversions proper are those among
 * i32, u32, i64, u64, f32 and f64: for vectors in `convert-vector.ts`, for scalars in `convert-scalar.ts`.
 */
import type { KDType, KType, KValue } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { GENERAL } from "./code.ts";
import { literalBytes, splat } from "./constants.ts";
import { compareParts } from "./compare.ts";
import { convertScalar } from "./convert-scalar.ts";
import { convertVector } from "./convert-vector.ts";
import { maskLanes, maskPart, maskToBytes, packMask } from "./masks.ts";
import { zeroNaN, roundToBf16 } from "./float-bits.ts";
import { loadFolded } from "./load-convert.ts";
import { isNarrow, widened, widenParts } from "./widen-lanes.ts";
import { rangeOf } from "./range.ts";
import type { Range } from "./range.ts";
import { narrowWith, truncateLanes } from "./regroup.ts";
import { extend } from "./scalar.ts";
import type { Selector } from "./selector.ts";
import { isFloating, isSigned, laneBytesOf, moveOp } from "./element.ts";

export function emitCast(s: Selector, arg: KValue, to: KType, into: readonly Reg[] | undefined): readonly Reg[] {
  const from = arg.type;
  if (from.dtype === to.dtype || sameBits(from.dtype, to.dtype)) return s.copy(s.regs(arg), into);
  if (to.dtype === "bool") return toBool(s, arg, to, into);
  const folded = from.lanes > 1 ? loadFolded(s, arg, to, into) : undefined;
  if (folded !== undefined) return folded;
  return convert(s, s.regs(arg), from, to, into, rangeOf(arg));
}

/** Do the two types have the same representation in a register, so that the cast is no work? */
function sameBits(a: KDType, b: KDType): boolean {
  const wide = (dtype: KDType): boolean => dtype === "i64" || dtype === "u64" || dtype === "index";
  return (wide(a) && wide(b)) || ((a === "i32" || a === "u32") && (b === "i32" || b === "u32"));
}

/** The registers of `regs: from` as `to`. */
export function convert(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
  range: Range | undefined,
): readonly Reg[] {
  if (from.dtype === to.dtype) return s.copy(regs, into);
  if (from.dtype === "bool") return fromBool(s, regs, from, to, into);
  if (to.lanes === 1) return convertScalar(s, regs, from, to, into);
  if (isNarrow(from.dtype)) {
    const middle: KType = { ...from, dtype: widened(from.dtype) };
    if (middle.dtype === to.dtype || (middle.dtype === "i32" && to.dtype === "u32"))
      return widenParts(s, regs, from, into);
    const betweenIntegers = middle.dtype === "i32" && isNarrow(to.dtype) && to.dtype !== "f16" && to.dtype !== "bf16";
    if (betweenIntegers && laneBytesOf(to.dtype) === laneBytesOf(from.dtype)) return s.copy(regs, into);
    if (betweenIntegers && laneBytesOf(to.dtype) === 1) return truncateLanes(s, regs, from, to, into);
    return convert(s, widenParts(s, regs, from), middle, to, into, range);
  }
  if (isNarrow(to.dtype)) return narrow(s, regs, from, to, into, range);
  return convertVector(s, regs, from, to, into, range);
}

/** A 32- or 64-bit type to 8 or 16 bits. */
function narrow(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
  range: Range | undefined,
): readonly Reg[] {
  if (to.dtype === "f16" || to.dtype === "bf16") {
    const single: KType = { ...from, dtype: "f32" };
    const floats = from.dtype === "f32" ? regs : convertVector(s, regs, from, single, undefined, undefined);
    return to.dtype === "f16"
      ? narrowWith(s, "vcvtps2ph", floats, single, to, into, 0)
      : roundToBf16(s, floats, single, to, into);
  }
  if (!isFloating(from.dtype)) return truncateLanes(s, regs, from, to, into);
  const ints: KType = { ...from, dtype: "i32" };
  return truncateLanes(
    s,
    convertVector(s, clampTo(s, regs, from, to.dtype, range), from, ints, undefined, {
      low: -32768,
      high: 65535,
      mayBeNaN: false,
    }),
    ints,
    to,
    into,
  );
}

/** Floats limited to the range of an integer type; NaN becomes 0. */
function clampTo(s: Selector, regs: readonly Reg[], from: KType, to: KDType, range: Range | undefined): readonly Reg[] {
  const { code } = s;
  const bits = laneBytesOf(to) * 8;
  const low = isSigned(to) ? -(2 ** (bits - 1)) : 0;
  const high = isSigned(to) ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  if (range !== undefined && !range.mayBeNaN && range.low >= low && range.high <= high) return regs;
  const shape = s.shape(from);
  const suffix = from.dtype === "f32" ? "ps" : "pd";
  const [least, most] = [
    splat(s, literalBytes(from.dtype, low), shape.bytes),
    splat(s, literalBytes(from.dtype, high), shape.bytes),
  ];
  return zeroNaN(s, regs, from).map((reg) => {
    const [above, inside] = [s.vector(shape.bytes), s.vector(shape.bytes)];
    code.emit(`vmax${suffix}`, above, reg, least);
    code.emit(`vmin${suffix}`, inside, above, most);
    return inside;
  });
}

function toBool(s: Selector, arg: KValue, to: KType, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const from = arg.type;
  const regs = s.regs(arg);
  if (to.lanes === 1) {
    const out = into?.[0] ?? code.general();
    if (s.shape(from).file === GENERAL && from.dtype !== "f16" && from.dtype !== "bf16") {
      const reg = regs[0] as Reg;
      const x = laneBytesOf(from.dtype) === 8 ? reg : r32(reg.id);
      const result = code.general();
      const one = code.general();
      code.emit("mov", r32(result.id), 0);
      code.emit("mov", r32(one.id), 1);
      code.emit("test", x, x);
      code.emit("cmovne", result, one);
      s.move(out, result);
      return [out];
    }
    const isDouble = from.dtype === "f64";
    const x = isFloating(from.dtype) ? (regs[0] as Reg) : (widenParts(s, regs, from)[0] as Reg);
    const zero = s.vector(16);
    code.emit("vxorps", zero, zero, zero);
    const bits = code.general();
    if (s.wide) {
      const mask = code.mask();
      code.emit(isDouble ? "vcmpsd" : "vcmpss", mask, x, zero, 4);
      code.emit("kmovd", r32(bits.id), mask);
    } else {
      const mask = s.vector(16);
      code.emit(isDouble ? "vcmpsd" : "vcmpss", mask, x, zero, 4);
      code.emit("vmovd", r32(bits.id), mask);
      code.emit("and", r32(bits.id), 1);
    }
    s.move(out, bits);
    return [out];
  }
  const isSmallFloat = from.dtype === "f16" || from.dtype === "bf16";
  const type: KType = isSmallFloat ? { ...from, dtype: "f32" } : from;
  const parts = isSmallFloat ? widenParts(s, regs, from) : regs;
  const zero = splat(s, new Uint8Array(4), Math.max(16, s.shape(type).bytes));
  return compareParts(
    s,
    "ne",
    type,
    parts,
    parts.map(() => s.resize(zero, s.shape(type).bytes)),
    to,
    into,
  );
}

/** 0 and 1 of any type from a mask or boolean. */
function fromBool(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  if (to.lanes === 1) {
    if (s.shape(to).file === GENERAL && to.dtype !== "f16" && to.dtype !== "bf16") return s.copy(regs, into);
    return convertScalar(s, regs, { ...from, dtype: "i32" }, to, into);
  }
  if (laneBytesOf(to.dtype) === 1) return s.copy(maskToBytes(s, from, regs), into);
  const shape = s.shape(to);
  const width = Math.max(16, shape.bytes);
  const one = splat(s, literalBytes(to.dtype, 1), width);
  const out = into ?? s.fresh(to);
  out.forEach((reg, i) => {
    const wide = s.resize(reg, width);
    if (s.wide) code.emitMasked(maskPart(s, regs[0] as Reg, shape, i), true, moveOp(shape.laneBytes), wide, one);
    else {
      const mask =
        shape.laneBytes >= 4 ? maskLanes(s, regs, s.shape(from), shape, i) : packMask(s, regs, s.shape(from), shape, i);
      code.emit("vandps", wide, s.resize(mask, width), one);
    }
  });
  return out;
}

export function emitBitcast(s: Selector, arg: KValue, to: KType, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const from = arg.type;
  const regs = s.regs(arg);
  if (from.dtype === "bool" || to.dtype === "bool")
    return convert(s, regs, from.dtype === "bool" ? from : { ...from, dtype: "u8" }, to, into, undefined);
  const [a, b] = [s.shape(from), s.shape(to)];
  if (a.file === b.file) {
    if (a.file === GENERAL && laneBytesOf(to.dtype) < 4) {
      const out = into?.[0] ?? code.general();
      extend(s, out, regs[0] as Reg, to.dtype === "f16" || to.dtype === "bf16" ? { ...to, dtype: "u16" } : to);
      return [out];
    }
    return s.copy(regs, into);
  }
  const out = into?.[0] ?? (s.fresh(to)[0] as Reg);
  const wide = laneBytesOf(to.dtype) === 8;
  const reg = regs[0] as Reg;
  if (b.file === GENERAL) code.emit(wide ? "vmovq" : "vmovd", wide ? out : r32(out.id), reg);
  else code.emit(wide ? "vmovq" : "vmovd", out, wide ? reg : r32(reg.id));
  return [out];
}
