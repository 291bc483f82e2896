/**
 * Element types of tensors: one row each.
 *
 * Block encodings (GGUF K-quants) are no element types: they are how a constant of f32 is stored, see `encoding`.
 */

export const DTYPES = [
  "f64",
  "f32",
  "f16",
  "bf16",
  "i64",
  "i32",
  "i16",
  "i8",
  "u64",
  "u32",
  "u16",
  "u8",
  "bool",
] as const;

export type DType = (typeof DTYPES)[number];

export type DTypeKind = "float" | "int" | "uint" | "bool";

export interface DTypeInfo {
  readonly kind: DTypeKind;
  /** Bytes per element. */
  readonly bytes: number;
  /** Smallest and largest finite value; exact for types of up to 32 bits, as `number` for the others. */
  readonly min: number;
  readonly max: number;
}

export const DTYPE_INFO: Readonly<Record<DType, DTypeInfo>> = {
  f64: { kind: "float", bytes: 8, min: -Number.MAX_VALUE, max: Number.MAX_VALUE },
  f32: { kind: "float", bytes: 4, min: -3.4028234663852886e38, max: 3.4028234663852886e38 },
  f16: { kind: "float", bytes: 2, min: -65504, max: 65504 },
  bf16: { kind: "float", bytes: 2, min: -3.3895313892515355e38, max: 3.3895313892515355e38 },
  i64: { kind: "int", bytes: 8, min: -(2 ** 63), max: 2 ** 63 },
  i32: { kind: "int", bytes: 4, min: -(2 ** 31), max: 2 ** 31 - 1 },
  i16: { kind: "int", bytes: 2, min: -(2 ** 15), max: 2 ** 15 - 1 },
  i8: { kind: "int", bytes: 1, min: -128, max: 127 },
  u64: { kind: "uint", bytes: 8, min: 0, max: 2 ** 64 },
  u32: { kind: "uint", bytes: 4, min: 0, max: 2 ** 32 - 1 },
  u16: { kind: "uint", bytes: 2, min: 0, max: 65535 },
  u8: { kind: "uint", bytes: 1, min: 0, max: 255 },
  bool: { kind: "bool", bytes: 1, min: 0, max: 1 },
};

export function isFloat(dtype: DType): boolean {
  return DTYPE_INFO[dtype].kind === "float";
}

/** True for signed and unsigned integers; false for `bool`. */
export function isInteger(dtype: DType): boolean {
  const { kind } = DTYPE_INFO[dtype];
  return kind === "int" || kind === "uint";
}

export function isDType(text: string): text is DType {
  return Object.hasOwn(DTYPE_INFO, text);
}
