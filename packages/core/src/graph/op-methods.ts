/** Signatures of the ops that can be called on a graph or chained on values: each stated once, with the first operand first. */

import type { Dim } from "../dim.ts";
import type { DType } from "../dtype.ts";
import type { Var } from "./methods.ts";

/** An operand that may be a number of the dtype of the others. */
export type Operand = Var | number;

/** A size by number, symbol name or dimension. */
export type Size = Dim | string;

export interface WindowOptions {
  readonly strides?: number | readonly number[];
  readonly dilations?: number | readonly number[];
  /** The same before and after each axis, or one list for each side. */
  readonly padding?:
    | number
    | readonly number[]
    | { readonly before: readonly number[]; readonly after: readonly number[] };
  readonly layout?: "nchw" | "nhwc";
}

export interface ConvOptions extends WindowOptions {
  readonly bias?: Var;
  readonly groups?: number;
}

export interface PoolOptions extends WindowOptions {
  readonly ceilMode?: boolean;
  readonly countIncludePad?: boolean;
}

/** Axes to reduce, all by default. */
export interface ReduceOptions {
  readonly axes?: number | readonly number[];
  readonly keepDims?: boolean;
}

export interface NormOptions {
  readonly scale?: Var;
  readonly bias?: Var;
  /** First axis of the statistics, the last by default. */
  readonly axis?: number;
  readonly epsilon?: number;
}

/** A paged cache: `keys` and `values` (and the scales of an i8 cache) are inputs of the graph, which runs update. */
export interface AttentionCache {
  /** [pages, heads, head size, page size], f32, f16, bf16 or i8. */
  readonly keys: Var;
  /** [pages, heads, page size, head size]. */
  readonly values: Var;
  /** f16 [pages, heads, head size / 32, page size], for i8 alone. */
  readonly keyScales?: Var | undefined;
  /** f16 [pages, heads, page size, head size / 32], for i8 alone. */
  readonly valueScales?: Var | undefined;
  /** i32 [runs, 4]: first token, count, sequence, first position. */
  readonly runs: Var;
  /** i32 [sequences, pages of each]. */
  readonly pages: Var;
}

export interface AttentionOptions {
  /** Factor of the scores, 1 / √(head size) by default. */
  readonly scale?: number;
  /** Scores become softcap · tanh(score / softcap). */
  readonly softcap?: number;
  /** How many positions a token sees, its own included; all by default. */
  readonly window?: number;
}

export type Unary = (x: Var) => Var;
export type Binary = (a: Var, b: Operand) => Var;
export type Reduction = (x: Var, options?: ReduceOptions) => Var;

/** Every method, with its first operand first. */
export interface OpMethods {
  // Elementwise, one operand.
  neg: Unary;
  abs: Unary;
  sign: Unary;
  floor: Unary;
  ceil: Unary;
  round: Unary;
  trunc: Unary;
  sqrt: Unary;
  rsqrt: Unary;
  reciprocal: Unary;
  square: Unary;
  exp: Unary;
  log: Unary;
  sin: Unary;
  cos: Unary;
  tan: Unary;
  tanh: Unary;
  erf: Unary;
  relu: Unary;
  sigmoid: Unary;
  silu: Unary;
  softplus: Unary;
  mish: Unary;
  hardSwish: Unary;
  logicalNot: Unary;
  isNaN: Unary;
  /** x·Φ(x), or its tanh approximation. */
  gelu(x: Var, options?: { readonly approximate?: "none" | "tanh" }): Var;
  leakyRelu(x: Var, alpha?: number): Var;
  elu(x: Var, alpha?: number): Var;
  clamp(x: Var, min?: number, max?: number): Var;
  cast(x: Var, to: DType): Var;
  // Elementwise, broadcasting.
  add: Binary;
  sub: Binary;
  mul: Binary;
  div: Binary;
  pow: Binary;
  mod: Binary;
  maximum: Binary;
  minimum: Binary;
  equal: Binary;
  notEqual: Binary;
  less: Binary;
  lessEqual: Binary;
  greater: Binary;
  greaterEqual: Binary;
  logicalAnd: Binary;
  logicalOr: Binary;
  logicalXor: Binary;
  /** a where the condition holds, else b. One of the two may be a number. */
  where(condition: Var, a: Operand, b: Operand): Var;
  // Movement.
  /** -1 stands for what is left. */
  reshape(x: Var, shape: readonly Size[]): Var;
  /** Reverses the axes by default. */
  transpose(x: Var, perm?: readonly number[]): Var;
  expand(x: Var, shape: readonly Size[]): Var;
  squeeze(x: Var, axes: number | readonly number[]): Var;
  unsqueeze(x: Var, axes: number | readonly number[]): Var;
  /** Merges the axes from `axis` on. */
  flatten(x: Var, axis?: number): Var;
  /** Elements start, start + step, … before `end` of one axis. */
  slice(x: Var, axis: number, start: Dim, end?: Dim, step?: number): Var;
  pad(
    x: Var,
    before: readonly Dim[],
    after: readonly Dim[],
    options?: { readonly mode?: "constant" | "reflect" | "edge" | "wrap"; readonly value?: number },
  ): Var;
  concat(x: Var, others: readonly Var[], axis?: number): Var;
  tile(x: Var, repeats: readonly Dim[]): Var;
  // Index.
  gather(x: Var, indices: Var, axis?: number): Var;
  argMax(x: Var, axis?: number, options?: { readonly keepDims?: boolean }): Var;
  argMin(x: Var, axis?: number, options?: { readonly keepDims?: boolean }): Var;
  cumSum(x: Var, axis: number): Var;
  // Reductions.
  sum: Reduction;
  mean: Reduction;
  max: Reduction;
  min: Reduction;
  prod: Reduction;
  softmax(x: Var, axis?: number): Var;
  logSoftmax(x: Var, axis?: number): Var;
  // Linear and spatial.
  matmul(a: Var, b: Var, options?: { readonly transposeA?: boolean; readonly transposeB?: boolean }): Var;
  /** Each row of x times the matrix of its expert: ids [tokens, slots], weights [experts, out, in]. See `ops/expert-matmul.ts`. */
  expertMatmul(x: Var, ids: Var, weights: Var): Var;
  conv(x: Var, weights: Var, options?: ConvOptions): Var;
  maxPool(x: Var, kernel: readonly number[], options?: PoolOptions): Var;
  averagePool(x: Var, kernel: readonly number[], options?: PoolOptions): Var;
  /** Appends k and v to the cache, then attends: q [tokens, heads, head size] to the same shape. See `ops/attention.ts`. */
  attention(q: Var, k: Var, v: Var, cache: AttentionCache, options?: AttentionOptions): Var;
  layerNorm(x: Var, options?: NormOptions): Var;
  rmsNorm(x: Var, options?: Omit<NormOptions, "bias">): Var;
  shapeOf(x: Var): Var;
}
