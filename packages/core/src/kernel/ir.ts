/**
 * Kernel IR: one kernel is a list of statements in structured regions, the same IR for every target.
 *
 * In: the kernel language (`builder.ts`) or the lowering of fused groups. Out: x86-64, WGSL or the interpreter.
 * Values are single-assignment and defined before use in program order; mutable state lives in `Local`s and memory.
 *
 * Two levels share the IR. The upper level has axes without a target (`each`, `reduce` over elements with scalar
 * bodies); `vectorise` turns them into vector loops for SIMD targets, the WGSL renderer into invocations. The lower
 * level has explicit vectors (`lanes > 1`), masks, matrix tiles (`rows > 1`) and sequential loops only.
 */

import type { DType } from "../dtype.ts";
import type { Dim } from "../dim.ts";

/**
 * `index` is the type of sizes, loop variables and element offsets: i64 on CPUs, u32/i32 on GPUs. Parameters of this
 * type are never negative.
 */
export type KDType = DType | "index";

/**
 * `lanes` 1 is a scalar, more is a vector (a power of two). `rows` > 1 is a matrix tile of rows × lanes elements
 * (AMX tile registers, subgroup matrices). A mask is a `bool` vector.
 */
export interface KType {
  readonly dtype: KDType;
  readonly lanes: number;
  readonly rows: number;
}

/**
 * Primitive operations that every target must have for the types it supports. All work lane by lane.
 * Math functions (exp, erf, …) are not primitives: they are written in the kernel language (`math.ts`).
 */
export const PRIMS = [
  // arithmetic; integer division and remainder truncate and are undefined for a zero divisor; min/max return the
  // second operand when either is NaN (the x86 rule), `math.ts` has the IEEE forms
  "add",
  "sub",
  "mul",
  "div",
  "rem",
  "min",
  "max",
  "neg",
  "abs",
  "sqrt",
  // fma(a, b, c) = a * b + c rounded once
  "fma",
  // rounding to integral values, ties to even for "round"
  "floor",
  "ceil",
  "trunc",
  "round",
  // comparisons give bool; unordered floats compare false except "ne"
  "lt",
  "le",
  "gt",
  "ge",
  "eq",
  "ne",
  // bitwise on integers, logical on bool; shr is arithmetic for signed types
  "and",
  "or",
  "xor",
  "not",
  "shl",
  "shr",
  // select(condition, whenTrue, whenFalse)
  "select",
  // value conversion (float to int truncates and saturates, NaN becomes 0); same-size reinterpretation
  "cast",
  "bitcast",
  // scale2(x, n) = x * 2^n for float n with integral value, saturating to 0 and infinity (vscalefps)
  "scale2",
] as const;

export type Prim = (typeof PRIMS)[number];

/** Combining operators of reductions; the identity element is implied by the operator and dtype. */
export const COMBINERS = ["sum", "prod", "max", "min", "and", "or"] as const;
export type Combiner = (typeof COMBINERS)[number];

/** A single-assignment value. `id` is unique in the kernel and names the value in text (`%id`). */
export interface KValue {
  readonly id: number;
  readonly type: KType;
  readonly def: Def;
}

/** What defines a value. Everything but the first three kinds stands in a `let` statement at its place in order. */
export type Def =
  /** A literal, splat over the lanes. i64/u64 literals beyond 2^53 are bigints. */
  | { readonly kind: "const"; readonly value: number | bigint | boolean }
  /** A scalar parameter or a dimension symbol of the kernel, by name. */
  | { readonly kind: "param"; readonly name: string }
  /** The variable of an enclosing `for`, `parallel`, `each` or `reduce`. */
  | { readonly kind: "axis" }
  | { readonly kind: "prim"; readonly prim: Prim; readonly args: readonly KValue[] }
  /** Reads a mutable local at this place in the program. */
  | { readonly kind: "read"; readonly local: Local }
  /**
   * `lanes` consecutive elements from element offset `index` (a scalar index), or one per lane when `index` is a
   * vector (gather). Lanes where `mask` is false are not accessed and give 0 (or `other`).
   */
  | {
      readonly kind: "load";
      readonly buffer: Buffer;
      readonly index: KValue;
      readonly mask?: KValue | undefined;
      readonly other?: KValue | undefined;
    }
  /** Scalar to every lane. */
  | { readonly kind: "broadcast"; readonly value: KValue }
  /** Scalar start, gives start, start + 1, … (dtype index or an integer type). */
  | { readonly kind: "iota"; readonly start: KValue }
  /** Combines all lanes to a scalar. */
  | { readonly kind: "horizontal"; readonly combiner: Combiner; readonly value: KValue }
  /** Lanes of `a` then `b` picked by constant positions (0..2*lanes-1). */
  | { readonly kind: "shuffle"; readonly a: KValue; readonly b: KValue; readonly pattern: readonly number[] }
  /** One lane, by constant position. */
  | { readonly kind: "extract"; readonly value: KValue; readonly lane: number }
  /** The result of the `reduce` statement which contains it. */
  | { readonly kind: "reduced" }
  /** Matrix-tile load: `rows` rows of `lanes` elements, row r at element offset index + r * stride. */
  | { readonly kind: "tileLoad"; readonly buffer: Buffer; readonly index: KValue; readonly stride: KValue }
  /** Target-specific operation by name, for instance "dot4i8" or "bf16dot"; each target lists those it knows. */
  | { readonly kind: "intrinsic"; readonly name: Intrinsic; readonly args: readonly KValue[] };

/**
 * Operations that only some targets have; a kernel using one declares it in `requires`.
 * - `rcpApprox(x)`, `rsqrtApprox(x)`: 12 bits or better.
 * - `dot4u8i8(acc i32, a u32, b u32)`: acc + the sum of the products of the 4 bytes of each lane, those of `a` unsigned and
 *   those of `b` signed (VNNI; WGSL dot4I8Packed). `dot4u7i8`: the same where no byte of `a` is above 127.
 * - `packBytes(x)`: u32×n, the same bits as 4n bytes or 2n halves. `lookupBytes(table u32×4n, x u32×4n)`: each byte of x (0..15) picks one of
 *   the 16 bytes of the table that stand in the same 4 lanes (pshufb).
 * - `bf16Pair(hi f32×n, lo f32×n)`: 2n bf16 lanes, lo first (vcvtne2ps2bf16).
 * - `toBf16Bits(f32×n)`: bf16×n rounded to nearest even.
 */
export const INTRINSICS = [
  "rcpApprox",
  "rsqrtApprox",
  "dot4u8i8",
  "dot4u7i8",
  "packBytes",
  "lookupBytes",
  "bf16Pair",
  "toBf16Bits",
] as const;
export type Intrinsic = (typeof INTRINSICS)[number];

/** A mutable variable: an accumulator or loop-carried value, held in registers. */
export interface Local {
  readonly id: number;
  readonly name: string;
  readonly type: KType;
}

export type BufferSpace =
  /** A parameter: tensor memory. */
  | "global"
  /** Scratch of one task (CPU: memory of the executing thread) or one workgroup (GPU). Undefined at start. */
  | "workgroup";

export type Access = "read" | "write" | "readwrite";

/** Memory of one element type, addressed by element offset 0..size-1. */
export interface Buffer {
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  readonly space: BufferSpace;
  readonly access: Access;
  /** Number of elements; may use dimension symbols of the kernel. */
  readonly size: Dim;
  /** Known alignment of element 0 in bytes (a power of two). */
  readonly alignBytes: number;
}

export interface ScalarParam {
  readonly name: string;
  readonly dtype: KDType;
}

export type Stmt =
  | { readonly kind: "let"; readonly value: KValue }
  | { readonly kind: "assign"; readonly local: Local; readonly value: KValue }
  /** Like `load`: contiguous for a scalar index, scatter for a vector index. Masked-off lanes are not written. */
  | {
      readonly kind: "store";
      readonly buffer: Buffer;
      readonly index: KValue;
      readonly value: KValue;
      readonly mask?: KValue | undefined;
    }
  | {
      readonly kind: "tileStore";
      readonly buffer: Buffer;
      readonly index: KValue;
      readonly stride: KValue;
      readonly value: KValue;
    }
  /** acc += a × b on matrix tiles, in the target's operand layout (AMX: A rows × K pairs, B K-pairs interleaved). */
  | { readonly kind: "tileMma"; readonly acc: Local; readonly a: KValue; readonly b: KValue }
  /** for axis = start; axis < end; axis += step (step > 0, constant). `unroll` copies of the body per iteration. */
  | {
      readonly kind: "for";
      readonly axis: KValue;
      readonly start: KValue;
      readonly end: KValue;
      readonly step: number;
      readonly unroll: number;
      readonly body: Block;
    }
  | { readonly kind: "if"; readonly condition: KValue; readonly then: Block; readonly else: Block }
  /**
   * Independent tasks 0..count-1. Only at the top of a kernel, perfectly nested; CPU: split over threads; GPU: the
   * grid of workgroups, or of invocations when the kernel has no `each` or `reduce` inside.
   */
  | { readonly kind: "parallel"; readonly axis: KValue; readonly count: KValue; readonly body: Block }
  /** Independent elements 0..count-1 with a scalar body: vector lanes (CPU), invocations of the workgroup (GPU). */
  | { readonly kind: "each"; readonly axis: KValue; readonly count: KValue; readonly body: Block }
  /**
   * result = combine over 0..count-1 of `yields`, computed at the end of the scalar body; lanes as for `each`, and
   * like there an iteration may store to elements that no other iteration touches.
   */
  | {
      readonly kind: "reduce";
      readonly result: KValue;
      readonly combiner: Combiner;
      readonly axis: KValue;
      readonly count: KValue;
      readonly body: Block;
      readonly yields: KValue;
    }
  /** All invocations of the workgroup reach this place, and see each other's writes. Nothing on a CPU task. */
  | { readonly kind: "barrier" }
  | { readonly kind: "prefetch"; readonly buffer: Buffer; readonly index: KValue; readonly level: 0 | 1 | 2 };

export type Block = readonly Stmt[];

export interface Kernel {
  readonly name: string;
  /** Parameters in order; the calling convention of every target follows this order, buffers and scalars mixed as given. */
  readonly buffers: readonly Buffer[];
  readonly scalars: readonly ScalarParam[];
  /** Dimension symbols used by buffer sizes and `param` values, passed as index scalars after `scalars`. */
  readonly symbols: readonly string[];
  /** Workgroup-space buffers. */
  readonly scratch: readonly Buffer[];
  readonly locals: readonly Local[];
  readonly body: Block;
}

export const INDEX: KType = { dtype: "index", lanes: 1, rows: 1 };

export function scalarType(dtype: KDType): KType {
  return { dtype, lanes: 1, rows: 1 };
}

export function vectorType(dtype: KDType, lanes: number): KType {
  return { dtype, lanes, rows: 1 };
}

export function sameType(a: KType, b: KType): boolean {
  return a.dtype === b.dtype && a.lanes === b.lanes && a.rows === b.rows;
}

/** `f32`, `f32x16`, `bf16x16x32` (rows × lanes). */
export function printType(type: KType): string {
  if (type.rows > 1) return `${type.dtype}x${type.rows}x${type.lanes}`;
  return type.lanes > 1 ? `${type.dtype}x${type.lanes}` : type.dtype;
}
