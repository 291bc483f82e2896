/**
 * Records kernels: every method appends to the current block and returns the new value.
 *
 * In: calls from op records, schedules and the kernel language (`language.ts`). Out: a `Kernel` with values numbered
 * in program order. Here are parameters, memory and control flow; `arithmetic-builder.ts` has the operations on values. Loads and
 * reads of locals are never shared. Type errors are `UserError`s.
 */

import { type Dim, collectSymbols, symbol } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import { UserError, invariant } from "../errors.ts";
import { type Arg, ArithmeticBuilder, checkLanes, type IndexArg, IOTA_CODE, isValue } from "./arithmetic-builder.ts";
import { isFloatType, isIntegerType } from "./element.ts";
import { finishKernel } from "./finish.ts";
import {
  type Access,
  type Buffer,
  type Combiner,
  INDEX,
  type Intrinsic,
  type KDType,
  type KType,
  type KValue,
  type Kernel,
  type Local,
  type ScalarParam,
  printType,
  sameType,
  scalarType,
  vectorType,
} from "./ir.ts";

export { type Arg, type ArithmeticBuilder, type IndexArg, isValue } from "./arithmetic-builder.ts";

export interface BufferOptions {
  readonly access?: Access;
  readonly alignBytes?: number;
}

export interface LoadOptions {
  /** Consecutive elements for a scalar index. */
  readonly lanes?: number;
  readonly mask?: KValue | undefined;
  /** Value of masked-off lanes; 0 by default. */
  readonly other?: Arg | undefined;
}

export interface ForOptions {
  readonly start?: IndexArg;
  readonly end: IndexArg;
  readonly step?: number;
  readonly unroll?: number;
}

export class KernelBuilder extends ArithmeticBuilder {
  readonly #buffers: Buffer[] = [];
  readonly #scalars: ScalarParam[] = [];
  readonly #symbols: string[] = [];
  readonly #scratch: Buffer[] = [];
  readonly #locals: Local[] = [];
  #nextBuffer = 0;

  // --- Parameters -------------------------------------------------------------------------------------------------

  /** A tensor parameter of `size` elements. */
  buffer(name: string, dtype: DType, size: Dim, options: BufferOptions = {}): Buffer {
    const { access = "read", alignBytes = DTYPE_INFO[dtype].bytes } = options;
    this.#newName(name);
    const buffer: Buffer = { id: this.#nextBuffer++, name, dtype, space: "global", access, size, alignBytes };
    this.#buffers.push(buffer);
    this.#collect(size);
    return buffer;
  }

  /** Memory of one task or workgroup, undefined at start. */
  scratch(name: string, dtype: DType, size: Dim, alignBytes = 64): Buffer {
    this.#newName(name);
    const buffer: Buffer = {
      id: this.#nextBuffer++,
      name,
      dtype,
      space: "workgroup",
      access: "readwrite",
      size,
      alignBytes,
    };
    this.#scratch.push(buffer);
    this.#collect(size);
    return buffer;
  }

  /** A scalar parameter. */
  scalar(name: string, dtype: KDType): KValue {
    if (!this.#scalars.some((scalar) => scalar.name === name)) {
      this.#newName(name);
      this.#scalars.push({ name, dtype });
    }
    return this.table.leaf(scalarType(dtype), { kind: "param", name }, `param ${name}`);
  }

  /** Takes over the parameters and scratch of a kernel that is being rebuilt; buffers stay the same objects. */
  adopt(kernel: Kernel): void {
    this.#buffers.push(...kernel.buffers);
    this.#scalars.push(...kernel.scalars);
    this.#symbols.push(...kernel.symbols);
    this.#scratch.push(...kernel.scratch);
    this.#nextBuffer = this.#buffers.length + this.#scratch.length;
  }

  /** A scalar parameter or dimension symbol that is declared already. */
  param(name: string): KValue {
    const scalar = this.#scalars.find((other) => other.name === name);
    if (scalar === undefined && !this.#symbols.includes(name))
      throw new UserError(`kernel ${this.name}: there is no parameter "${name}"`);
    return scalar === undefined ? this.symbol(name) : this.scalar(name, scalar.dtype);
  }

  /** A dimension symbol as a value. */
  symbol(name: string): KValue {
    symbol(name);
    this.#addSymbol(name);
    return this.table.leaf(INDEX, { kind: "param", name }, `param ${name}`);
  }

  #newName(name: string): void {
    if (!/^[A-Za-z_$][\w.$]*$/.test(name)) throw new UserError(`kernel ${this.name}: "${name}" is not an identifier`);
    const taken = [...this.#buffers, ...this.#scalars, ...this.#scratch].some((other) => other.name === name);
    if (taken || this.#symbols.includes(name))
      throw new UserError(`kernel ${this.name}: two parameters are named "${name}"`);
  }

  #addSymbol(name: string): void {
    if (this.#symbols.includes(name)) return;
    this.#newName(name);
    this.#symbols.push(name);
  }

  #collect(dim: Dim): void {
    const names = new Set<string>();
    collectSymbols(dim, names);
    for (const name of names) this.#addSymbol(name);
  }

  // --- Vectors ----------------------------------------------------------------------------------------------------

  /** start, start + 1, … */
  iota(start: KValue, lanes: number): KValue {
    checkLanes("iota", lanes);
    if (start.type.lanes !== 1 || !isIntegerType(start.type.dtype))
      this.fail("iota", "the start must be a scalar integer", [start]);
    if (lanes === 1) return start;
    const type = vectorType(start.type.dtype, lanes);
    return this.table.sharedPair(type, { kind: "iota", start }, IOTA_CODE + Math.log2(lanes), start.id, 0);
  }

  /** Combines all lanes to a scalar. */
  horizontal(combiner: Combiner, value: KValue): KValue {
    checkCombiner(this, combiner, value);
    if (value.type.lanes === 1) return value;
    return this.table.shared(
      scalarType(value.type.dtype),
      { kind: "horizontal", combiner, value },
      `horizontal ${combiner} ${value.id}`,
    );
  }

  /** Lanes of `a` then `b`, picked by constant positions 0..2*lanes-1. */
  shuffle(a: KValue, b: KValue, pattern: readonly number[]): KValue {
    if (!sameType(a.type, b.type) || a.type.rows > 1)
      this.fail("shuffle", "operands must be vectors of one type", [a, b]);
    checkLanes("shuffle", pattern.length);
    if (pattern.some((at) => !Number.isInteger(at) || at < 0 || at >= 2 * a.type.lanes)) {
      this.fail("shuffle", `pattern [${pattern.join(", ")}] leaves the ${2 * a.type.lanes} lanes`, [a, b]);
    }
    if (pattern.length === a.type.lanes && pattern.every((at, i) => at === i)) return a;
    const type = { ...a.type, lanes: pattern.length };
    return this.table.shared(
      type,
      { kind: "shuffle", a, b, pattern: [...pattern] },
      `shuffle ${a.id} ${b.id} ${pattern.join(",")}`,
    );
  }

  /** One lane as a scalar. */
  extract(value: KValue, lane: number): KValue {
    if (value.type.rows > 1 || !Number.isInteger(lane) || lane < 0 || lane >= value.type.lanes) {
      this.fail("extract", `there is no lane ${lane}`, [value]);
    }
    if (value.type.lanes === 1) return value;
    const type = scalarType(value.type.dtype);
    if (value.def.kind === "const") return this.const(type, value.def.value);
    if (value.def.kind === "broadcast") return value.def.value;
    if (value.def.kind === "iota") return this.add(value.def.start, lane);
    return this.table.shared(type, { kind: "extract", value, lane }, `extract ${value.id} ${lane}`);
  }

  /** A target-specific operation; `type` is its result type. */
  intrinsic(name: Intrinsic, args: readonly KValue[], type: KType): KValue {
    const key = `intrinsic ${name} ${printType(type)} ${args.map((arg) => arg.id).join(" ")}`;
    return this.table.shared(type, { kind: "intrinsic", name, args: [...args] }, key);
  }

  // --- Memory -----------------------------------------------------------------------------------------------------

  #mask(op: string, mask: KValue | undefined, lanes: number): KValue | undefined {
    if (mask === undefined) return undefined;
    if (mask.type.dtype !== "bool") this.fail(op, "the mask must be bool", [mask]);
    if (mask.def.kind === "const" && mask.def.value === true) return undefined;
    return this.broadcast(mask, lanes);
  }

  /** Contiguous for a scalar index, a gather for a vector index. */
  load(buffer: Buffer, index: IndexArg, options: LoadOptions = {}): KValue {
    const at = this.index(index);
    const { lanes = at.type.lanes } = options;
    checkLanes("load", lanes);
    if (at.type.lanes !== 1 && at.type.lanes !== lanes)
      this.fail("load", `a gather has as many lanes as its index, not ${lanes}`, [at]);
    const type: KType = { dtype: buffer.dtype, lanes, rows: 1 };
    const mask = this.#mask("load", options.mask, lanes);
    let other: KValue | undefined;
    if (mask !== undefined && options.other !== undefined) {
      other = isValue(options.other) ? this.broadcast(options.other, lanes) : this.const(type, options.other);
      if (!sameType(other.type, type)) this.fail("load", `"other" must be ${printType(type)}`, [other]);
      if (other.def.kind === "const" && other.def.value !== true && Object.is(Number(other.def.value), 0))
        other = undefined;
    }
    return this.table.let(type, { kind: "load", buffer, index: at, mask, other });
  }

  /** Contiguous for a scalar index, a scatter for a vector index. Host numbers are stored as scalars. */
  store(buffer: Buffer, index: IndexArg, value: Arg, options: { readonly mask?: KValue | undefined } = {}): void {
    if (buffer.access === "read")
      throw new UserError(`kernel ${this.name}: store to the read-only buffer "${buffer.name}"`);
    const at = this.index(index);
    let stored = isValue(value) ? value : this.const(buffer.dtype, value);
    if (at.type.lanes > 1) stored = this.broadcast(stored, at.type.lanes);
    if (stored.type.dtype !== buffer.dtype || stored.type.rows > 1)
      this.fail("store", `"${buffer.name}" holds ${buffer.dtype}; cast the value`, [stored]);
    this.table.push({
      kind: "store",
      buffer,
      index: at,
      value: stored,
      mask: this.#mask("store", options.mask, stored.type.lanes),
    });
  }

  prefetch(buffer: Buffer, index: IndexArg, level: 0 | 1 | 2 = 0): void {
    this.table.push({ kind: "prefetch", buffer, index: this.index(index), level });
  }

  barrier(): void {
    this.table.push({ kind: "barrier" });
  }

  tileLoad(
    buffer: Buffer,
    index: IndexArg,
    stride: IndexArg,
    tile: { readonly rows: number; readonly lanes: number },
  ): KValue {
    const type: KType = { dtype: buffer.dtype, lanes: tile.lanes, rows: tile.rows };
    return this.table.let(type, { kind: "tileLoad", buffer, index: this.index(index), stride: this.index(stride) });
  }

  tileStore(buffer: Buffer, index: IndexArg, stride: IndexArg, value: KValue): void {
    if (buffer.access === "read")
      throw new UserError(`kernel ${this.name}: store to the read-only buffer "${buffer.name}"`);
    if (value.type.dtype !== buffer.dtype) this.fail("tileStore", `"${buffer.name}" holds ${buffer.dtype}`, [value]);
    this.table.push({ kind: "tileStore", buffer, index: this.index(index), stride: this.index(stride), value });
  }

  /** acc += a × b. */
  tileMma(acc: Local, a: KValue, b: KValue): void {
    if (acc.type.rows === 1 || a.type.rows === 1 || b.type.rows === 1)
      this.fail("tileMma", "all three must be matrix tiles", [a, b]);
    this.table.push({ kind: "tileMma", acc, a, b });
  }

  // --- Locals -----------------------------------------------------------------------------------------------------

  /** A mutable variable; assigned here when `init` is given. */
  local(name: string, type: KType | KDType, init?: Arg): Local {
    const full = typeof type === "string" ? scalarType(type) : type;
    if (!/^[A-Za-z_$][\w.$]*$/.test(name))
      throw new UserError(`kernel ${this.name}: local "${name}" is not an identifier`);
    const local: Local = { id: this.#locals.length, name, type: full };
    this.#locals.push(local);
    if (init !== undefined) this.assign(local, init);
    return local;
  }

  read(local: Local): KValue {
    return this.table.let(local.type, { kind: "read", local });
  }

  assign(local: Local, value: Arg): void {
    let assigned = isValue(value) ? value : this.const(local.type, value);
    if (assigned.type.lanes === 1 && local.type.rows === 1) assigned = this.broadcast(assigned, local.type.lanes);
    if (!sameType(assigned.type, local.type))
      this.fail("assign", `local "${local.name}" is ${printType(local.type)}`, [assigned]);
    this.table.push({ kind: "assign", local, value: assigned });
  }

  // --- Control flow -----------------------------------------------------------------------------------------------

  /** axis = start, start + step, … below end. */
  for(options: ForOptions, body: (axis: KValue) => void): void {
    const { step = 1, unroll = 1 } = options;
    if (!Number.isInteger(step) || step <= 0)
      throw new UserError(`kernel ${this.name}: for: step ${step} must be a positive integer`);
    if (!Number.isInteger(unroll) || unroll <= 0)
      throw new UserError(`kernel ${this.name}: for: unroll ${unroll} must be a positive integer`);
    const start = this.#bound("for", options.start ?? 0);
    const end = this.#bound("for", options.end);
    const axis = this.table.axis();
    this.table.push({ kind: "for", axis, start, end, step, unroll, body: this.table.record(() => body(axis)) });
  }

  #bound(op: string, size: IndexArg): KValue {
    const value = this.index(size);
    if (value.type.lanes !== 1) this.fail(op, "bounds must be scalar", [value]);
    return value;
  }

  if(condition: KValue, then: () => void, otherwise: () => void = () => {}): void {
    if (condition.type.dtype !== "bool" || condition.type.lanes !== 1)
      this.fail("if", "the condition must be a scalar bool", [condition]);
    if (condition.def.kind === "const") return condition.def.value ? then() : otherwise();
    this.table.push({ kind: "if", condition, then: this.table.record(then), else: this.table.record(otherwise) });
  }

  /** Independent tasks; only at the top of a kernel. */
  parallel(count: IndexArg, body: (axis: KValue) => void): void {
    this.#independent("parallel", count, body);
  }

  /** Independent elements with a scalar body. */
  each(count: IndexArg, body: (axis: KValue) => void): void {
    this.#independent("each", count, body);
  }

  #independent(kind: "parallel" | "each", size: IndexArg, body: (axis: KValue) => void): void {
    const count = this.#bound(kind, size);
    const axis = this.table.axis();
    this.table.push({ kind, axis, count, body: this.table.record(() => body(axis)) });
  }

  /** Combines `body(i)` for i in 0..count-1; the identity of the combiner for count 0. */
  reduce(combiner: Combiner, size: IndexArg, body: (axis: KValue) => KValue): KValue {
    const count = this.#bound("reduce", size);
    const axis = this.table.axis();
    let yields: KValue | undefined;
    const block = this.table.record(() => {
      yields = body(axis);
    });
    invariant(yields !== undefined, "reduce: no value");
    checkCombiner(this, combiner, yields);
    if (yields.type.lanes !== 1) this.fail("reduce", "the body must yield a scalar", [yields]);
    const result = this.table.fresh(yields.type, { kind: "reduced" });
    this.table.push({ kind: "reduce", result, combiner, axis, count, body: block, yields });
    return result;
  }

  /** The finished kernel: unused values removed, the others numbered in program order. */
  finish(): Kernel {
    invariant(this.table.depth === 0, () => `kernel ${this.name}: finish within a block`);
    const kernel: Kernel = {
      name: this.name,
      buffers: this.#buffers,
      scalars: this.#scalars,
      symbols: this.#symbols,
      scratch: this.#scratch,
      locals: this.#locals,
      body: this.table.statements,
    };
    return finishKernel(kernel, this.table.size);
  }
}

function checkCombiner(k: KernelBuilder, combiner: Combiner, value: KValue): void {
  const logical = combiner === "and" || combiner === "or";
  const { dtype } = value.type;
  if (value.type.rows > 1 || (logical ? isFloatType(dtype) : dtype === "bool")) {
    throw new UserError(`kernel ${k.name}: reduction "${combiner}" is not defined for ${printType(value.type)}`);
  }
}
