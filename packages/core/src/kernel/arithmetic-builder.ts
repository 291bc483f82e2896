/**
 * Records operations on values: literals, sizes, primitives, comparisons and conversions. Pure values are folded, simplified and
 * shared with equal ones of the enclosing blocks. Host numbers take the type of the other operands, scalars mixed with vectors are
 * broadcast. Type errors are `UserError`s.
 */

import type { Dim } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import { UserError } from "../errors.ts";
import { type Scalar, isFloatType, isIntegerType, toElement } from "./element.ts";
import {
  type Def,
  type KDType,
  type KType,
  type KValue,
  PRIMS,
  type Prim,
  printType,
  scalarType,
  vectorType,
} from "./ir.ts";
import { fmod } from "./math-basic.ts";
import { canonicalOrder, simplify } from "./simplify.ts";
import { ValueTable } from "./value-table.ts";

/** An operand: a value, or a host number that takes the type of the other operands. */
export type Arg = KValue | number | bigint | boolean;

/** A size or offset: a host number, a dimension or an index value. */
export type IndexArg = KValue | Dim;

const PRIM_CODES: ReadonlyMap<Prim, number> = new Map(PRIMS.map((prim, i) => [prim, i]));
/** Codes behind those of the primitives: conversions to each type, then broadcasts and iotas of 2^n lanes. */
const TYPE_CODES: ReadonlyMap<KDType, number> = new Map(
  [...(Object.keys(DTYPE_INFO) as DType[]), "index" as const].map((dtype, i) => [dtype, i]),
);
const CAST_CODE = PRIMS.length;
const BITCAST_CODE = CAST_CODE + TYPE_CODES.size;
const BROADCAST_CODE = BITCAST_CODE + TYPE_CODES.size;
/** Behind the codes of all operations that are named here. */
export const IOTA_CODE: number = BROADCAST_CODE + 32;

export function isValue(x: unknown): x is KValue {
  return typeof x === "object" && x !== null && "def" in x && "type" in x;
}

export abstract class ArithmeticBuilder {
  readonly name: string;
  protected readonly table: ValueTable = new ValueTable();
  readonly #indices = new Map<number, KValue>();

  constructor(name: string) {
    this.name = name;
  }

  /** A dimension symbol as a value. */
  abstract symbol(name: string): KValue;

  protected fail(op: string, message: string, values: readonly KValue[]): never {
    const types = values.map((value) => printType(value.type)).join(", ");
    throw new UserError(`kernel ${this.name}: ${op}(${types}): ${message}`);
  }

  // --- Operands ---------------------------------------------------------------------------------------------------

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
    return this.table.leaf(full, { kind: "const", value: element }, `const ${printType(full)} ${text}`);
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
      this.fail(op, "matrix tiles take part in tile operations only", values);
    if (values.some((value) => value.type.lanes !== lanes && value.type.lanes !== 1))
      this.fail(op, "vectors differ in lanes", values);
    return values.map((value) => this.broadcast(value, lanes));
  }

  #sameDType(op: string, values: readonly KValue[]): void {
    if (values.some((value) => value.type.dtype !== values[0]?.type.dtype))
      this.fail(op, "operands differ in type; cast one", values);
  }

  /** Scalar to every lane; a value that has these lanes already is returned as it is. */
  broadcast(value: KValue, lanes: number): KValue {
    if (value.type.lanes === lanes && value.type.rows === 1) return value;
    if (value.type.lanes !== 1 || value.type.rows !== 1)
      this.fail("broadcast", `expected a scalar for ${lanes} lanes`, [value]);
    checkLanes("broadcast", lanes);
    const type = vectorType(value.type.dtype, lanes);
    if (value.def.kind === "const") return this.const(type, value.def.value);
    return this.table.sharedPair(type, { kind: "broadcast", value }, BROADCAST_CODE + Math.log2(lanes), value.id, 0);
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
    if (ordered.length < 3) return this.table.sharedPair(type, def, code, a, b);
    return this.table.sharedTriple(type, def, code, a, b, (ordered[2] as KValue).id);
  }

  #unary(prim: Prim, a: KValue, allowed: (dtype: KDType) => boolean): KValue {
    if (a.type.rows > 1 || !allowed(a.type.dtype)) this.fail(prim, "not defined for this type", [a]);
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
    if (!allowed(x.type.dtype)) this.fail(prim, "not defined for this type", values);
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
    if (prim !== "eq" && prim !== "ne") this.fail(prim, "not defined for this type", values);
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
    if (condition.type.dtype !== "bool") this.fail("select", "the condition must be bool", [condition]);
    const pair = this.#unify("select", [whenTrue, whenFalse]);
    this.#sameDType("select", pair);
    const [c, a, b] = this.#sameLanes("select", [condition, ...pair]) as [KValue, KValue, KValue];
    return this.prim("select", [c, a, b], a.type);
  }

  /** Value conversion: float to integer truncates and saturates, bool to number gives 0 and 1. */
  cast(a: KValue, dtype: KDType): KValue {
    if (a.type.rows > 1) this.fail("cast", "not defined for matrix tiles", [a]);
    return this.prim("cast", [a], { ...a.type, dtype });
  }

  /** The same bits as another type of the same size. */
  bitcast(a: KValue, dtype: DType): KValue {
    const from = a.type.dtype;
    if (a.type.rows > 1 || from === "index" || DTYPE_INFO[from].bytes !== DTYPE_INFO[dtype].bytes) {
      this.fail("bitcast", `cannot reinterpret as ${dtype}`, [a]);
    }
    return this.prim("bitcast", [a], { ...a.type, dtype });
  }
}

function isNumeric(dtype: KDType): boolean {
  return dtype !== "bool";
}

function isBitwise(dtype: KDType): boolean {
  return dtype === "bool" || isIntegerType(dtype);
}

export function checkLanes(op: string, lanes: number): void {
  if (!Number.isInteger(lanes) || lanes < 1 || (lanes & (lanes - 1)) !== 0)
    throw new UserError(`${op}: ${lanes} lanes is not a power of two`);
}
