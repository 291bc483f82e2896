/**
 * Integer and boolean scalars in general registers.
 *
 * Types of up to 32 bits use 32-bit instructions; those narrower than 32 bits are extended again after each operation
 * that can leave their range. 64-bit types and `index` use 64-bit instructions.
 */
import type { KType, KValue, Prim } from "@quern/core/kernel";
import { gpr16, gpr8, imm, r32, rax, rdx } from "../asm/index.ts";
import type { Imm, Reg } from "../asm/index.ts";
import { literalInteger } from "./constants.ts";
import { fits32 } from "./index-math.ts";
import type { Selector } from "./selector.ts";
import { isSigned, laneBytesOf } from "./element.ts";

/** The register at the width its type computes in. */
export function sized(reg: Reg, type: KType): Reg {
  return laneBytesOf(type.dtype) === 8 ? reg : r32(reg.id);
}

/** An immediate for a literal that fits 32 bits, else a register. */
export function immediateOr(s: Selector, value: KValue): Reg | Imm {
  if (value.def.kind === "const") {
    const integer = literalInteger(value.type.dtype, value.def.value);
    const number = Number(integer);
    const wide = laneBytesOf(value.type.dtype) === 8;
    if (wide ? fits32(number) : number >= -0x80000000 && number <= 0xffffffff) return imm(integer);
  } else if (s.index.isLazy(value)) {
    const sum = s.index.affine(value);
    if (sum.terms.length === 0 && fits32(sum.constant)) return imm(sum.constant);
  }
  return sized(s.reg(value), value.type);
}

/** Sign- or zero-extends a result of 8 or 16 bits to 32; bool is taken as 0 or 1 already. */
export function extend(s: Selector, to: Reg, from: Reg, type: KType): void {
  const { code } = s;
  const bytes = laneBytesOf(type.dtype);
  if (bytes >= 4 || type.dtype === "bool") {
    if (to.id !== from.id) code.emit("mov", to, from);
    return;
  }
  const narrow = bytes === 1 ? gpr8(from.id) : gpr16(from.id);
  code.emit(isSigned(type.dtype) ? "movsx" : "movzx", r32(to.id), narrow);
}

export function scalarPrim(
  s: Selector,
  prim: Prim,
  type: KType,
  args: readonly KValue[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const out = into?.[0] ?? code.general();
  const [a, b] = args as [KValue, KValue];
  const bytes = laneBytesOf(type.dtype);
  const x = sized(s.reg(a), type);
  // The work happens in a register of its own: `out` may be an operand.
  const work = code.general();
  const w = sized(work, type);
  // All 64 bits: such a copy needs no instruction when the registers can be the same.
  const copy = (): void => void code.emit("mov", work, s.reg(a));
  const finish = (): readonly Reg[] => {
    extend(s, out, work, type);
    return [out];
  };
  switch (prim) {
    case "add":
    case "sub":
    case "and":
    case "or":
    case "xor": {
      const y = immediateOr(s, b);
      copy();
      code.emit(prim, w, y);
      return finish();
    }
    case "mul": {
      const y = immediateOr(s, b);
      if (y.kind === "imm") code.emit("imul", w, x, y);
      else {
        copy();
        code.emit("imul", w, y);
      }
      return finish();
    }
    case "neg":
      copy();
      code.emit("neg", w);
      return finish();
    case "not":
      copy();
      if (type.dtype === "bool") code.emit("xor", w, 1);
      else code.emit("not", w);
      return finish();
    case "abs": {
      copy();
      if (isSigned(type.dtype)) {
        code.emit("neg", w);
        code.emit("cmovs", w, x);
      }
      return finish();
    }
    case "min":
    case "max": {
      const y = sized(s.reg(b), type);
      copy();
      code.emit("cmp", w, immediateOr(s, b));
      code.emit(`cmov${(isSigned(type.dtype) ? { min: "g", max: "l" } : { min: "a", max: "b" })[prim]}`, w, y);
      return finish();
    }
    case "shl":
    case "shr":
      return shift(s, prim, type, x, b, work, finish);
    case "div":
    case "rem": {
      divide(s, prim, type, x, b, w);
      return finish();
    }
    default:
      return s.unsupported(prim, type.dtype, `no scalar instruction sequence (${bytes} bytes)`);
  }
}

function shift(
  s: Selector,
  prim: "shl" | "shr",
  type: KType,
  x: Reg,
  count: KValue,
  work: Reg,
  finish: () => readonly Reg[],
): readonly Reg[] {
  const { code } = s;
  const bits = laneBytesOf(type.dtype) * 8;
  const w = sized(work, type);
  const arithmetic = prim === "shr" && isSigned(type.dtype);
  const op = prim === "shl" ? "shl" : arithmetic ? "sar" : "shr";
  const by = immediateOr(s, count);
  if (by.kind === "imm") {
    const n = Number(by.value);
    const outside = n < 0 || n >= bits;
    if (outside && !arithmetic) code.emit("mov", r32(work.id), 0);
    else {
      code.emit("mov", w, x);
      code.emit(op, w, outside ? bits - 1 : n);
    }
    return finish();
  }
  // The instruction takes the count modulo its width; counts outside give 0 or the sign.
  const limit = code.general();
  const l = sized(limit, type);
  if (arithmetic) {
    const top = s.code.general();
    code.emit("mov", r32(top.id), bits - 1);
    code.emit("mov", l, by);
    code.emit("cmp", l, bits - 1);
    code.emit("cmova", l, sized(top, type));
    code.emit("sarx", w, x, l);
    return finish();
  }
  const zero = code.general();
  code.emit("mov", r32(zero.id), 0);
  code.emit(`${op}x`, w, x, by);
  code.emit("cmp", by, bits);
  code.emit("cmovae", w, sized(zero, type));
  return finish();
}

function divide(s: Selector, prim: "div" | "rem", type: KType, x: Reg, b: KValue, w: Reg): void {
  const { code } = s;
  const signed = isSigned(type.dtype);
  if (b.def.kind === "const" && divideByConstant(s, prim, type, x, Number(literalInteger(type.dtype, b.def.value)), w))
    return;
  const y = sized(s.reg(b), type);
  const wide = laneBytesOf(type.dtype) === 8;
  const [low, high] = wide ? [rax, rdx] : [r32(rax.id), r32(rdx.id)];
  // The divisor must not be in rax or rdx, which a copy that lives across both writes ensures.
  if (signed && type.dtype !== "index") {
    // The smallest integer divided by -1 overflows the instruction; as a wrapping operation it is its own quotient.
    const done = code.label("div");
    const regular = code.label("div");
    code.emit("cmp", y, -1);
    code.emit("jne", regular);
    if (prim === "div") {
      code.emit("mov", w, x);
      code.emit("neg", w);
    } else code.emit("mov", r32(w.id), 0);
    code.emit("jmp", done);
    code.bind(regular);
    code.emit("mov", low, x);
    code.emit(wide ? "cqo" : "cdq");
    code.emit("idiv", y);
    code.emit("mov", w, prim === "div" ? low : high);
    code.bind(done);
    return;
  }
  // Quotient and remainder come together; the other one is often wanted as well.
  const key = (result: string): string => `${result} ${x.cls}${x.id} ${y.id} ${signed}`;
  const known = code.lookUp(key(prim), 0);
  if (known !== undefined) {
    code.emit("mov", w, sized(known, type));
    return;
  }
  code.emit("mov", low, x);
  if (signed) {
    code.emit(wide ? "cqo" : "cdq");
    code.emit("idiv", y);
  } else {
    code.emit("mov", r32(rdx.id), 0);
    code.emit("div", y);
  }
  const results = [code.general(), code.general()] as const;
  code.emit("mov", sized(results[0], type), low);
  code.emit("mov", sized(results[1], type), high);
  code.region.sums.set(key("div"), results[0]);
  code.region.sums.set(key("rem"), results[1]);
  code.emit("mov", w, sized(results[prim === "div" ? 0 : 1], type));
}

/** Powers of two by shifts and masks. */
function divideByConstant(s: Selector, prim: "div" | "rem", type: KType, x: Reg, divisor: number, w: Reg): boolean {
  const { code } = s;
  const shift = Math.log2(divisor);
  if (!Number.isInteger(shift) || shift < 0 || shift > 30) return false;
  if (!isSigned(type.dtype)) {
    code.emit("mov", w, x);
    if (prim === "div") code.emit("shr", w, shift);
    else code.emit("and", w, divisor - 1);
    return true;
  }
  if (shift === 0) {
    if (prim === "div") code.emit("mov", w, x);
    else code.emit("mov", r32(w.id), 0);
    return true;
  }
  // Negative dividends are rounded towards zero by adding divisor - 1 first.
  const bits = laneBytesOf(type.dtype) === 8 ? 64 : 32;
  const bias = code.general();
  const t = bits === 64 ? bias : r32(bias.id);
  code.emit("mov", t, x);
  code.emit("sar", t, bits - 1);
  code.emit("shr", t, bits - shift);
  code.emit("add", t, x);
  if (prim === "div") {
    code.emit("mov", w, t);
    code.emit("sar", w, shift);
  } else {
    code.emit("and", t, -divisor);
    code.emit("mov", w, x);
    code.emit("sub", w, t);
  }
  return true;
}
