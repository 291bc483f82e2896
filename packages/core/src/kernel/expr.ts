/**
 * Typed run-time values of the kernel language: `x.sub(mean).square().add(eps).rsqrt()`.
 *
 * An `Expr<"f32">` wraps an IR value and its builder. Mixing types is a compile error; host numbers take the type of
 * the expression. An expression has no value while the kernel is being written, so using one as a host value throws.
 */

import type { DType } from "../dtype.ts";
import { UserError } from "../errors.ts";
import type { KernelBuilder } from "./builder.ts";
import type { KDType, KValue } from "./ir.ts";
import * as math from "./math.ts";

/** Host values that stand for a literal of type `T`. */
export type Literal<T extends KDType> = T extends "bool" ? boolean : T extends "i64" | "u64" ? number | bigint : number;

export type ExprArg<T extends KDType> = Expr<T> | Literal<T>;

export class Expr<T extends KDType = KDType> {
  readonly value: KValue;
  readonly builder: KernelBuilder;

  constructor(builder: KernelBuilder, value: KValue) {
    this.builder = builder;
    this.value = value;
  }

  /** Never returns: there is nothing to convert while the kernel is being written. */
  [Symbol.toPrimitive](): never {
    throw new UserError("run-time value used as a host value", {
      where: `kernel ${this.builder.name}`,
      hint: "use k.if, k.for and select for decisions at run time; arithmetic is written with methods (a.add(b))",
    });
  }

  #arg(operand: ExprArg<T>): KValue {
    return operand instanceof Expr ? operand.value : this.builder.const({ ...this.value.type }, operand as number);
  }

  #same(value: KValue): Expr<T> {
    return new Expr<T>(this.builder, value);
  }

  #bool(value: KValue): Expr<"bool"> {
    return new Expr<"bool">(this.builder, value);
  }

  add(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.add(this.value, this.#arg(b)));
  }
  sub(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.sub(this.value, this.#arg(b)));
  }
  mul(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.mul(this.value, this.#arg(b)));
  }
  /** Integers truncate. */
  div(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.div(this.value, this.#arg(b)));
  }
  /** Remainder with the sign of this. */
  rem(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.rem(this.value, this.#arg(b)));
  }
  /** this * b + c, rounded once. */
  fma(b: ExprArg<T>, c: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.fma(this.value, this.#arg(b), this.#arg(c)));
  }
  min(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.min(this.value, this.#arg(b)));
  }
  max(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.max(this.value, this.#arg(b)));
  }
  neg(): Expr<T> {
    return this.#same(this.builder.neg(this.value));
  }
  abs(): Expr<T> {
    return this.#same(this.builder.abs(this.value));
  }
  square(): Expr<T> {
    return this.#same(this.builder.mul(this.value, this.value));
  }

  sqrt(): Expr<T> {
    return this.#same(this.builder.sqrt(this.value));
  }
  floor(): Expr<T> {
    return this.#same(this.builder.floor(this.value));
  }
  ceil(): Expr<T> {
    return this.#same(this.builder.ceil(this.value));
  }
  trunc(): Expr<T> {
    return this.#same(this.builder.trunc(this.value));
  }
  /** Ties to even. */
  round(): Expr<T> {
    return this.#same(this.builder.round(this.value));
  }
  rsqrt(): Expr<T> {
    return this.#same(math.rsqrt(this.builder, this.value));
  }
  reciprocal(): Expr<T> {
    return this.#same(math.reciprocal(this.builder, this.value));
  }
  exp(): Expr<T> {
    return this.#same(math.exp(this.builder, this.value));
  }
  exp2(): Expr<T> {
    return this.#same(math.exp2(this.builder, this.value));
  }
  log(): Expr<T> {
    return this.#same(math.log(this.builder, this.value));
  }
  log2(): Expr<T> {
    return this.#same(math.log2(this.builder, this.value));
  }
  tanh(): Expr<T> {
    return this.#same(math.tanh(this.builder, this.value));
  }
  sigmoid(): Expr<T> {
    return this.#same(math.sigmoid(this.builder, this.value));
  }
  silu(): Expr<T> {
    return this.#same(math.silu(this.builder, this.value));
  }
  erf(): Expr<T> {
    return this.#same(math.erf(this.builder, this.value));
  }
  gelu(): Expr<T> {
    return this.#same(math.gelu(this.builder, this.value));
  }
  sin(): Expr<T> {
    return this.#same(math.sin(this.builder, this.value));
  }
  cos(): Expr<T> {
    return this.#same(math.cos(this.builder, this.value));
  }
  pow(b: ExprArg<T>): Expr<T> {
    return this.#same(math.pow(this.builder, this.value, this.#arg(b)));
  }

  lt(b: ExprArg<T>): Expr<"bool"> {
    return this.#bool(this.builder.lt(this.value, this.#arg(b)));
  }
  le(b: ExprArg<T>): Expr<"bool"> {
    return this.#bool(this.builder.le(this.value, this.#arg(b)));
  }
  gt(b: ExprArg<T>): Expr<"bool"> {
    return this.#bool(this.builder.gt(this.value, this.#arg(b)));
  }
  ge(b: ExprArg<T>): Expr<"bool"> {
    return this.#bool(this.builder.ge(this.value, this.#arg(b)));
  }
  eq(b: ExprArg<T>): Expr<"bool"> {
    return this.#bool(this.builder.eq(this.value, this.#arg(b)));
  }
  ne(b: ExprArg<T>): Expr<"bool"> {
    return this.#bool(this.builder.ne(this.value, this.#arg(b)));
  }

  and(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.and(this.value, this.#arg(b)));
  }
  or(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.or(this.value, this.#arg(b)));
  }
  xor(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.xor(this.value, this.#arg(b)));
  }
  not(): Expr<T> {
    return this.#same(this.builder.not(this.value));
  }
  shl(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.shl(this.value, this.#arg(b)));
  }
  shr(b: ExprArg<T>): Expr<T> {
    return this.#same(this.builder.shr(this.value, this.#arg(b)));
  }

  /** `whenTrue` where this condition holds, else `whenFalse`; at least one must be an expression. */
  select<U extends KDType>(this: Expr<"bool">, whenTrue: Expr<U>, whenFalse: ExprArg<U>): Expr<U> {
    const other = whenFalse instanceof Expr ? whenFalse.value : (whenFalse as number);
    return new Expr<U>(this.builder, this.builder.select(this.value, whenTrue.value, other));
  }

  cast<U extends KDType>(dtype: U): Expr<U> {
    return new Expr<U>(this.builder, this.builder.cast(this.value, dtype));
  }
  bitcast<U extends DType>(dtype: U): Expr<U> {
    return new Expr<U>(this.builder, this.builder.bitcast(this.value, dtype));
  }
  toFloat(): Expr<"f32"> {
    return this.cast("f32");
  }
  toIndex(): Expr<"index"> {
    return this.cast("index");
  }
}
