/**
 * Conversions of vectors among i32, u32, i64, u64 (and index), f32 and f64.
 *
 * Float to integer truncates and saturates, and NaN becomes 0; the instructions give the smallest integer (or all
 * ones, unsigned) for everything they cannot represent, so results are repaired unless the range is known. AVX2 lacks
 * the 64-bit conversions; they go lane by lane through the stack.
 */
import type { KDType, KType } from "@quern/core/kernel";
import { mem, r32, rsp } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import { zeroNaN } from "./float-bits.ts";
import { convertScalar } from "./convert-scalar.ts";
import type { Range } from "./range.ts";
import { narrowWith, truncateLanes, widenWith } from "./regroup.ts";
import type { Selector } from "./selector.ts";
import { isFloating, isSigned, laneBytesOf } from "./element.ts";

export function convertVector(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
  range: Range | undefined,
): readonly Reg[] {
  const [a, b] = [from.dtype, to.dtype];
  const floatFrom = isFloating(a);
  const floatTo = isFloating(b);
  if (floatFrom && floatTo)
    return a === "f32"
      ? widenWith(s, "vcvtps2pd", regs, from, to, into)
      : narrowWith(s, "vcvtpd2ps", regs, from, to, into);
  if (!floatFrom && !floatTo) return betweenIntegers(s, regs, from, to, into);
  return floatTo ? fromInteger(s, regs, from, to, into) : toInteger(s, regs, from, to, into, range);
}

function betweenIntegers(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const [a, b] = [laneBytesOf(from.dtype), laneBytesOf(to.dtype)];
  if (a < b) return widenWith(s, isSigned(from.dtype) ? "vpmovsxdq" : "vpmovzxdq", regs, from, to, into);
  if (a > b) return truncateLanes(s, regs, from, to, into);
  if (into === undefined) return regs;
  s.moveAll(into, regs);
  return into;
}

function fromInteger(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const unsigned = !isSigned(from.dtype);
  const wideInteger = laneBytesOf(from.dtype) === 8;
  const u = unsigned ? "u" : "";
  if (wideInteger) {
    if (!s.wide) return laneByLane(s, regs, from, to, into);
    if (to.dtype === "f32") return narrowWith(s, `vcvt${u}qq2ps`, regs, from, to, into);
    const out = into ?? s.fresh(to);
    out.forEach((reg, i) => code.emit(`vcvt${u}qq2pd`, reg, regs[i] as Reg));
    return out;
  }
  if (to.dtype === "f64") {
    if (!unsigned || s.wide) return widenWith(s, `vcvt${u}dq2pd`, regs, from, to, into);
    // The bits of 2^52 + x, minus 2^52.
    const base = splat(s, literalBytes("f64", 2 ** 52), s.shape(to).bytes);
    const wide = widenWith(s, "vpmovzxdq", regs, from, { ...to, dtype: "i64" });
    const out = into ?? s.fresh(to);
    out.forEach((reg, i) => {
      const sum = s.vector(s.shape(to).bytes);
      code.emit("vorps", sum, wide[i] as Reg, base);
      code.emit("vsubpd", reg, sum, base);
    });
    return out;
  }
  const out = into ?? s.fresh(to);
  if (!unsigned || s.wide) {
    out.forEach((reg, i) => code.emit(`vcvt${u}dq2ps`, reg, regs[i] as Reg));
    return out;
  }
  // high * 65536 + low, rounded once by the fused operation.
  const { bytes } = s.shape(to);
  const lowBits = splat(s, literalBytes("u32", 0xffff), bytes);
  const scale = splat(s, literalBytes("f32", 65536), bytes);
  out.forEach((reg, i) => {
    const [high, low, highFloat, lowFloat] = Array.from({ length: 4 }, () => s.vector(bytes)) as [Reg, Reg, Reg, Reg];
    code.emit("vpsrld", high, regs[i] as Reg, 16);
    code.emit("vandps", low, regs[i] as Reg, lowBits);
    code.emit("vcvtdq2ps", highFloat, high);
    code.emit("vcvtdq2ps", lowFloat, low);
    code.emit("vfmadd231ps", lowFloat, highFloat, scale);
    s.move(reg, lowFloat);
  });
  return out;
}

function toInteger(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
  range: Range | undefined,
): readonly Reg[] {
  const { code } = s;
  const unsigned = !isSigned(to.dtype);
  const wideInteger = laneBytesOf(to.dtype) === 8;
  const letters = from.dtype === "f32" ? "ps" : "pd";
  if (wideInteger && !s.wide) return laneByLane(s, regs, from, to, into);
  if (unsigned && !wideInteger && !s.wide) return toUnsigned(s, regs, from, to, into);
  const known =
    range !== undefined &&
    !range.mayBeNaN &&
    (unsigned ? range.low >= 0 : range.low >= -(2 ** 31)) &&
    range.high < 2 ** 31;
  if (from.dtype === "f32" && !wideInteger && !unsigned) {
    const out = into ?? s.fresh(to);
    out.forEach((reg, i) => {
      if (known) code.emit("vcvttps2dq", reg, regs[i] as Reg);
      else saturate(s, reg, regs[i] as Reg, from, to);
    });
    return out;
  }
  // Everything else: clean the input, convert, and repair what overflows upwards.
  const inputs = known ? regs : zeroNaN(s, regs, from);
  const limited = unsigned || (from.dtype === "f64" && !wideInteger) ? limit(s, inputs, from, to.dtype) : inputs;
  const op = `vcvtt${letters}2${unsigned ? "u" : ""}${wideInteger ? "qq" : "dq"}`;
  const source = s.shape(from);
  const target = s.shape(to);
  if (source.laneBytes > target.laneBytes) return narrowWith(s, op, limited, from, to, into);
  const signedOverflow = !unsigned && wideInteger;
  const raw =
    source.laneBytes < target.laneBytes
      ? widenWith(s, op, limited, from, to, signedOverflow ? undefined : into)
      : ((signedOverflow ? undefined : into) ?? s.fresh(to));
  if (source.laneBytes === target.laneBytes) raw.forEach((reg, i) => code.emit(op, reg, limited[i] as Reg));
  if (!signedOverflow) return raw;
  // f32 or f64 to i64: 2^63 and above give the smallest integer; flip it to the largest.
  const bound = splat(s, literalBytes(from.dtype, 2 ** 63), source.bytes);
  const most = splat(s, literalBytes("i64", (1n << 63n) - 1n), target.bytes);
  const masks = limited.map((reg) => {
    const over = code.mask();
    code.emit(`vcmp${letters}`, over, reg, bound, 0x1d);
    return over;
  });
  const out = into ?? s.fresh(to);
  const partsPerMask = out.length / masks.length;
  out.forEach((reg, i) => {
    let over = masks[Math.floor(i / partsPerMask)] as Reg;
    const within = (i % partsPerMask) * target.lanes;
    if (within > 0) {
      const shifted = code.mask();
      code.emit("kshiftrq", shifted, over, within);
      over = shifted;
    }
    code.emitMasked(over, false, "vpblendmq", reg, raw[i] as Reg, most);
  });
  return out;
}

/** f32 to i32 with both repairs. */
function saturate(s: Selector, out: Reg, x: Reg, from: KType, to: KType): void {
  const { code } = s;
  const { bytes } = s.shape(from);
  const bound = splat(s, literalBytes("f32", 2 ** 31), bytes);
  const most = splat(s, literalBytes(to.dtype, 0x7fffffff), bytes);
  const [raw, capped] = [s.vector(bytes), s.vector(bytes)];
  code.emit("vcvttps2dq", raw, x);
  if (s.wide) {
    const [over, ordered] = [code.mask(), code.mask()];
    code.emit("vcmpps", over, x, bound, 0x1d);
    code.emit("vcmpps", ordered, x, x, 7);
    code.emitMasked(over, false, "vpblendmd", capped, raw, most);
    code.emitMasked(ordered, true, "vmovaps", out, capped);
    return;
  }
  const [over, ordered] = [s.vector(bytes), s.vector(bytes)];
  code.emit("vcmpps", over, x, bound, 0x1d);
  code.emit("vcmpps", ordered, x, x, 7);
  // 0x80000000 with all bits flipped is 0x7fffffff.
  code.emit("vxorps", capped, raw, over);
  code.emit("vandps", out, capped, ordered);
}

/** Limits to what the conversion to `to` takes as it is: from 0 for unsigned types, to the largest i32. */
function limit(s: Selector, regs: readonly Reg[], from: KType, to: KDType): readonly Reg[] {
  const { code } = s;
  const { bytes } = s.shape(from);
  const letters = from.dtype === "f32" ? "ps" : "pd";
  const unsigned = !isSigned(to);
  const low = splat(s, literalBytes(from.dtype, unsigned ? 0 : -(2 ** 31)), bytes);
  const high =
    from.dtype === "f64" && laneBytesOf(to) === 4
      ? splat(s, literalBytes("f64", unsigned ? 2 ** 32 - 1 : 2 ** 31 - 1), bytes)
      : undefined;
  return regs.map((reg) => {
    const above = s.vector(bytes);
    code.emit(`vmax${letters}`, above, reg, low);
    if (high === undefined) return above;
    const inside = s.vector(bytes);
    code.emit(`vmin${letters}`, inside, above, high);
    return inside;
  });
}

/** AVX2: f32 or f64 to u32 through the signed conversion of x and of x - 2^31. */
function toUnsigned(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const { bytes } = s.shape(from);
  const letters = from.dtype === "f32" ? "ps" : "pd";
  const limited = limit(s, zeroNaN(s, regs, from), from, "u32");
  const bound = splat(s, literalBytes(from.dtype, 2 ** 31), bytes);
  const ints: KType = { ...to, dtype: "i32" };
  const reduced = limited.map((reg) => {
    const [over, part, out] = [s.vector(bytes), s.vector(bytes), s.vector(bytes)];
    code.emit(`vcmp${letters}`, over, reg, bound, 0x1d);
    code.emit("vandps", part, over, bound);
    code.emit(`vsub${letters}`, out, reg, part);
    return { out, over };
  });
  const converted =
    from.dtype === "f64"
      ? narrowWith(
          s,
          "vcvttpd2dq",
          reduced.map(({ out }) => out),
          from,
          ints,
        )
      : reduced.map(({ out }) => {
          const int = s.vector(bytes);
          code.emit("vcvttps2dq", int, out);
          return int;
        });
  const overs =
    from.dtype === "f64"
      ? truncateLanes(
          s,
          reduced.map(({ over }) => over),
          { ...from, dtype: "i64" },
          ints,
        )
      : reduced.map(({ over }) => over);
  const out = into ?? s.fresh(to);
  const width = s.shape(to).bytes;
  const top = splat(s, literalBytes("u32", 0x80000000), Math.max(16, width));
  out.forEach((reg, i) => {
    const [flip, sum] = [s.vector(width), s.vector(width)];
    code.emit("vandps", flip, overs[i] as Reg, s.resize(top, width));
    code.emit("vxorps", sum, converted[i] as Reg, flip);
    if (from.dtype === "f64") {
      s.move(reg, sum);
      return;
    }
    // 2^32 and above: all ones.
    const over = s.vector(width);
    code.emit("vcmpps", over, limited[i] as Reg, splat(s, literalBytes("f32", 2 ** 32), bytes), 0x1d);
    code.emit("vorps", reg, sum, over);
  });
  return out;
}

/** Through the stack, one scalar conversion per lane. */
function laneByLane(
  s: Selector,
  regs: readonly Reg[],
  from: KType,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [source, target] = [s.shape(from), s.shape(to)];
  const inputBytes = Math.max(32, source.bytes) * regs.length;
  const base = s.frame(inputBytes + Math.max(32, target.bytes) * target.parts);
  regs.forEach((reg, i) =>
    code.emit("vmovups", mem({ base: rsp, disp: base + i * source.bytes }), s.resize(reg, Math.max(16, source.bytes))),
  );
  const [one, result]: [KType, KType] = [
    { ...from, lanes: 1 },
    { ...to, lanes: 1 },
  ];
  for (let lane = 0; lane < from.lanes; lane++) {
    const place = mem({ base: rsp, disp: base + lane * source.laneBytes });
    const out = mem({ base: rsp, disp: base + inputBytes + lane * target.laneBytes });
    const input = s.fresh(one)[0] as Reg;
    if (isFloating(from.dtype)) code.emit(from.dtype === "f32" ? "vmovss" : "vmovsd", input, place);
    else if (source.laneBytes === 8) code.emit("mov", input, place);
    else code.emit("mov", r32(input.id), place);
    const [converted] = convertScalar(s, [input], one, result, undefined) as [Reg];
    if (isFloating(to.dtype)) code.emit(to.dtype === "f32" ? "vmovss" : "vmovsd", out, converted);
    else code.emit("mov", out, target.laneBytes === 8 ? converted : r32(converted.id));
  }
  const parts = into ?? s.fresh(to);
  parts.forEach((reg, i) =>
    code.emit(
      "vmovups",
      s.resize(reg, Math.max(16, target.bytes)),
      mem({ base: rsp, disp: base + inputBytes + i * target.bytes }),
    ),
  );
  return parts;
}
