/**
 * Masks: bool vectors as opmasks (AVX-512) or as vectors of 32-bit lanes of zeros or ones (AVX2).
 */
import type { KType, KValue, Prim } from "@quern/core/kernel";
import { r32 } from "../asm/index.ts";
import type { Reg } from "../asm/index.ts";
import { integerConstant, maskConstant, splat, vectorConstant } from "./constants.ts";
import type { Selector, Shape } from "./selector.ts";

/** AVX-512: the bits of one part at the bottom of an opmask. */
export function maskPart(s: Selector, mask: Reg, shape: Shape, part: number): Reg {
  if (part === 0) return mask;
  const shifted = s.code.mask();
  s.code.emit("kshiftrq", shifted, mask, part * shape.lanes);
  return shifted;
}

/**
 * The opmask as an instruction on a part may use it: a vector shorter than a register must not touch the lanes
 * behind it, whose bits a comparison leaves undefined.
 */
export function usableMask(s: Selector, mask: Reg, lanes: number, shape: Shape): Reg {
  if (shape.bytes >= 16) return mask;
  const clean = s.code.mask();
  s.code.emit("kandq", clean, mask, maskConstant(s, true, lanes));
  return clean;
}

/** AVX2: the mask for one part of 32- or 64-bit lanes. */
export function maskVectorPart(s: Selector, mask: KValue, shape: Shape, part: number): Reg {
  return maskLanes(s, s.regs(mask), s.shape(mask.type), shape, part);
}

export function maskLanes(s: Selector, regs: readonly Reg[], from: Shape, shape: Shape, part: number): Reg {
  const { code } = s;
  const clean = (reg: Reg): Reg => {
    // Lanes behind a two-lane vector are undefined and must not be accessed.
    if (from.lanes * from.parts !== 2) return reg;
    const low = s.vector(16);
    code.emit("vmovq", low, s.resize(reg, 16));
    return low;
  };
  if (shape.laneBytes === 4) return clean(regs[part] as Reg);
  const perRegister = from.lanes;
  const first = part * shape.lanes;
  let half = clean(regs[Math.floor(first / perRegister)] as Reg);
  if (first % perRegister !== 0) {
    const upper = s.vector(16);
    code.emit("vextractf128", upper, half, 1);
    half = upper;
  }
  const wide = s.vector(Math.max(16, shape.bytes));
  code.emit("vpmovsxdq", wide, s.resize(half, 16));
  return wide;
}

/** AVX2: mask for byte or word lanes, packed from the 32-bit lanes. */
export function packMask(s: Selector, regs: readonly Reg[], from: Shape, shape: Shape, part: number): Reg {
  const count = Math.max(1, shape.lanes / from.lanes);
  const first = Math.floor((part * shape.lanes) / from.lanes);
  const inputs = Array.from({ length: count }, (_, i) => regs[first + i] as Reg);
  const words = packPairs(s, inputs, "vpackssdw");
  if (shape.laneBytes === 2) return words[0] as Reg;
  return packPairs(s, words, "vpacksswb")[0] as Reg;
}

/** Packs registers pairwise with signed saturation, keeping the lanes in order; a single one is packed with itself. */
export function packPairs(s: Selector, regs: readonly Reg[], op: string): Reg[] {
  const { code } = s;
  const out: Reg[] = [];
  for (let i = 0; i < regs.length; i += 2) {
    const low = regs[i] as Reg;
    const high = regs[i + 1];
    if (high === undefined) {
      if (low.cls === "ymm") {
        const upper = s.vector(16);
        const packed = s.vector(16);
        code.emit("vextractf128", upper, low, 1);
        code.emit(op, packed, s.resize(low, 16), upper);
        out.push(packed);
      } else {
        const packed = s.vector(16);
        code.emit(op, packed, low, low);
        out.push(packed);
      }
      continue;
    }
    if (low.cls === "ymm") {
      const mixed = s.vector(32);
      const ordered = s.vector(32);
      code.emit(op, mixed, low, high);
      code.emit("vpermq", ordered, mixed, 0xd8);
      out.push(ordered);
    } else {
      const packed = s.vector(16);
      code.emit(op, packed, low, high);
      out.push(packed);
    }
  }
  return out;
}

/** and, or, xor, not of masks. */
export function maskPrim(
  s: Selector,
  prim: Prim,
  type: KType,
  args: readonly KValue[],
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const [a, b] = args as [KValue, KValue | undefined];
  const x = s.regs(a);
  const y = b === undefined ? undefined : s.regs(b);
  const out = into ?? s.fresh(type);
  if (s.wide) {
    const to = out[0] as Reg;
    if (prim === "not") code.emit("kxorq", to, x[0] as Reg, maskConstant(s, true, type.lanes));
    else code.emit(`k${prim}q`, to, x[0] as Reg, y![0] as Reg);
    return out;
  }
  const { bytes } = s.shape(type);
  out.forEach((to, i) => {
    if (prim === "not") code.emit("vxorps", to, x[i]!, splat(s, new Uint8Array(4).fill(255), bytes));
    else code.emit(`v${prim}ps`, to, x[i]!, y![i]!);
  });
  return out;
}

/** A mask from bytes that are zero or not. */
export function maskFromBytes(s: Selector, type: KType, bytes: readonly Reg[]): readonly Reg[] {
  const { code } = s;
  if (s.wide) {
    const out = code.mask();
    code.emit("vptestmb", out, bytes[0] as Reg, bytes[0] as Reg);
    return [out];
  }
  const shape = s.shape(type);
  const out = s.fresh(type);
  const zero = splat(s, new Uint8Array(4), Math.max(16, shape.bytes));
  out.forEach((to, i) => {
    const wide = s.vector(Math.max(16, shape.bytes));
    const equal = s.vector(Math.max(16, shape.bytes));
    code.emit("vpmovzxbd", wide, byteGroup(s, bytes, i * shape.lanes));
    code.emit("vpcmpeqd", equal, wide, zero);
    code.emit("vxorps", to, equal, splat(s, new Uint8Array(4).fill(255), Math.max(16, shape.bytes)));
  });
  return out;
}

/** The bytes from `at` on at the bottom of an xmm. */
export function byteGroup(s: Selector, regs: readonly Reg[], at: number): Reg {
  const { code } = s;
  const perRegister = regs[0]!.cls === "zmm" ? 64 : regs[0]!.cls === "ymm" ? 32 : 16;
  let reg = regs[Math.floor(at / perRegister)] as Reg;
  let offset = at % perRegister;
  if (perRegister === 64 && offset >= 16) {
    const part = s.vector(16);
    code.emit("vextracti32x4", part, reg, offset >> 4);
    reg = part;
    offset &= 15;
  } else if (perRegister === 32 && offset >= 16) {
    const part = s.vector(16);
    code.emit(s.wide ? "vextracti32x4" : "vextracti128", part, reg, 1);
    reg = part;
    offset &= 15;
  }
  if (offset === 0) return s.resize(reg, 16);
  const shifted = s.vector(16);
  code.emit("vpsrldq", shifted, s.resize(reg, 16), offset);
  return shifted;
}

/** Bytes 0 or 1 from a mask, as stored. */
export function maskToBytes(s: Selector, type: KType, mask: readonly Reg[]): readonly Reg[] {
  const { code } = s;
  const stored: KType = { ...type, dtype: "u8" };
  const shape = s.shape(stored);
  if (s.wide) {
    const to = s.vector(shape.bytes);
    const ones = splat(s, new Uint8Array(4).fill(1), Math.max(16, shape.bytes));
    code.emitMasked(mask[0] as Reg, true, "vmovdqu8", to, s.resize(ones, Math.max(16, shape.bytes)));
    return [to];
  }
  const from = s.shape(type);
  const ones = splat(s, new Uint8Array(4).fill(1), Math.max(16, shape.bytes));
  return Array.from({ length: shape.parts }, (_, part) => {
    const packed = packMask(s, mask, from, shape, part);
    const to = s.vector(Math.max(16, shape.bytes));
    code.emit("vandps", to, s.resize(packed, Math.max(16, shape.bytes)), ones);
    return to;
  });
}

/** A mask with every lane equal to a boolean scalar. */
export function maskFromScalar(
  s: Selector,
  type: KType,
  scalar: Reg,
  into: readonly Reg[] | undefined,
): readonly Reg[] {
  const { code } = s;
  const out = into ?? s.fresh(type);
  const spread = code.general();
  code.emit("mov", r32(spread.id), r32(scalar.id));
  code.emit("neg", spread);
  if (s.wide) {
    // Bits behind the mask's lanes stay clear.
    if (type.lanes < 64)
      code.emit("and", spread, type.lanes <= 31 ? 2 ** type.lanes - 1 : integerConstant(s, 2 ** type.lanes - 1));
    code.emit("kmovq", out[0] as Reg, spread);
    return out;
  }
  const { bytes } = s.shape(type);
  const low = s.vector(16);
  code.emit("vmovd", low, r32(spread.id));
  for (const to of out) code.emit("vpbroadcastd", s.resize(to, Math.max(16, bytes)), low);
  return out;
}

/** The mask of lanes below a number. */
export function prefixConstant(s: Selector, type: KType, count: number): readonly Reg[] {
  const inside = Math.max(0, Math.min(type.lanes, count));
  if (s.wide) return [maskConstant(s, inside > 0, Math.max(1, inside))];
  const shape = s.shape(type);
  return Array.from({ length: shape.parts }, (_, part) => {
    const lanes = Int32Array.from({ length: shape.lanes }, (_lane, i) => (part * shape.lanes + i < inside ? -1 : 0));
    return vectorConstant(s, new Uint8Array(lanes.buffer));
  });
}

/** The mask of lanes below `count` (a general register; anything from minus to plus infinity). */
export function prefixMask(s: Selector, type: KType, count: Reg, into: readonly Reg[] | undefined): readonly Reg[] {
  const { code } = s;
  const out = into ?? s.fresh(type);
  const { lanes } = type;
  const clamped = code.general();
  const limit = integerConstant(s, lanes);
  const zero = integerConstant(s, 0);
  code.emit("mov", clamped, count);
  code.emit("cmp", clamped, lanes);
  code.emit("cmovg", clamped, limit);
  code.emit("test", clamped, clamped);
  code.emit("cmovs", clamped, zero);
  if (s.wide) {
    const bits = code.general();
    code.emit("bzhi", bits, integerConstant(s, -1), clamped);
    code.emit("kmovq", out[0] as Reg, bits);
    return out;
  }
  const shape = s.shape(type);
  const width = Math.max(16, shape.bytes);
  const [low, spread] = [s.vector(16), s.vector(width)];
  code.emit("vmovd", low, r32(clamped.id));
  code.emit("vpbroadcastd", spread, low);
  out.forEach((to, part) => code.emit("vpcmpgtd", to, spread, laneNumbers(s, width, part * shape.lanes)));
  return out;
}

/** 32-bit lanes first, first + 1, … */
export function laneNumbers(s: Selector, bytes: number, first: number): Reg {
  const numbers = Int32Array.from({ length: bytes / 4 }, (_, i) => first + i);
  return s.vectorConstant(new Uint8Array(numbers.buffer));
}
