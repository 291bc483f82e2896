/** Facts about element types that every part of selection asks for. */
import { DTYPE_INFO } from "@quern/core";
import type { KDType, KType } from "@quern/core/kernel";

export function laneBytesOf(dtype: KDType): number {
  return dtype === "index" ? 8 : DTYPE_INFO[dtype].bytes;
}

/** Types that are computed in vector registers also as scalars. */
export function isFloating(dtype: KDType): dtype is "f32" | "f64" {
  return dtype === "f32" || dtype === "f64";
}

export function isSigned(dtype: KDType): boolean {
  return dtype === "index" || DTYPE_INFO[dtype].kind === "int";
}

/** Packed or scalar suffix of floating-point instructions. */
export function floatSuffix(type: KType): string {
  return (type.lanes === 1 ? "s" : "p") + (type.dtype === "f32" ? "s" : "d");
}

/** The letter of integer instructions for elements of this many bytes. */
export const LANE_LETTERS: Readonly<Record<number, string>> = { 1: "b", 2: "w", 4: "d", 8: "q" };

/** Unaligned moves with a write mask, by element size. */
export function moveOp(laneBytes: number): string {
  return laneBytes === 8 ? "vmovupd" : laneBytes === 4 ? "vmovups" : laneBytes === 2 ? "vmovdqu16" : "vmovdqu8";
}
