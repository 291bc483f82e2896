/**
 * Records kernels: every method appends to the current block and returns the new value.
 *
 * In: calls from op records, schedules and the kernel language (`language.ts`). Out: a `Kernel` with values numbered
 * in program order. Pure values are folded, simplified and shared with equal ones of the enclosing blocks; loads and
 * reads of locals are never shared. Scalars mixed with vectors are broadcast. Type errors are `UserError`s.
 */

import { type Dim, collectSymbols, symbol } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import { UserError, invariant } from "../errors.ts";
import { type Scalar, isFloatType, isIntegerType, toElement } from "./evaluate.ts";
import { finishKernel } from "./finish.ts";
import {
  type Access,
  type Block,
  type Buffer,
  type Combiner,
  type Def,
  INDEX,
  type Intrinsic,
  type KDType,
  type KType,
  type KValue,
  type Kernel,
  type Local,
  PRIMS,
  type Prim,
  type ScalarParam,
  type Stmt,
  printType,
  sameType,
  scalarType,
  vectorType,
} from "./ir.ts";
import { fmod } from "./math-basic.ts";
import { canonicalOrder, simplify } from "./simplify.ts";

/** An operand: a value, or a host number that takes the type of the other operands. */
export type Arg = KValue | number | bigint | boolean;

/** A size or offset: a host number, a dimension or an index value. */
export type IndexArg = KValue | Dim;

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

interface Scope {
  readonly statements: Stmt[];
  /** Keys of the values that later statements of the block share, by the kind of key. */
  readonly names: string[];
  readonly pairs: number[];
  readonly triples: number[];
}

/** Keys of operations on one or two values are numbers: the operation and two value ids. */
const PAIR_IDS = 2 ** 20;
/** The same for three values. */
const TRIPLE_IDS = 2 ** 15;
const PRIM_CODES: ReadonlyMap<Prim, number> = new Map(PRIMS.map((prim, i) => [prim, i]));
/** Codes behind those of the primitives: conversions to each type, then broadcasts and iotas of 2^n lanes. */
const TYPE_CODES: ReadonlyMap<KDType, number> = new Map(
  [...(Object.keys(DTYPE_INFO) as DType[]), "index" as const].map((dtype, i) => [dtype, i]),
);
const CAST_CODE = PRIMS.length;
const BITCAST_CODE = CAST_CODE + TYPE_CODES.size;
const BROADCAST_CODE = BITCAST_CODE + TYPE_CODES.size;
const IOTA_CODE = BROADCAST_CODE + 32;

function newScope(): Scope {
  return { statements: [], names: [], pairs: [], triples: [] };
}

export function isValue(x: unknown): x is KValue {
  return typeof x === "object" && x !== null && "def" in x && "type" in x;
}

export class KernelBuilder {
  readonly name: string;
  readonly #buffers: Buffer[] = [];
  readonly #scalars: ScalarParam[] = [];
  readonly #symbols: string[] = [];
  readonly #scratch: Buffer[] = [];
  readonly #locals: Local[] = [];
  readonly #scopes: Scope[] = [newScope()];
  #scope: Scope = this.#scopes[0] as Scope;
  /** Literals, parameters and the values of the open blocks, by key. */
  readonly #named = new Map<string, KValue>();
  readonly #pairs = new Map<number, KValue>();
  readonly #triples = new Map<number, KValue>();
  readonly #indices = new Map<number, KValue>();
  #nextValue = 0;
  #nextBuffer = 0;

  constructor(name: string) {
    this.name = name;
  }

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
    return this.#leaf(scalarType(dtype), { kind: "param", name }, `param ${name}`);
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
    return this.#leaf(INDEX, { kind: "param", name }, `param ${name}`);
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

  // --- Leaves -----------------------------------------------------------------------------------------------------

  #leaf(type: KType, def: Def, key: string): KValue {
    const known = this.#named.get(key);
    if (known !== undefined) return known;
    const value: KValue = { id: this.#nextValue++, type, def };
    this.#named.set(key, value);
    return value;
  }

  /** A literal, splat over the lanes of `type`; rounded or wrapped to the dtype. */
  const(type: KType | KDType, value: Scalar): KValue {
    const full = typeof type === "string" ? scalarType(type) : type;
    if (typeof value === "number" && Number.isNaN(value) && isIntegerType(full.dtype)) {
      throw new UserError(`const: NaN is not a value of ${full.dtype}`);
    }
    if (typeof value === "number" && isIntegerType(full.dtype) && !Number.isInteger(value)) {
      throw new UserError(`const: ${value} is not a value of ${full.dtype}`);
    }
    let element = toElement(full.dtype, value);
    if (typeof element === "bigint" && Number.isSafeInteger(Number(element))) element = Number(element);
    const text = Object.is(element, -0) ? "-0" : String(element);
    return this.#leaf(full, { kind: "const", value: element }, `const ${printType(full)} ${text}`);
  }

  /** A size or offset as an index value: numbers become literals, symbolic dimensions arithmetic on parameters. */
  index(size: IndexArg): KValue {
    if (typeof size === "number") {
      let known = this.#indices.get(size);
      // 0 and -0 are one key.
      if (known === undefined || size === 0) {
        known = this.const("index", size);
        this.#indices.set(size, known);
      }
      return known;
    }
    if (isValue(size)) {
      if (size.type.dtype !== "index") throw new UserError(`expected an index, got ${printType(size.type)}; cast it`);
      return size;
    }
    let sum = this.const("index", 0);
    for (const term of size.terms) {
      let product: KValue | undefined;
      for (const atom of term.atoms) {
        const factor = atom.kind === "symbol" ? this.symbol(atom.name) : this.#dimOperation(atom.kind, atom.a, atom.b);
        product = product === undefined ? factor : this.mul(product, factor);
      }
      const value = product === undefined ? this.const("index", term.coefficient) : this.mul(product, term.coefficient);
      sum = this.add(sum, value);
    }
    return sum;
  }

  /** Dimensions are never negative, so truncating division is the floor. */
  #dimOperation(kind: "floordiv" | "mod" | "max" | "min", a: Dim, b: Dim): KValue {
    const prim = { floordiv: "div", mod: "rem", max: "max", min: "min" } as const;
    return this.#binary(prim[kind], this.index(a), this.index(b));
  }

  // --- Recording --------------------------------------------------------------------------------------------------

  /** A value that nothing else can stand for, such as a load. */
  #let(type: KType, def: Def): KValue {
    const value: KValue = { id: this.#nextValue++, type, def };
    this.#scope.statements.push({ kind: "let", value });
    return value;
  }

  #emit(type: KType, def: Def, key: string): KValue {
    const known = this.#named.get(key);
    if (known !== undefined) return known;
    const value = this.#let(type, def);
    this.#named.set(key, value);
    this.#scope.names.push(key);
    return value;
  }

  /** The value shared under an operation on `a` and perhaps `b`, or a new one that `def` makes. */
  #emitPair(type: KType, code: number, a: number, b: number, def: Def): KValue {
    const key = (code * PAIR_IDS + a) * PAIR_IDS + b;
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const value = this.#let(type, def);
    this.#pairs.set(key, value);
    this.#scope.pairs.push(key);
    return value;
  }

  #record(body: () => void): Block {
    const outer = this.#scope;
    const scope = newScope();
    this.#scopes.push(scope);
    this.#scope = scope;
    try {
      body();
    } finally {
      this.#scopes.pop();
      this.#scope = outer;
      // Values of a block are not known after it.
      for (let i = 0; i < scope.pairs.length; i++) this.#pairs.delete(scope.pairs[i] as number);
      for (let i = 0; i < scope.names.length; i++) this.#named.delete(scope.names[i] as string);
      for (let i = 0; i < scope.triples.length; i++) this.#triples.delete(scope.triples[i] as number);
    }
    return scope.statements;
  }

  #axis(): KValue {
    return { id: this.#nextValue++, type: INDEX, def: { kind: "axis" } };
  }

  #push(statement: Stmt): void {
    this.#scope.statements.push(statement);
  }

  #fail(op: string, message: string, values: readonly KValue[]): never {
    const types = values.map((value) => printType(value.type)).join(", ");
    throw new UserError(`kernel ${this.name}: ${op}(${types}): ${message}`);
  }

  /** Host numbers take the dtype of the first value; scalars take the lanes of the widest. */
  #unify(op: string, args: readonly Arg[]): KValue[] {
    const first = args.find(isValue);
    if (first === undefined)
      throw new UserError(`kernel ${this.name}: ${op}: at least one operand must be a value, not a host number`);
    const values = args.map((arg) => (isValue(arg) ? arg : this.const(first.type.dtype, arg)));
    return this.#sameLanes(op, values);
  }

  #sameLanes(op: string, values: readonly KValue[]): KValue[] {
    const lanes = Math.max(...values.map((value) => value.type.lanes));
    if (values.some((value) => value.type.rows > 1))
      this.#fail(op, "matrix tiles take part in tile operations only", values);
    if (values.some((value) => value.type.lanes !== lanes && value.type.lanes !== 1))
      this.#fail(op, "vectors differ in lanes", values);
    return values.map((value) => this.broadcast(value, lanes));
  }

  #sameDType(op: string, values: readonly KValue[]): void {
    if (values.some((value) => value.type.dtype !== values[0]?.type.dtype))
      this.#fail(op, "operands differ in type; cast one", values);
  }

  /** Any primitive by name, with checked operands. */
  prim(prim: Prim, args: readonly KValue[], type: KType): KValue {
    const ordered = canonicalOrder(prim, args);
    const simpler = simplify(this, prim, ordered, type);
    if (simpler !== undefined) return simpler;
    const def: Def = { kind: "prim", prim, args: ordered };
    // The operands decide the type of the result, except for conversions.
    const code =
      prim === "cast"
        ? CAST_CODE + (TYPE_CODES.get(type.dtype) as number)
        : prim === "bitcast"
          ? BITCAST_CODE + (TYPE_CODES.get(type.dtype) as number)
          : (PRIM_CODES.get(prim) as number);
    const a = (ordered[0] as KValue).id;
    const b = ordered.length > 1 ? (ordered[1] as KValue).id : 0;
    if (ordered.length < 3) {
      invariant(a < PAIR_IDS && b < PAIR_IDS, () => `kernel ${this.name}: more than ${PAIR_IDS} values`);
      return this.#emitPair(type, code, a, b, def);
    }
    const c = (ordered[2] as KValue).id;
    if (a >= TRIPLE_IDS || b >= TRIPLE_IDS || c >= TRIPLE_IDS) return this.#emit(type, def, `${prim} ${a} ${b} ${c}`);
    const key = ((code * TRIPLE_IDS + a) * TRIPLE_IDS + b) * TRIPLE_IDS + c;
    const known = this.#triples.get(key);
    if (known !== undefined) return known;
    const value = this.#let(type, def);
    this.#triples.set(key, value);
    this.#scope.triples.push(key);
    return value;
  }

  #unary(prim: Prim, a: KValue, allowed: (dtype: KDType) => boolean): KValue {
    if (a.type.rows > 1 || !allowed(a.type.dtype)) this.#fail(prim, "not defined for this type", [a]);
    return this.prim(prim, [a], a.type);
  }

  #binary(prim: Prim, a: Arg, b: Arg, allowed: (dtype: KDType) => boolean = isNumeric): KValue {
    // The usual cases without lists: two values of one type, or a scalar and a host number.
    if (typeof a === "object" && a.type.rows === 1 && allowed(a.type.dtype)) {
      const { type } = a;
      if (typeof b === "object") {
        const other = b.type;
        if (other.dtype === type.dtype && other.lanes === type.lanes && other.rows === 1)
          return this.prim(prim, [a, b], type);
      } else if (type.lanes === 1) return this.prim(prim, [a, this.#literal(type.dtype, b)], type);
    }
    const values = this.#unify(prim, [a, b]);
    this.#sameDType(prim, values);
    const [x] = values as [KValue];
    if (!allowed(x.type.dtype)) this.#fail(prim, "not defined for this type", values);
    return this.prim(prim, values, x.type);
  }

  #literal(dtype: KDType, value: Scalar): KValue {
    return dtype === "index" && typeof value === "number" ? this.index(value) : this.const(dtype, value);
  }

  #compare(prim: Prim, a: Arg, b: Arg): KValue {
    const values = this.#unify(prim, [a, b]);
    this.#sameDType(prim, values);
    const [{ type }] = values as [KValue];
    if (type.dtype !== "bool") return this.prim(prim, values, { dtype: "bool", lanes: type.lanes, rows: 1 });
    // Masks are compared bit by bit.
    if (prim !== "eq" && prim !== "ne") this.#fail(prim, "not defined for this type", values);
    const differ = this.xor(values[0] as KValue, values[1] as KValue);
    return prim === "ne" ? differ : this.not(differ);
  }

  // --- Arithmetic -------------------------------------------------------------------------------------------------

  add(a: Arg, b: Arg): KValue {
    return this.#binary("add", a, b);
  }
  sub(a: Arg, b: Arg): KValue {
    return this.#binary("sub", a, b);
  }
  mul(a: Arg, b: Arg): KValue {
    return this.#binary("mul", a, b);
  }
  /** Integers truncate; undefined for a zero divisor. */
  div(a: Arg, b: Arg): KValue {
    return this.#binary("div", a, b);
  }
  /** Remainder with the sign of `a`; undefined for an integer zero divisor. Floats: see `fmod`. */
  rem(a: Arg, b: Arg): KValue {
    const [x, y] = this.#unify("rem", [a, b]) as [KValue, KValue];
    return isFloatType(x.type.dtype) ? fmod(this, x, y) : this.#binary("rem", x, y);
  }
  /** `b` when either is NaN; see `ieeeMin` for the IEEE form. */
  min(a: Arg, b: Arg): KValue {
    return this.#binary("min", a, b);
  }
  /** `b` when either is NaN; see `ieeeMax` for the IEEE form. */
  max(a: Arg, b: Arg): KValue {
    return this.#binary("max", a, b);
  }
  neg(a: KValue): KValue {
    return this.#unary("neg", a, isNumeric);
  }
  abs(a: KValue): KValue {
    return this.#unary("abs", a, isNumeric);
  }
  sqrt(a: KValue): KValue {
    return this.#unary("sqrt", a, isFloatType);
  }
  floor(a: KValue): KValue {
    return this.#unary("floor", a, isFloatType);
  }
  ceil(a: KValue): KValue {
    return this.#unary("ceil", a, isFloatType);
  }
  trunc(a: KValue): KValue {
    return this.#unary("trunc", a, isFloatType);
  }
  /** To the nearest integral value, ties to even. */
  round(a: KValue): KValue {
    return this.#unary("round", a, isFloatType);
  }

  /** a * b + c, rounded once for floats. */
  fma(a: Arg, b: Arg, c: Arg): KValue {
    const values = this.#unify("fma", [a, b, c]);
    this.#sameDType("fma", values);
    const [x, y, z] = values as [KValue, KValue, KValue];
    if (!isFloatType(x.type.dtype)) return this.add(this.mul(x, y), z);
    return this.prim("fma", values, x.type);
  }

  /** x * 2^n for a float n with integral value. */
  scale2(x: Arg, n: Arg): KValue {
    return this.#binary("scale2", x, n, isFloatType);
  }

  lt(a: Arg, b: Arg): KValue {
    return this.#compare("lt", a, b);
  }
  le(a: Arg, b: Arg): KValue {
    return this.#compare("le", a, b);
  }
  gt(a: Arg, b: Arg): KValue {
    return this.#compare("gt", a, b);
  }
  ge(a: Arg, b: Arg): KValue {
    return this.#compare("ge", a, b);
  }
  eq(a: Arg, b: Arg): KValue {
    return this.#compare("eq", a, b);
  }
  ne(a: Arg, b: Arg): KValue {
    return this.#compare("ne", a, b);
  }

  and(a: Arg, b: Arg): KValue {
    return this.#binary("and", a, b, isBitwise);
  }
  or(a: Arg, b: Arg): KValue {
    return this.#binary("or", a, b, isBitwise);
  }
  xor(a: Arg, b: Arg): KValue {
    return this.#binary("xor", a, b, isBitwise);
  }
  not(a: KValue): KValue {
    return this.#unary("not", a, isBitwise);
  }
  shl(a: Arg, b: Arg): KValue {
    return this.#binary("shl", a, b, isIntegerType);
  }
  /** Arithmetic for signed types. */
  shr(a: Arg, b: Arg): KValue {
    return this.#binary("shr", a, b, isIntegerType);
  }

  select(condition: KValue, whenTrue: Arg, whenFalse: Arg): KValue {
    if (condition.type.dtype !== "bool") this.#fail("select", "the condition must be bool", [condition]);
    const pair = this.#unify("select", [whenTrue, whenFalse]);
    this.#sameDType("select", pair);
    const [c, a, b] = this.#sameLanes("select", [condition, ...pair]) as [KValue, KValue, KValue];
    return this.prim("select", [c, a, b], a.type);
  }

  /** Value conversion: float to integer truncates and saturates, bool to number gives 0 and 1. */
  cast(a: KValue, dtype: KDType): KValue {
    if (a.type.rows > 1) this.#fail("cast", "not defined for matrix tiles", [a]);
    return this.prim("cast", [a], { ...a.type, dtype });
  }

  /** The same bits as another type of the same size. */
  bitcast(a: KValue, dtype: DType): KValue {
    const from = a.type.dtype;
    if (a.type.rows > 1 || from === "index" || DTYPE_INFO[from].bytes !== DTYPE_INFO[dtype].bytes) {
      this.#fail("bitcast", `cannot reinterpret as ${dtype}`, [a]);
    }
    return this.prim("bitcast", [a], { ...a.type, dtype });
  }

  // --- Vectors ----------------------------------------------------------------------------------------------------

  /** Scalar to every lane; a value that has these lanes already is returned as it is. */
  broadcast(value: KValue, lanes: number): KValue {
    if (value.type.lanes === lanes && value.type.rows === 1) return value;
    if (value.type.lanes !== 1 || value.type.rows !== 1)
      this.#fail("broadcast", `expected a scalar for ${lanes} lanes`, [value]);
    checkLanes("broadcast", lanes);
    const type = vectorType(value.type.dtype, lanes);
    if (value.def.kind === "const") return this.const(type, value.def.value);
    return this.#emitPair(type, BROADCAST_CODE + Math.log2(lanes), value.id, 0, { kind: "broadcast", value });
  }

  /** start, start + 1, … */
  iota(start: KValue, lanes: number): KValue {
    checkLanes("iota", lanes);
    if (start.type.lanes !== 1 || !isIntegerType(start.type.dtype))
      this.#fail("iota", "the start must be a scalar integer", [start]);
    if (lanes === 1) return start;
    const type = vectorType(start.type.dtype, lanes);
    return this.#emitPair(type, IOTA_CODE + Math.log2(lanes), start.id, 0, { kind: "iota", start });
  }

  /** Combines all lanes to a scalar. */
  horizontal(combiner: Combiner, value: KValue): KValue {
    checkCombiner(this, combiner, value);
    if (value.type.lanes === 1) return value;
    return this.#emit(
      scalarType(value.type.dtype),
      { kind: "horizontal", combiner, value },
      `horizontal ${combiner} ${value.id}`,
    );
  }

  /** Lanes of `a` then `b`, picked by constant positions 0..2*lanes-1. */
  shuffle(a: KValue, b: KValue, pattern: readonly number[]): KValue {
    if (!sameType(a.type, b.type) || a.type.rows > 1)
      this.#fail("shuffle", "operands must be vectors of one type", [a, b]);
    checkLanes("shuffle", pattern.length);
    if (pattern.some((at) => !Number.isInteger(at) || at < 0 || at >= 2 * a.type.lanes)) {
      this.#fail("shuffle", `pattern [${pattern.join(", ")}] leaves the ${2 * a.type.lanes} lanes`, [a, b]);
    }
    if (pattern.length === a.type.lanes && pattern.every((at, i) => at === i)) return a;
    const type = { ...a.type, lanes: pattern.length };
    return this.#emit(
      type,
      { kind: "shuffle", a, b, pattern: [...pattern] },
      `shuffle ${a.id} ${b.id} ${pattern.join(",")}`,
    );
  }

  /** One lane as a scalar. */
  extract(value: KValue, lane: number): KValue {
    if (value.type.rows > 1 || !Number.isInteger(lane) || lane < 0 || lane >= value.type.lanes) {
      this.#fail("extract", `there is no lane ${lane}`, [value]);
    }
    if (value.type.lanes === 1) return value;
    const type = scalarType(value.type.dtype);
    if (value.def.kind === "const") return this.const(type, value.def.value);
    if (value.def.kind === "broadcast") return value.def.value;
    if (value.def.kind === "iota") return this.add(value.def.start, lane);
    return this.#emit(type, { kind: "extract", value, lane }, `extract ${value.id} ${lane}`);
  }

  /** A target-specific operation; `type` is its result type. */
  intrinsic(name: Intrinsic, args: readonly KValue[], type: KType): KValue {
    const key = `intrinsic ${name} ${printType(type)} ${args.map((arg) => arg.id).join(" ")}`;
    return this.#emit(type, { kind: "intrinsic", name, args: [...args] }, key);
  }

  // --- Memory -----------------------------------------------------------------------------------------------------

  #mask(op: string, mask: KValue | undefined, lanes: number): KValue | undefined {
    if (mask === undefined) return undefined;
    if (mask.type.dtype !== "bool") this.#fail(op, "the mask must be bool", [mask]);
    if (mask.def.kind === "const" && mask.def.value === true) return undefined;
    return this.broadcast(mask, lanes);
  }

  /** Contiguous for a scalar index, a gather for a vector index. */
  load(buffer: Buffer, index: IndexArg, options: LoadOptions = {}): KValue {
    const at = this.index(index);
    const { lanes = at.type.lanes } = options;
    checkLanes("load", lanes);
    if (at.type.lanes !== 1 && at.type.lanes !== lanes)
      this.#fail("load", `a gather has as many lanes as its index, not ${lanes}`, [at]);
    const type: KType = { dtype: buffer.dtype, lanes, rows: 1 };
    const mask = this.#mask("load", options.mask, lanes);
    let other: KValue | undefined;
    if (mask !== undefined && options.other !== undefined) {
      other = isValue(options.other) ? this.broadcast(options.other, lanes) : this.const(type, options.other);
      if (!sameType(other.type, type)) this.#fail("load", `"other" must be ${printType(type)}`, [other]);
      if (other.def.kind === "const" && other.def.value !== true && Object.is(Number(other.def.value), 0))
        other = undefined;
    }
    return this.#let(type, { kind: "load", buffer, index: at, mask, other });
  }

  /** Contiguous for a scalar index, a scatter for a vector index. Host numbers are stored as scalars. */
  store(buffer: Buffer, index: IndexArg, value: Arg, options: { readonly mask?: KValue | undefined } = {}): void {
    if (buffer.access === "read")
      throw new UserError(`kernel ${this.name}: store to the read-only buffer "${buffer.name}"`);
    const at = this.index(index);
    let stored = isValue(value) ? value : this.const(buffer.dtype, value);
    if (at.type.lanes > 1) stored = this.broadcast(stored, at.type.lanes);
    if (stored.type.dtype !== buffer.dtype || stored.type.rows > 1)
      this.#fail("store", `"${buffer.name}" holds ${buffer.dtype}; cast the value`, [stored]);
    this.#push({
      kind: "store",
      buffer,
      index: at,
      value: stored,
      mask: this.#mask("store", options.mask, stored.type.lanes),
    });
  }

  prefetch(buffer: Buffer, index: IndexArg, level: 0 | 1 | 2 = 0): void {
    this.#push({ kind: "prefetch", buffer, index: this.index(index), level });
  }

  barrier(): void {
    this.#push({ kind: "barrier" });
  }

  tileLoad(
    buffer: Buffer,
    index: IndexArg,
    stride: IndexArg,
    tile: { readonly rows: number; readonly lanes: number },
  ): KValue {
    const type: KType = { dtype: buffer.dtype, lanes: tile.lanes, rows: tile.rows };
    return this.#let(type, { kind: "tileLoad", buffer, index: this.index(index), stride: this.index(stride) });
  }

  tileStore(buffer: Buffer, index: IndexArg, stride: IndexArg, value: KValue): void {
    if (buffer.access === "read")
      throw new UserError(`kernel ${this.name}: store to the read-only buffer "${buffer.name}"`);
    if (value.type.dtype !== buffer.dtype) this.#fail("tileStore", `"${buffer.name}" holds ${buffer.dtype}`, [value]);
    this.#push({ kind: "tileStore", buffer, index: this.index(index), stride: this.index(stride), value });
  }

  /** acc += a × b. */
  tileMma(acc: Local, a: KValue, b: KValue): void {
    if (acc.type.rows === 1 || a.type.rows === 1 || b.type.rows === 1)
      this.#fail("tileMma", "all three must be matrix tiles", [a, b]);
    this.#push({ kind: "tileMma", acc, a, b });
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
    return this.#let(local.type, { kind: "read", local });
  }

  assign(local: Local, value: Arg): void {
    let assigned = isValue(value) ? value : this.const(local.type, value);
    if (assigned.type.lanes === 1 && local.type.rows === 1) assigned = this.broadcast(assigned, local.type.lanes);
    if (!sameType(assigned.type, local.type))
      this.#fail("assign", `local "${local.name}" is ${printType(local.type)}`, [assigned]);
    this.#push({ kind: "assign", local, value: assigned });
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
    const axis = this.#axis();
    this.#push({ kind: "for", axis, start, end, step, unroll, body: this.#record(() => body(axis)) });
  }

  #bound(op: string, size: IndexArg): KValue {
    const value = this.index(size);
    if (value.type.lanes !== 1) this.#fail(op, "bounds must be scalar", [value]);
    return value;
  }

  if(condition: KValue, then: () => void, otherwise: () => void = () => {}): void {
    if (condition.type.dtype !== "bool" || condition.type.lanes !== 1)
      this.#fail("if", "the condition must be a scalar bool", [condition]);
    if (condition.def.kind === "const") return condition.def.value ? then() : otherwise();
    this.#push({ kind: "if", condition, then: this.#record(then), else: this.#record(otherwise) });
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
    const axis = this.#axis();
    this.#push({ kind, axis, count, body: this.#record(() => body(axis)) });
  }

  /** Combines `body(i)` for i in 0..count-1; the identity of the combiner for count 0. */
  reduce(combiner: Combiner, size: IndexArg, body: (axis: KValue) => KValue): KValue {
    const count = this.#bound("reduce", size);
    const axis = this.#axis();
    let yields: KValue | undefined;
    const block = this.#record(() => {
      yields = body(axis);
    });
    invariant(yields !== undefined, "reduce: no value");
    checkCombiner(this, combiner, yields);
    if (yields.type.lanes !== 1) this.#fail("reduce", "the body must yield a scalar", [yields]);
    const result: KValue = { id: this.#nextValue++, type: yields.type, def: { kind: "reduced" } };
    this.#push({ kind: "reduce", result, combiner, axis, count, body: block, yields });
    return result;
  }

  /** The finished kernel: unused values removed, the others numbered in program order. */
  finish(): Kernel {
    invariant(this.#scopes.length === 1, () => `kernel ${this.name}: finish within a block`);
    const kernel: Kernel = {
      name: this.name,
      buffers: this.#buffers,
      scalars: this.#scalars,
      symbols: this.#symbols,
      scratch: this.#scratch,
      locals: this.#locals,
      body: this.#scope.statements,
    };
    return finishKernel(kernel, this.#nextValue);
  }
}

function isNumeric(dtype: KDType): boolean {
  return dtype !== "bool";
}

function isBitwise(dtype: KDType): boolean {
  return dtype === "bool" || isIntegerType(dtype);
}

function checkLanes(op: string, lanes: number): void {
  if (!Number.isInteger(lanes) || lanes < 1 || (lanes & (lanes - 1)) !== 0)
    throw new UserError(`${op}: ${lanes} lanes is not a power of two`);
}

function checkCombiner(k: KernelBuilder, combiner: Combiner, value: KValue): void {
  const logical = combiner === "and" || combiner === "or";
  const { dtype } = value.type;
  if (value.type.rows > 1 || (logical ? isFloatType(dtype) : dtype === "bool")) {
    throw new UserError(`kernel ${k.name}: reduction "${combiner}" is not defined for ${printType(value.type)}`);
  }
}
