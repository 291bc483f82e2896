/**
 * How IR types live in WGSL registers, and how literals are written.
 *
 * WGSL computes in f32, i32, u32 and bool. Narrow integers sit in 32-bit registers, wrapped after each operation; f16 and
 * bf16 sit in f32 registers that hold only values of the narrow type. 64-bit types do not exist: `UnsupportedError`.
 */

import { type KDType, type KType, UnsupportedError, isFloatType } from "@quern/core";

export type Register = "f32" | "i32" | "u32" | "bool";

const REGISTER: Readonly<Partial<Record<KDType, Register>>> = {
  f32: "f32",
  f16: "f32",
  bf16: "f32",
  index: "i32",
  i32: "i32",
  i16: "i32",
  i8: "i32",
  u32: "u32",
  u16: "u32",
  u8: "u32",
  bool: "bool",
};

/** The register type of one element. */
export function registerOf(dtype: KDType): Register {
  const register = REGISTER[dtype];
  if (register === undefined) {
    throw new UnsupportedError({ op: "kernel", dtype, target: "wgsl", reason: "WGSL has no 64-bit types" });
  }
  return register;
}

/** The WGSL type of a value: a scalar, `vec2` or `vec4`. */
export function wgslType({ dtype, lanes, rows }: KType): string {
  if (rows > 1)
    throw new UnsupportedError({ op: "matrix tile", target: "wgsl", reason: "tiles are rendered as registers only" });
  return withLanes(registerOf(dtype), lanes);
}

export function withLanes(register: Register, lanes: number): string {
  if (lanes === 1) return register;
  if (lanes !== 2 && lanes !== 4) {
    throw new UnsupportedError({ op: `vector of ${lanes}`, target: "wgsl", reason: "WGSL has vectors of 2 and 4" });
  }
  return `vec${lanes}<${register}>`;
}

/** Names of the lanes of a vector. */
export const LANE_NAMES = ["x", "y", "z", "w"] as const;

/** Bits of the infinities and NaN, which WGSL literals cannot express. */
const SPECIAL_BITS = { inf: "0x7f800000u", negInf: "0xff800000u", nan: "0x7fc00000u" } as const;

/** A literal of `type`, splat over its lanes. `special` renders an f32 from its bits without a constant expression. */
export function literal(type: KType, value: number | bigint | boolean, special: (bits: string) => string): string {
  const element = scalarLiteral(type.dtype, value, special);
  return type.lanes === 1 ? element : `${wgslType(type)}(${element})`;
}

function scalarLiteral(dtype: KDType, value: number | bigint | boolean, special: (bits: string) => string): string {
  const register = registerOf(dtype);
  if (register === "bool") return value ? "true" : "false";
  const number = Number(value);
  if (isFloatType(dtype)) {
    const rounded = Math.fround(number);
    if (Number.isNaN(rounded)) return special(SPECIAL_BITS.nan);
    if (!Number.isFinite(rounded)) return special(rounded > 0 ? SPECIAL_BITS.inf : SPECIAL_BITS.negInf);
    const text = Object.is(rounded, -0)
      ? "-0.0"
      : Number.isInteger(rounded) && Math.abs(rounded) < 1e15
        ? `${rounded}.0`
        : String(rounded);
    return text.startsWith("-") ? `(${text}f)` : `${text}f`;
  }
  if (register === "u32") return `${number >>> 0}u`;
  if (number > 2 ** 31 - 1 || number < -(2 ** 31)) {
    throw new UnsupportedError({ op: "constant", dtype, target: "wgsl", reason: `${number} does not fit 32 bits` });
  }
  return number < 0 ? `i32(${number})` : `${number}i`;
}
