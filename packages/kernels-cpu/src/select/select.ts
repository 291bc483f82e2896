/**
 * select(condition, a, b): blends by mask for vectors, conditional moves for scalars.
 */
import type { KType, KValue } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Mem, Reg } from "../asm/index.ts";
import { moveOp } from "./element.ts";
import { maskLanes, maskPart, packMask } from "./masks.ts";
import type { Selector } from "./selector.ts";
import { isFloating } from "./element.ts";

export function emitSelect(s: Selector, value: KValue, into: readonly Reg[] | undefined): readonly Reg[] {
  const { def, type } = value;
  if (def.kind !== "prim") return s.unsupported("select", type.dtype, "not a primitive");
  const [condition, a, b] = def.args as [KValue, KValue, KValue];
  if (type.lanes === 1)
    return [
      isFloating(type.dtype)
        ? selectFloat(s, type, condition, a, b, into?.[0])
        : selectInteger(s, condition, a, b, into?.[0]),
    ];
  const mask = s.regs(condition);
  if (type.dtype === "bool") return selectMask(s, type, mask, s.regs(a), s.regs(b), into);
  return blend(s, type, mask, condition.type, s.operands(a, false), s.regs(b), into);
}

/** Lanes of `a` where the mask is set, else of `b`. */
export function blend(
  s: Selector,
  type: KType,
  mask: readonly Reg[],
  maskType: KType,
  a: readonly (Reg | Mem)[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const shape = s.shape(type);
  const out = into ?? s.fresh(type);
  const maskShape = s.shape(maskType);
  out.forEach((to, i) => {
    const [x, y] = [a[i]!, b[i]!];
    if (s.wide) {
      const k = maskPart(s, mask[0] as Reg, shape, i);
      if (x.kind === "mem") {
        const work = s.vector(shape.bytes);
        s.move(work, y);
        code.emitMasked(k, false, moveOp(shape.laneBytes), work, x);
        s.move(to, work);
      } else code.emitMasked(k, false, `vpblendm${{ 1: "b", 2: "w", 4: "d", 8: "q" }[shape.laneBytes]}`, to, y, x);
      return;
    }
    if (shape.laneBytes >= 4)
      code.emit("vblendvps", to, y, x, s.resize(maskLanes(s, mask, maskShape, shape, i), Math.max(16, shape.bytes)));
    else code.emit("vpblendvb", to, y, x, s.resize(packMask(s, mask, maskShape, shape, i), Math.max(16, shape.bytes)));
  });
  return out;
}

function selectMask(
  s: Selector,
  type: KType,
  mask: readonly Reg[],
  a: readonly Reg[],
  b: readonly Reg[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const out = into ?? s.fresh(type);
  if (s.wide) {
    const [yes, no] = [code.mask(), code.mask()];
    code.emit("kandq", yes, mask[0] as Reg, a[0] as Reg);
    code.emit("kandnq", no, mask[0] as Reg, b[0] as Reg);
    code.emit("korq", out[0] as Reg, yes, no);
    return out;
  }
  out.forEach((to, i) => code.emit("vblendvps", to, b[i]!, a[i]!, mask[i]!));
  return out;
}

function selectInteger(s: Selector, condition: KValue, a: KValue, b: KValue, into: Reg | undefined): Reg {
  const { code } = s;
  const out = into ?? code.general();
  const [x, y] = [s.reg(a), s.reg(b)];
  const c = r32(s.reg(condition).id);
  const work = code.general();
  code.emit("mov", work, y);
  code.emit("test", c, c);
  code.emit("cmovne", work, x);
  code.emit("mov", out, work);
  return out;
}

function selectFloat(s: Selector, type: KType, condition: KValue, a: KValue, b: KValue, into: Reg | undefined): Reg {
  const { code } = s;
  const out = into ?? s.vector(16);
  const [x, y] = [s.reg(a), s.reg(b)];
  const c = s.reg(condition);
  if (s.wide) {
    const k = code.mask();
    code.emit("kmovd", k, r32(c.id));
    code.emitMasked(k, false, type.dtype === "f32" ? "vblendmps" : "vblendmpd", out, y, x);
    return out;
  }
  // All ones where the condition holds, in both halves for f64.
  const bits = code.general();
  code.emit("mov", r32(bits.id), r32(c.id));
  code.emit("neg", bits);
  const mask = s.vector(16);
  code.emit("vmovq", mask, bits);
  code.emit("vblendvpd", out, y, x, mask);
  return out;
}
