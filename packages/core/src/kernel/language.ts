/**
 * The kernel language: a kernel is a TypeScript function that runs once and records IR.
 *
 * In: a name, parameters with shapes, and the body. Out: a `KernelTemplate`; `build` gives the kernel for sizes that
 * are numbers (specialised) or dimensions. Ordinary TypeScript is the metaprogram: `for` unrolls, `if` specialises.
 *
 * @example
 * const scale = kernel("scale", { x: buffer("f32", ["n"]), y: out("f32", ["n"]), a: scalar("f32") },
 *   (k, { x, y, a, n }) => k.each(n, (i) => y.set([i], x.at(i).mul(a))));
 * const forAnyLength = scale.build();
 * const for1024 = scale.build({ n: 1024 });
 */

import { type Dim, shapeSize, symbol } from "../dim.ts";
import type { DType } from "../dtype.ts";
import { UserError } from "../errors.ts";
import { type IndexArg, KernelBuilder } from "./builder.ts";
import { Expr, type Literal, type ExprArg } from "./expr.ts";
import type { Access, Buffer, Combiner, KDType, KValue, Kernel, Local } from "./ir.ts";

/** An axis of a parameter: the name of a size, or a size. */
export type Extent = string | Dim;

export interface BufferSpec<T extends DType, S extends readonly Extent[]> {
  readonly kind: "buffer";
  readonly dtype: T;
  readonly shape: S;
  readonly access: Access;
  readonly alignBytes: number | undefined;
}

export interface ScalarSpec<T extends KDType> {
  readonly kind: "scalar";
  readonly dtype: T;
}

interface SpecOptions {
  readonly alignBytes?: number;
}

/** A tensor that the kernel reads. */
export function buffer<T extends DType, const S extends readonly Extent[]>(
  dtype: T,
  shape: S,
  options: SpecOptions = {},
): BufferSpec<T, S> {
  return { kind: "buffer", dtype, shape, access: "read", alignBytes: options.alignBytes };
}

/** A tensor that the kernel writes. */
export function out<T extends DType, const S extends readonly Extent[]>(
  dtype: T,
  shape: S,
  options: SpecOptions = {},
): BufferSpec<T, S> {
  return { ...buffer(dtype, shape, options), access: "write" };
}

/** A tensor that the kernel reads and writes. */
export function inout<T extends DType, const S extends readonly Extent[]>(
  dtype: T,
  shape: S,
  options: SpecOptions = {},
): BufferSpec<T, S> {
  return { ...buffer(dtype, shape, options), access: "readwrite" };
}

export function scalar<T extends KDType>(dtype: T): ScalarSpec<T> {
  return { kind: "scalar", dtype };
}

type AnySpec = BufferSpec<DType, readonly Extent[]> | ScalarSpec<KDType>;
type Specs = Readonly<Record<string, AnySpec>>;

type SizeNames<P extends Specs> = {
  [N in keyof P]: P[N] extends BufferSpec<DType, infer S> ? Extract<S[number], string> : never;
}[keyof P];

type Bound<P extends Specs> = {
  readonly [N in keyof P]: P[N] extends BufferSpec<infer T, readonly Extent[]>
    ? BufferRef<T>
    : P[N] extends ScalarSpec<infer T>
      ? Expr<T>
      : never;
} & { readonly [N in SizeNames<P>]: Expr<"index"> };

export interface KernelTemplate<N extends string> {
  readonly name: string;
  /** The kernel for the given sizes; sizes that are not given become symbols of the same name. */
  build(sizes?: Partial<Readonly<Record<N, Dim>>>): Kernel;
}

export function kernel<P extends Specs>(
  name: string,
  params: P,
  body: (k: KernelScope, bound: Bound<P>) => void,
): KernelTemplate<SizeNames<P>> {
  return {
    name,
    build(sizes = {}) {
      const k = new KernelBuilder(name);
      const given = sizes as Readonly<Record<string, Dim | undefined>>;
      const bound: Record<string, unknown> = {};
      for (const [param, spec] of Object.entries(params)) {
        if (spec.kind === "scalar") {
          bound[param] = new Expr(k, k.scalar(param, spec.dtype));
          continue;
        }
        const shape = spec.shape.map((extent) =>
          typeof extent === "string" ? (given[extent] ?? symbol(extent)) : extent,
        );
        // Sizes in the order of the axes, which is the order of the symbols.
        spec.shape.forEach((extent, axis) => {
          if (typeof extent === "string") bound[extent] ??= new Expr<"index">(k, k.index(shape[axis] as Dim));
        });
        const { access, alignBytes } = spec;
        const memory = k.buffer(
          param,
          spec.dtype,
          shapeSize(shape),
          alignBytes === undefined ? { access } : { access, alignBytes },
        );
        bound[param] = new BufferRef(k, memory, shape);
      }
      body(new KernelScope(k), bound as Bound<P>);
      return k.finish();
    },
  };
}

/** Sizes and positions: expressions, host numbers and dimensions. */
export type IndexLike = Expr<"index"> | Dim;

function toIndex(index: IndexLike): IndexArg {
  return index instanceof Expr ? index.value : index;
}

/** A buffer with a shape, addressed by one index per axis (row-major). */
export class BufferRef<T extends DType> {
  readonly buffer: Buffer;
  readonly shape: readonly Dim[];
  readonly #k: KernelBuilder;

  constructor(builder: KernelBuilder, memory: Buffer, shape: readonly Dim[]) {
    this.#k = builder;
    this.buffer = memory;
    this.shape = shape;
  }

  /** Element offset of a position. */
  offset(index: readonly IndexLike[]): KValue {
    const k = this.#k;
    if (index.length !== this.shape.length) {
      throw new UserError(
        `kernel ${k.name}: "${this.buffer.name}" has ${this.shape.length} axes, got ${index.length} indices`,
      );
    }
    let offset = k.index(0);
    index.forEach((position, axis) => {
      offset = k.add(k.mul(offset, k.index(this.shape[axis] as Dim)), k.index(toIndex(position)));
    });
    return offset;
  }

  at(...index: IndexLike[]): Expr<T> {
    return new Expr<T>(this.#k, this.#k.load(this.buffer, this.offset(index)));
  }

  /** The element, or `other` where `condition` does not hold; memory is not read there. */
  atIf(condition: Expr<"bool">, index: readonly IndexLike[], other: ExprArg<T>): Expr<T> {
    const fallback = other instanceof Expr ? other.value : (other as number);
    return new Expr<T>(
      this.#k,
      this.#k.load(this.buffer, this.offset(index), { mask: condition.value, other: fallback }),
    );
  }

  /** Consecutive elements along the last axis, from `index` on. */
  vector(lanes: number, ...index: IndexLike[]): Expr<T> {
    return new Expr<T>(this.#k, this.#k.load(this.buffer, this.offset(index), { lanes }));
  }

  /** Stores an element, or consecutive ones of a vector. */
  set(index: readonly IndexLike[], value: ExprArg<T>): void {
    this.#k.store(this.buffer, this.offset(index), value instanceof Expr ? value.value : (value as number));
  }
}

/** A mutable variable of a kernel. */
export class Variable<T extends KDType> {
  readonly #k: KernelBuilder;
  readonly #local: Local;

  constructor(builder: KernelBuilder, local: Local) {
    this.#k = builder;
    this.#local = local;
  }

  get(): Expr<T> {
    return new Expr<T>(this.#k, this.#k.read(this.#local));
  }

  set(value: ExprArg<T>): void {
    this.#k.assign(this.#local, value instanceof Expr ? value.value : (value as number));
  }
}

/** Control flow and declarations of the kernel language. */
export class KernelScope {
  readonly builder: KernelBuilder;

  constructor(builder: KernelBuilder) {
    this.builder = builder;
  }

  #axis(body: (i: Expr<"index">) => void): (axis: KValue) => void {
    return (axis) => body(new Expr<"index">(this.builder, axis));
  }

  const<T extends KDType>(dtype: T, value: Literal<T>): Expr<T> {
    return new Expr<T>(this.builder, this.builder.const(dtype, value as number));
  }

  index(size: Dim): Expr<"index"> {
    return new Expr<"index">(this.builder, this.builder.index(size));
  }

  /** Independent tasks; only at the top of a kernel. */
  parallel(count: IndexLike, body: (i: Expr<"index">) => void): void {
    this.builder.parallel(toIndex(count), this.#axis(body));
  }

  /** Independent elements: vector lanes on CPUs, invocations of a workgroup on GPUs. */
  each(count: IndexLike, body: (i: Expr<"index">) => void): void {
    this.builder.each(toIndex(count), this.#axis(body));
  }

  /** Combines the values of `body` for 0..count-1. */
  reduce<T extends KDType>(count: IndexLike, combiner: Combiner, body: (i: Expr<"index">) => Expr<T>): Expr<T> {
    return new Expr<T>(
      this.builder,
      this.builder.reduce(combiner, toIndex(count), (axis) => body(new Expr<"index">(this.builder, axis)).value),
    );
  }

  /** A sequential loop over 0..count-1, or with bounds and step. */
  for(
    range:
      | IndexLike
      | { readonly start?: IndexLike; readonly end: IndexLike; readonly step?: number; readonly unroll?: number },
    body: (i: Expr<"index">) => void,
  ): void {
    const bounds = typeof range === "object" && "end" in range ? range : { end: range };
    const { start = 0, end, step = 1, unroll = 1 } = bounds;
    this.builder.for({ start: toIndex(start), end: toIndex(end), step, unroll }, this.#axis(body));
  }

  if(condition: Expr<"bool">, then: () => void, otherwise?: () => void): void {
    this.builder.if(condition.value, then, otherwise);
  }

  variable<T extends KDType>(name: string, initial: Expr<T>): Variable<T> {
    return new Variable<T>(this.builder, this.builder.local(name, initial.value.type, initial.value));
  }

  /** Memory of one task or workgroup, undefined at start. */
  scratch<T extends DType>(name: string, dtype: T, shape: readonly Dim[]): BufferRef<T> {
    return new BufferRef<T>(this.builder, this.builder.scratch(name, dtype, shapeSize(shape)), shape);
  }

  /** All invocations of the workgroup reach this place and see each other's writes. */
  barrier(): void {
    this.builder.barrier();
  }
}
