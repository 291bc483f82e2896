/**
 * Random kernels on the element level, for tests of passes and targets: small integers in f32 and i32, so that sums
 * are exact in any order and results can be compared bit by bit; one more output has a random type.
 */

import { DTYPES, DTYPE_INFO, type DType } from "../dtype.ts";
import { symbol } from "../dim.ts";
import { KernelBuilder } from "./builder.ts";
import { toElement, writeElement } from "./element.ts";
import { type KernelInputs, seededRandom } from "./interpret.ts";
import type { Buffer, KValue, Kernel } from "./ir.ts";

/** Elements of each buffer; index expressions stay below. */
const SIZE = 4096;
const OPERANDS = 3584;

export interface RandomKernel {
  readonly kernel: Kernel;
  /** Fresh copies of the arguments; the outputs are `y`, `z` and `q`. */
  inputs(): KernelInputs & { readonly buffers: Record<string, Float32Array | Int32Array | Uint8Array> };
}

/** The kernel of `seed`: the same seed gives the same kernel. */
export function randomKernel(seed: number): RandomKernel {
  const random = seededRandom(seed);
  const generator = new Generator(random, seed);
  const kernel = generator.run();
  const n = generator.runtimeSize;
  const data = seededRandom(seed + 1000);
  const floats = Float32Array.from({ length: SIZE }, () => Math.floor(data() * 17) - 8);
  const ints = Int32Array.from({ length: SIZE }, () => Math.floor(data() * 64));
  const bytes = Uint8Array.from({ length: SIZE }, () => Math.floor(data() * 256));
  return {
    kernel,
    inputs: () => ({
      buffers: {
        x: floats.slice(),
        w: ints.slice(),
        b: bytes.slice(),
        y: new Float32Array(SIZE),
        z: new Int32Array(SIZE),
        q: operands(generator.dtype, seed),
      },
      symbols: { n },
    }),
  };
}

/** Memory of `q`: small numbers in its last part, which is read and never written. */
function operands(dtype: DType, seed: number): Uint8Array {
  const { bytes } = DTYPE_INFO[dtype];
  const random = seededRandom(seed + 2000);
  const memory = new Uint8Array(SIZE * bytes);
  const view = new DataView(memory.buffer);
  for (let at = OPERANDS; at < SIZE; at++)
    writeElement(view, at * bytes, dtype, toElement(dtype, Math.floor(random() * 41) - 20));
  return memory;
}

class Generator {
  readonly #random: () => number;
  readonly #k: KernelBuilder;
  readonly #x: Buffer;
  readonly #w: Buffer;
  readonly #b: Buffer;
  readonly #y: Buffer;
  readonly #z: Buffer;
  readonly #q: Buffer;
  /** Type of `q`. */
  readonly dtype: DType;
  readonly runtimeSize: number;

  constructor(random: () => number, seed: number) {
    this.#random = random;
    this.#k = new KernelBuilder(`random${seed}`);
    this.#x = this.#k.buffer("x", "f32", SIZE);
    this.#w = this.#k.buffer("w", "i32", SIZE);
    this.#b = this.#k.buffer("b", "u8", SIZE);
    this.#y = this.#k.buffer("y", "f32", SIZE, { access: "readwrite" });
    this.#z = this.#k.buffer("z", "i32", SIZE, { access: "readwrite" });
    this.runtimeSize = this.#below(70);
    this.dtype = this.#pick(...DTYPES);
    this.#q = this.#k.buffer("q", this.dtype, SIZE, { access: "readwrite" });
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #pick<T>(...options: readonly T[]): T {
    return options[this.#below(options.length)] as T;
  }

  run(): Kernel {
    const k = this.#k;
    const tasks = 1 + this.#below(3);
    k.parallel(tasks, (task) => {
      const base = k.mul(task, 1024);
      const size = this.#pick<KValue>(k.index(symbol("n")), k.index(this.#below(70)), k.index(64));
      const rounds = 1 + this.#below(2);
      for (let round = 0; round < rounds; round++) {
        this.#round(base, k.add(base, round * 512), size);
      }
    });
    return k.finish();
  }

  /** One `each`, alone or in a loop or condition of the task. */
  #round(base: KValue, offset: KValue, size: KValue): void {
    const k = this.#k;
    const total = (): KValue =>
      this.#below(2) === 0 ? this.#float(base, undefined, 2) : this.#reduction(base, size, 2);
    switch (this.#below(4)) {
      case 0: {
        const carried = k.local("carried", "f32", 1);
        return k.for({ end: 2, unroll: this.#pick(1, 2) }, (j) => {
          k.assign(carried, k.min(k.add(k.read(carried), total()), 50));
          k.each(size, (i) => this.#body(k.add(offset, k.mul(j, 256)), i, size, k.read(carried)));
        });
      }
      case 1:
        return k.if(k.lt(size, this.#below(70)), () => {
          const sum = total();
          k.each(size, (i) => this.#body(offset, i, size, sum));
        });
      default: {
        const sum = total();
        return k.each(size, (i) => this.#body(offset, i, size, sum));
      }
    }
  }

  #body(offset: KValue, i: KValue, size: KValue, total: KValue): void {
    const k = this.#k;
    // Stores forwards, backwards or two apart, never twice to one place.
    const place = this.#pick(i, i, i, k.sub(k.sub(size, 1), i), k.mul(i, 2));
    const at = k.add(offset, place);
    const value = k.add(this.#float(offset, i, 3), total);
    switch (this.#below(7)) {
      case 5:
        return k.store(this.#q, at, this.#typed(i, value));
      case 6:
        return k.store(this.#q, at, this.#typed(i, value), { mask: this.#condition(i) });
      case 0:
        return k.if(
          this.#condition(i),
          () => k.store(this.#y, at, value),
          () => k.store(this.#y, at, -1),
        );
      case 1:
        return k.store(this.#z, at, k.cast(value, "i32"), { mask: this.#condition(i) });
      case 2: {
        const sum = k.local("sum", "f32", this.#float(offset, i, 1));
        k.for({ end: 1 + this.#below(4) }, (j) => {
          k.if(this.#condition(k.add(i, j)), () =>
            k.assign(sum, k.add(k.read(sum), this.#float(offset, k.add(i, j), 1))),
          );
        });
        return k.store(this.#y, at, k.read(sum));
      }
      case 3:
        k.if(this.#condition(i), () => {
          const inner = k.local("inner", "f32", value);
          k.if(
            this.#condition(i),
            () => k.assign(inner, this.#float(offset, i, 1)),
            () => k.assign(inner, 3),
          );
          k.store(this.#y, at, k.read(inner));
        });
        return;
      default:
        return k.store(this.#y, at, value);
    }
  }

  /** A value of the type of `q`, from what `q` holds and `value`. */
  #typed(i: KValue, value: KValue): KValue {
    const k = this.#k;
    const a = k.cast(k.max(k.min(value, 100), -100), this.dtype);
    const b = k.load(this.#q, k.add(i, OPERANDS + this.#below(2) * 8));
    if (this.dtype === "bool")
      return this.#pick(
        () => k.and(a, b),
        () => k.xor(a, b),
        () => k.or(k.not(a), b),
      )();
    const c = k.const(this.dtype, this.#below(5));
    const options = [
      () => k.add(a, c),
      () => k.sub(a, b),
      () => k.max(k.min(a, c), b),
      () => k.select(k.lt(a, c), b, a),
      () => k.abs(a),
    ];
    // 64-bit products and conversions of 64-bit integers are slow paths of their own; narrow ones wrap.
    const { kind, bytes } = DTYPE_INFO[this.dtype];
    if (kind === "float")
      options.push(
        () => k.mul(a, c),
        () => k.sqrt(k.abs(a)),
        () => k.floor(k.mul(a, 0.5)),
        () => k.fma(a, c, b),
      );
    else
      options.push(
        () => k.and(a, c),
        () => k.or(a, c),
        () => k.xor(a, b),
        () => k.shl(a, 3),
        () => k.shr(a, 2),
        () => k.not(a),
      );
    if (kind !== "float" && bytes >= 2) options.push(() => k.mul(a, c));
    const result = this.#pick(...options)();
    return this.#below(3) === 0 ? k.cast(k.cast(result, "f32"), this.dtype) : result;
  }

  /** An index within the buffers, from the axis or without it. */
  #index(base: KValue, i: KValue | undefined): KValue {
    const k = this.#k;
    if (i === undefined) return k.add(base, this.#below(100));
    const place = this.#pick<() => KValue>(
      () => i,
      () => k.add(i, this.#below(9)),
      () => k.sub(200, i),
      () => k.mul(i, 3),
      () => k.div(k.add(i, this.#pick(0, 64, 5)), this.#pick(64, 32, 7)),
      () => k.rem(k.add(i, this.#pick(0, 64, 3)), this.#pick(64, 16, 5)),
      () => k.div(k.mul(i, 64), this.#pick(16, 64)),
      () => k.add(k.mul(k.rem(i, 16), 16), k.div(i, 16)),
      () => k.min(i, 20),
      () => k.cast(k.load(this.#w, i), "index"),
    )();
    return k.add(base, place);
  }

  #condition(i: KValue): KValue {
    const k = this.#k;
    const limit = this.#below(64);
    return this.#pick<() => KValue>(
      () => k.lt(i, limit),
      () => k.ge(k.add(i, 3), limit),
      () => k.gt(k.sub(40, i), limit),
      () => k.eq(i, limit),
      () => k.and(k.le(i, limit), k.ne(i, 5)),
      () => k.lt(k.mul(i, 2), limit),
      () => k.gt(k.load(this.#x, i), 0),
    )();
  }

  #float(base: KValue, i: KValue | undefined, depth: number): KValue {
    const k = this.#k;
    const leaf = (): KValue => {
      switch (this.#below(6)) {
        case 0:
          return k.const("f32", this.#below(7) - 3);
        case 1:
          return k.cast(k.load(this.#w, this.#index(base, i)), "f32");
        case 2:
          return i === undefined ? k.const("f32", 1) : k.cast(this.#pick(i, k.mul(i, 5), k.sub(9, i)), "f32");
        case 3:
          return k.cast(k.load(this.#b, i === undefined ? base : k.add(base, i)), "f32");
        case 4:
          if (i === undefined) return k.load(this.#x, base);
          return k.load(this.#x, this.#index(base, i), { mask: this.#condition(i), other: this.#pick(0, 7) });
        default:
          return k.load(this.#x, this.#index(base, i));
      }
    };
    if (depth === 0) return leaf();
    const a = this.#float(base, i, depth - 1);
    const b = leaf();
    switch (this.#below(7)) {
      case 0:
        return k.add(a, b);
      case 1:
        return k.sub(b, a);
      case 2:
        return k.max(a, b);
      case 3:
        return i === undefined ? k.min(a, b) : k.select(this.#condition(i), a, b);
      case 4:
        return k.neg(k.min(a, b));
      case 5:
        return i === undefined || depth < 2
          ? k.abs(a)
          : k.add(a, this.#reduction(k.add(base, this.#pick(k.index(0), i, k.mul(i, 8))), k.index(this.#below(6)), 0));
      default:
        return k.min(k.mul(k.max(a, -8), 0.5), b);
    }
  }

  #reduction(base: KValue, size: KValue, depth: number): KValue {
    const k = this.#k;
    if (this.#below(3) === 0) return k.reduce(this.#pick("max", "min"), size, (j) => this.#float(base, j, depth));
    // Sums of small integers and halves stay exact.
    return k.reduce("sum", size, (j) => {
      const term = k.round(k.max(k.min(this.#float(base, j, depth), 100), -100));
      return this.#below(2) === 0 ? term : k.mul(term, k.const("f32", 2));
    });
  }
}
