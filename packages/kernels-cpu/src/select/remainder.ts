/**
 * rem of floats: a - b * trunc(a / b) without rounding (C's fmod), computed in f64.
 *
 * Long division: while r >= d, subtract q * d for a quotient q that is a little too small and cut to 28 bits, so that
 * the fused r - q * d is exact. Each round shortens the quotient by some 27 bits; ordinary operands take one or two.
 * Quotients that overflow are divided by 2^600 * d first, a multiple of d. The sign is that of a; NaN for b = 0,
 * infinite a and NaN operands.
 */
import type { KType, KValue } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { literalBytes, splat } from "./constants.ts";
import { convert } from "./convert.ts";
import type { Selector } from "./selector.ts";

export function floatRemainder(
  s: Selector,
  type: KType,
  args: readonly KValue[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const [a, b] = args as [KValue, KValue];
  return floatRemainderRegs(s, type, s.regs(a), s.regs(b), into);
}

export function floatRemainderRegs(
  s: Selector,
  type: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const wide: KType = { ...type, dtype: "f64" };
  const [x, y] = [convert(s, a, type, wide, undefined, undefined), convert(s, b, type, wide, undefined, undefined)];
  const bytes = Math.max(16, s.shape(wide).bytes);
  const parts = x.map((reg, i) =>
    s.resize(remainder(s, s.resize(reg, bytes), s.resize(y[i] as Reg, bytes), bytes), s.shape(wide).bytes),
  );
  return convert(s, parts, wide, type, into, undefined);
}

/** One part, as packed f64 also for a scalar: the lanes behind it take part and do no harm. */
function remainder(s: Selector, a: Reg, b: Reg, bytes: number): Reg {
  const { code } = s;
  const f64 = (value: number): Reg => splat(s, literalBytes("f64", value), bytes);
  const bits = (value: bigint): Reg => splat(s, literalBytes("u64", value), bytes);
  // The literals come before the loop, wherever that is.
  const [magnitude, sign, infinity, zero, one] = [
    bits((1n << 63n) - 1n),
    bits(1n << 63n),
    f64(Infinity),
    f64(0),
    f64(1),
  ];
  const [huge, step, shrink, upperBits, nan] = [
    f64(2 ** 900),
    f64(2 ** 600),
    f64(1 - 2 ** -50),
    bits(~((1n << 25n) - 1n)),
    f64(NaN),
  ];
  const vectors = (count: number): Reg[] => Array.from({ length: count }, () => s.vector(bytes));
  const [x, y, finite, r, d] = vectors(5) as [Reg, Reg, Reg, Reg, Reg];
  code.emit("vandpd", x, a, magnitude);
  code.emit("vandpd", y, b, magnitude);
  const below = compare(s, x, infinity, 0x11, bytes);
  const positive = compare(s, y, zero, 0x1e, bytes);
  const valid = both(s, below, positive, bytes);
  choose(s, finite, valid, zero, x);
  code.emit("vmovaps", r, finite);
  choose(s, d, valid, one, y);
  const [head, exit] = [code.label("rem"), code.label("rem")];
  code.bind(head);
  const active = compare(s, r, d, 0x1d, bytes);
  testNone(s, active, exit);
  const [ratio, larger, divisor, t, less, cut, whole, q, next] = vectors(9) as [
    Reg,
    Reg,
    Reg,
    Reg,
    Reg,
    Reg,
    Reg,
    Reg,
    Reg,
  ];
  code.emit("vdivpd", ratio, r, d);
  code.emit("vmulpd", larger, d, step);
  choose(s, divisor, compare(s, ratio, huge, 0x1e, bytes), d, larger);
  code.emit("vdivpd", t, r, divisor);
  code.emit("vmulpd", less, t, shrink);
  code.emit("vandpd", cut, less, upperBits);
  if (s.wide) code.emit("vrndscalepd", whole, cut, 11);
  else code.emit("vroundpd", whole, cut, 11);
  code.emit("vmaxpd", q, whole, one);
  code.emit("vmovaps", next, r);
  code.emit("vfnmadd231pd", next, q, divisor);
  choose(s, r, active, r, next);
  code.emit("jmp", head);
  code.bind(exit);
  const [signOfA, signed, out] = vectors(3) as [Reg, Reg, Reg];
  code.emit("vandpd", signOfA, a, sign);
  code.emit("vorpd", signed, r, signOfA);
  choose(s, out, valid, nan, signed);
  return out;
}

/** An opmask or vector mask of a comparison of f64 lanes. */
function compare(s: Selector, a: Reg, b: Reg, predicate: number, bytes: number): Reg {
  const mask = s.wide ? s.code.mask() : s.vector(bytes);
  s.code.emit("vcmppd", mask, a, b, predicate);
  return mask;
}

function both(s: Selector, a: Reg, b: Reg, bytes: number): Reg {
  const mask = s.wide ? s.code.mask() : s.vector(bytes);
  s.code.emit(s.wide ? "kandb" : "vandpd", mask, a, b);
  return mask;
}

function choose(s: Selector, to: Reg, mask: Reg, whenFalse: Reg, whenTrue: Reg): void {
  if (s.wide) s.code.emitMasked(mask, false, "vblendmpd", to, whenFalse, whenTrue);
  else s.code.emit("vblendvpd", to, whenFalse, whenTrue, mask);
}

/** Jumps when no lane is set. */
function testNone(s: Selector, mask: Reg, target: ReturnType<Selector["code"]["label"]>): void {
  const { code } = s;
  if (s.wide) code.emit("kortestb", mask, mask);
  else {
    const bits = r32(code.general().id);
    code.emit("vmovmskpd", bits, mask);
    code.emit("test", bits, bits);
  }
  code.emit("je", target);
}
