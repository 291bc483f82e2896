/**
 * Elements of 8 and 16 bits in the type they are computed in: i32, or f32 for f16 and bf16.
 */
import type { KDType, KType } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { isSigned, laneBytesOf } from "./element.ts";
import { lowLane } from "./lanes.ts";
import { widenWith } from "./regroup.ts";
import type { Selector } from "./selector.ts";

export function isNarrow(dtype: KDType): boolean {
  return laneBytesOf(dtype) < 4;
}

export function widened(dtype: KDType): "f32" | "i32" {
  return dtype === "f16" || dtype === "bf16" ? "f32" : "i32";
}

/** 8- and 16-bit types as i32 or f32; the rest as it is. */
export function widenParts(s: Selector, regs: readonly Reg[], type: KType, into?: readonly Reg[]): readonly Reg[] {
  const { code } = s;
  const { dtype } = type;
  const to: KType = { ...type, dtype: widened(dtype) };
  if (!isNarrow(dtype)) return s.copy(regs, into);
  if (dtype === "f16") {
    if (type.lanes > 1) return widenWith(s, "vcvtph2ps", regs, type, to, into);
    const out = into ?? s.fresh(to);
    code.emit("vcvtph2ps", s.resize(out[0] as Reg, 16), lowLane(s, { ...type, dtype: "u16" }, regs[0] as Reg));
    return out;
  }
  if (dtype === "bf16") {
    if (type.lanes === 1) {
      const bits = code.general();
      const out = into ?? s.fresh(to);
      code.emit("mov", r32(bits.id), r32((regs[0] as Reg).id));
      code.emit("shl", r32(bits.id), 16);
      code.emit("vmovd", out[0] as Reg, r32(bits.id));
      return out;
    }
    const lanes = widenWith(s, "vpmovzxwd", regs, type, to);
    const out = into ?? s.fresh(to);
    out.forEach((reg, i) => code.emit("vpslld", reg, lanes[i] as Reg, 16));
    return out;
  }
  if (type.lanes === 1) return s.copy(regs, into);
  return widenWith(
    s,
    `vpmov${isSigned(dtype) ? "s" : "z"}x${laneBytesOf(dtype) === 1 ? "b" : "w"}d`,
    regs,
    type,
    to,
    into,
  );
}
