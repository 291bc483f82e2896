/**
 * Reductions over the lanes of a vector: parts are combined first, then halves, in a tree.
 */
import type { Combiner, KType, KValue, Prim } from "@quern/core/kernel";
import { COMBINER_PRIM } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { maskConstant } from "./constants.ts";
import { convert } from "./convert.ts";
import { extractLane } from "./lanes.ts";
import { group } from "./regroup.ts";
import type { Selector } from "./selector.ts";
import { widenParts } from "./widen-lanes.ts";

export function emitHorizontal(
  s: Selector,
  combiner: Combiner,
  value: KValue,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { type } = value;
  const regs = s.regs(value);
  if (type.dtype === "bool") return [reduceMask(s, combiner, type, regs, into?.[0])];
  const scalar: KType = { ...type, lanes: 1 };
  const { laneBytes } = s.shape(type);
  if (laneBytes < 4) {
    // In 32 bits, then back: wraps or rounds once at the end.
    const isFloat = type.dtype === "f16" || type.dtype === "bf16";
    const wide: KType = { ...type, dtype: isFloat ? "f32" : type.dtype.startsWith("u") ? "u32" : "i32" };
    const result = reduce(s, COMBINER_PRIM[combiner], wide, widenParts(s, regs, type), undefined);
    return convert(s, [result], { ...wide, lanes: 1 }, scalar, into, undefined);
  }
  return [reduce(s, COMBINER_PRIM[combiner], type, regs, into?.[0])];
}

function reduce(s: Selector, prim: Prim, type: KType, regs: readonly Reg[], into: Reg | undefined): Reg {
  let parts = regs;
  while (parts.length > 1) {
    const half = parts.length / 2;
    const lanes = (type.lanes * half) / regs.length;
    parts = s.operations.vectorPrim(s, prim, { ...type, lanes }, [parts.slice(0, half), parts.slice(half)], undefined);
  }
  let lanes = type.lanes / regs.length;
  const { laneBytes } = s.shape(type);
  let current = parts[0] as Reg;
  while (lanes > 1) {
    lanes /= 2;
    const shape: KType = { ...type, lanes: Math.max(lanes, 16 / laneBytes) };
    const bytes = Math.max(16, lanes * laneBytes);
    const upper = group(s, [current], lanes * laneBytes, lanes * laneBytes);
    const [combined] = s.operations.vectorPrim(
      s,
      prim,
      shape,
      [[s.resize(current, bytes)], [s.resize(upper, bytes)]],
      undefined,
    ) as [Reg];
    current = combined;
  }
  return extractLane(
    s,
    { ...type, lanes: 16 / laneBytes },
    [s.resize(current, 16)],
    0,
    into ?? (s.fresh({ ...type, lanes: 1 })[0] as Reg),
  );
}

function reduceMask(s: Selector, combiner: Combiner, type: KType, regs: readonly Reg[], into: Reg | undefined): Reg {
  const { code } = s;
  const out = into ?? code.general();
  const [bits, one, result] = [code.general(), code.general(), code.general()];
  const all = combiner === "and" || combiner === "min";
  let wanted: Reg;
  if (s.wide) {
    // Lanes behind the mask's own are undefined.
    const clean = code.mask();
    code.emit("kandq", clean, regs[0] as Reg, maskConstant(s, true, type.lanes));
    code.emit("kmovq", bits, clean);
    wanted = code.general();
    code.emit("kmovq", wanted, maskConstant(s, true, type.lanes));
  } else {
    let joined = regs[0] as Reg;
    for (const reg of regs.slice(1)) {
      const next = s.vector(32);
      code.emit(all ? "vandps" : "vorps", next, joined, reg);
      joined = next;
    }
    const lanes = Math.min(type.lanes, s.shape(type).lanes);
    code.emit("vmovmskps", r32(bits.id), joined);
    code.emit("and", r32(bits.id), 2 ** lanes - 1);
    wanted = code.general();
    code.emit("mov", r32(wanted.id), 2 ** lanes - 1);
  }
  code.emit("mov", r32(one.id), 1);
  code.emit("mov", r32(result.id), 0);
  if (all) {
    code.emit("cmp", bits, wanted);
    code.emit("cmove", result, one);
  } else {
    code.emit("test", bits, bits);
    code.emit("cmovne", result, one);
  }
  s.move(out, result);
  return out;
}
