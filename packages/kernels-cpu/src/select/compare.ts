/**
 * Comparisons: to flags for branches, to 0 or 1 in a general register, to masks for vectors.
 */
import type { KDType, KType, KValue } from "@quern/core/kernel";
import { gpr8, r32 } from "../asm/index.ts";
import type { Instr, Label, Mem, Reg } from "../asm/index.ts";
import type { Affine } from "./affine.ts";
import { addAffine, constantAffine, termsKey } from "./affine.ts";
import { makeInstr } from "./code.ts";
import { FLOAT_PREDICATES, compareLanes } from "./compare-lanes.ts";
import { narrowQuad } from "./regroup.ts";
import { prefixConstant, prefixMask } from "./masks.ts";
import { immediateOr, sized } from "./scalar.ts";
import type { Selector } from "./selector.ts";
import { isFloating, isSigned, laneBytesOf } from "./element.ts";
import { widenParts } from "./widen-lanes.ts";

/** Predicates of vpcmpd. */
const integerPredicates: Record<string, number> = { eq: 0, lt: 1, le: 2, ne: 4, ge: 5, gt: 6 };

const signedConditions: Record<string, string> = { lt: "l", le: "le", gt: "g", ge: "ge", eq: "e", ne: "ne" };
const unsignedConditions: Record<string, string> = { lt: "b", le: "be", gt: "a", ge: "ae", eq: "e", ne: "ne" };
const negated: Record<string, string> = {
  l: "ge",
  le: "g",
  g: "le",
  ge: "l",
  e: "ne",
  ne: "e",
  b: "ae",
  be: "a",
  a: "be",
  ae: "b",
};

/** A comparison of integer scalars, not emitted yet, and the condition that holds when it is true. */
function compareFlags(s: Selector, prim: string, a: KValue, b: KValue): { compare: Instr; condition: string } {
  const x = sized(s.reg(a), a.type);
  const y = immediateOr(s, b);
  return {
    compare: makeInstr("cmp", [x, y]),
    condition: (isSigned(a.type.dtype) ? signedConditions : unsignedConditions)[prim] as string,
  };
}

export function compareScalar(
  s: Selector,
  prim: string,
  a: KValue,
  b: KValue,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const { dtype } = a.type;
  const out = into?.[0] ?? code.general();
  if (isFloating(dtype)) return [floatToBool(s, prim, a, b, out)];
  if (dtype === "f16" || dtype === "bf16") {
    const [x, y] = [widenParts(s, s.regs(a), a.type)[0], widenParts(s, s.regs(b), b.type)[0]] as [Reg, Reg];
    return [floatRegsToBool(s, prim, "f32", x, y, out)];
  }
  const { compare, condition } = compareFlags(s, prim, a, b);
  const byte = code.general();
  code.push(compare);
  code.emit("mov", r32(byte.id), 0);
  code.emit(`set${condition}`, gpr8(byte.id));
  code.emit("mov", out, byte);
  return [out];
}

function floatToBool(s: Selector, prim: string, a: KValue, b: KValue, out: Reg): Reg {
  return floatRegsToBool(s, prim, a.type.dtype, s.reg(a), s.operands(b, false)[0] as Reg | Mem, out);
}

function floatRegsToBool(s: Selector, prim: string, dtype: KDType, x: Reg, y: Reg | Mem, out: Reg): Reg {
  const { code } = s;
  const op = dtype === "f32" ? "vcmpss" : "vcmpsd";
  if (s.wide) {
    const mask = code.mask();
    code.emit(op, mask, x, y, FLOAT_PREDICATES[prim] as number);
    code.emit("kmovd", r32(out.id), mask);
    return out;
  }
  const mask = s.vector(16);
  code.emit(op, mask, x, y, FLOAT_PREDICATES[prim] as number);
  const bits = code.general();
  code.emit("vmovd", r32(bits.id), mask);
  code.emit("and", r32(bits.id), 1);
  code.emit("mov", out, bits);
  return out;
}

/** Code that jumps to `target` when the condition is false, to be placed later; its operands are emitted now. */
export function branchUnless(s: Selector, condition: KValue, target: Label): Instr[] {
  const { def } = condition;
  if (def.kind === "prim" && s.values[condition.id] === undefined && def.prim in signedConditions) {
    const [a, b] = def.args as [KValue, KValue];
    const { compare, condition: holds } = compareFlags(s, def.prim, a, b);
    return [compare, makeInstr(`j${negated[holds]}`, [target])];
  }
  const reg = r32(s.reg(condition).id);
  return [makeInstr("test", [reg, reg]), makeInstr("je", [target])];
}

/** Can the comparison wait for the branch that is its only use? Its operands must be values that stay as they are. */
export function waitsForBranch(value: KValue): boolean {
  const { def } = value;
  if (def.kind !== "prim" || !(def.prim in signedConditions) || value.type.lanes !== 1) return false;
  const { dtype } = (def.args[0] as KValue).type;
  return !isFloating(dtype) && dtype !== "f16" && dtype !== "bf16";
}

/** How many leading lanes satisfy `iota < bound`, the mask of a loop's last iteration; undefined for other operands. */
function prefixCount(s: Selector, lanes: KValue, bound: KValue): Affine | undefined {
  if (lanes.def.kind !== "iota" || lanes.type.dtype !== "index") return undefined;
  const { def } = bound;
  const end =
    def.kind === "broadcast"
      ? s.index.affine(def.value)
      : def.kind === "const"
        ? constantAffine(Number(def.value))
        : undefined;
  return end && addAffine(end, s.index.affine(lanes.def.start), -1);
}

/** A comparison of vectors as a mask. */
export function compareVector(
  s: Selector,
  prim: string,
  a: KValue,
  b: KValue,
  type: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { dtype } = a.type;
  if (dtype === "bool") return s.unsupported(prim, dtype, "compare masks with xor");
  const inside = prim === "lt" ? prefixCount(s, a, b) : prim === "gt" ? prefixCount(s, b, a) : undefined;
  if (inside !== undefined && inside.terms.length === 0 && into === undefined)
    return prefixConstant(s, type, inside.constant);
  if (inside !== undefined) {
    // Masks of the same rest are shared, also between loops.
    const key = `mask ${termsKey(inside.terms)}${inside.constant} ${type.lanes}`;
    const known = s.code.lookUp(key, 0);
    if (known !== undefined && into === undefined && s.shape(type).parts === 1) return [known];
    const made = prefixMask(s, type, s.index.sum(inside), into);
    if (into === undefined && made.length === 1) s.code.region.sums.set(key, made[0] as Reg);
    return made;
  }
  if (dtype === "f16" || dtype === "bf16")
    return compareParts(
      s,
      prim,
      { ...a.type, dtype: "f32" },
      widenParts(s, s.regs(a), a.type),
      widenParts(s, s.regs(b), b.type),
      type,
      into,
    );
  if (s.wide) return [opmaskCompare(s, prim, a.type, s.regs(a), s.operands(b), into?.[0])];
  return compareParts(s, prim, a.type, s.regs(a), s.regs(b), type, into);
}

export function compareParts(
  s: Selector,
  prim: string,
  operand: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  mask: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  if (s.wide) return [opmaskCompare(s, prim, operand, a, b, into?.[0])];
  return vectorCompare(s, prim, operand, a, b, mask, into);
}

/** Opmasks: the bits of all parts side by side in one mask register. */
function opmaskCompare(
  s: Selector,
  prim: string,
  type: KType,
  a: readonly Reg[],
  b: readonly (Reg | Mem)[],
  into: Reg | undefined,
): Reg {
  const { code } = s;
  const { dtype } = type;
  const shape = s.shape(type);
  const parts = a.map((x, i) => {
    const out = a.length === 1 && into !== undefined ? into : code.mask();
    if (isFloating(dtype))
      code.emit(dtype === "f32" ? "vcmpps" : "vcmppd", out, x, b[i]!, FLOAT_PREDICATES[prim] as number);
    else
      code.emit(
        `vpcmp${isSigned(dtype) ? "" : "u"}${{ 1: "b", 2: "w", 4: "d", 8: "q" }[laneBytesOf(dtype)]}`,
        out,
        x,
        b[i]!,
        integerPredicates[prim] as number,
      );
    return out;
  });
  return joinMasks(s, parts, shape.lanes, into);
}

/** One mask from those of the parts, `lanes` bits each. */
export function joinMasks(s: Selector, parts: readonly Reg[], lanes: number, into?: Reg): Reg {
  const { code } = s;
  let joined = parts[0] as Reg;
  for (let i = 1; i < parts.length; i++) {
    const shifted = code.mask();
    const sum = i === parts.length - 1 && into !== undefined ? into : code.mask();
    code.emit("kshiftlq", shifted, parts[i]!, i * lanes);
    code.emit("korq", sum, joined, shifted);
    joined = sum;
  }
  return joined;
}

/** AVX2: compares in the operands' lanes, then brings the result to 32-bit lanes. */
function vectorCompare(
  s: Selector,
  prim: string,
  type: KType,
  a: readonly Reg[],
  b: readonly Reg[],
  mask: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { dtype } = type;
  const bytes = laneBytesOf(dtype);
  const out = into ?? s.fresh(mask);
  if (bytes < 4) {
    // Bytes and words are compared as 32-bit integers.
    const wide: KType = { ...type, dtype: "i32" };
    return vectorCompare(s, prim, wide, widenParts(s, a, type), widenParts(s, b, type), mask, into);
  }
  const shape = s.shape(type);
  const compared = a.map((x, i) => {
    const to = bytes === 4 ? out[i]! : s.vector(shape.bytes);
    compareLanes(s, prim, dtype, to, x, b[i]!, shape.bytes);
    return to;
  });
  if (bytes === 4) return out;
  out.forEach((to, i) => narrowQuad(s, to, compared[2 * i]!, compared[2 * i + 1]));
  return out;
}
