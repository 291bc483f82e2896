/** Loads that widen: one instruction for a load and its conversion. */
import type { KType, KValue } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { laneBytesOf } from "./element.ts";
import type { Selector } from "./selector.ts";

/** A cast of a waiting load, where one instruction does both: `vpmovzxbd zmm, [m128]`, `vcvtph2ps zmm, [m256]`. */
export function loadFolded(
  s: Selector,
  value: KValue,
  to: KType,
  into: readonly Reg[] | undefined,
): readonly Reg[] | undefined {
  const { code } = s;
  const { def, type } = value;
  if (s.pending[value.id] !== 1 || def.kind !== "load" || def.mask !== undefined || def.index.type.lanes > 1)
    return undefined;
  const op = wideningOps[`${type.dtype} ${to.dtype}`];
  if (op === undefined) return undefined;
  const target = s.shape(to);
  if (target.bytes < 16 || target.lanes * laneBytesOf(type.dtype) < 4) return undefined;
  s.pending[value.id] = 0;
  const out = into ?? s.fresh(to);
  const bytes = target.lanes * laneBytesOf(type.dtype);
  out.forEach((reg, i) => code.emit(op, reg, s.addresses.address(def.buffer, def.index, i * bytes, 0)));
  return out;
}

const wideningOps: Record<string, string> = {
  "u8 i32": "vpmovzxbd",
  "u8 u32": "vpmovzxbd",
  "i8 i32": "vpmovsxbd",
  "u16 i32": "vpmovzxwd",
  "u16 u32": "vpmovzxwd",
  "i16 i32": "vpmovsxwd",
  "i32 i64": "vpmovsxdq",
  "u32 i64": "vpmovzxdq",
  "i32 index": "vpmovsxdq",
  "f16 f32": "vcvtph2ps",
  "f32 f64": "vcvtps2pd",
  "i32 f64": "vcvtdq2pd",
};
