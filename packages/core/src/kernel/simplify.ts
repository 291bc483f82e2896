/**
 * Light algebra on single operations, applied by the builder while it records: constant folding and identities.
 *
 * In: a primitive and its arguments, already of the right types. Out: an existing value or a constant that equals
 * it, or `undefined`. Every rule is exact: floats keep NaN, infinities and the sign of zero.
 */

import { type Scalar, isFloatType, isIntegerType, toElement } from "./element.ts";
import { primEvaluator } from "./evaluate.ts";
import { type KType, type KValue, type Prim, sameType } from "./ir.ts";

/** What `simplify` may make: constants and single operations. */
export interface Maker {
  const(type: KType, value: Scalar): KValue;
  prim(prim: Prim, args: readonly KValue[], type: KType): KValue;
}

/** The element value of a constant, splat or not. */
export function constantOf(value: KValue): Scalar | undefined {
  return value.def.kind === "const" ? value.def.value : undefined;
}

/** True when `value` is the constant `n`; -0 is not 0. */
export function isConstant(value: KValue, n: number): boolean {
  if (value.def.kind !== "const" || typeof value.def.value === "boolean") return false;
  return Object.is(Number(value.def.value), n);
}

const COMMUTATIVE: ReadonlySet<Prim> = new Set(["add", "mul", "and", "or", "xor", "eq", "ne"]);

function isPrim(value: KValue, prim: Prim): (KValue["def"] & { kind: "prim" }) | undefined {
  return value.def.kind === "prim" && value.def.prim === prim ? value.def : undefined;
}

/** Constants of commutative integer operations go second, so that the rules meet them there. */
export function canonicalOrder(prim: Prim, args: readonly KValue[]): readonly KValue[] {
  if (!COMMUTATIVE.has(prim)) return args;
  const a = args[0];
  const b = args[1];
  if (a === undefined || b === undefined || isFloatType(a.type.dtype)) return args;
  return a.def.kind === "const" && b.def.kind !== "const" ? [b, a] : args;
}

export function simplify(make: Maker, prim: Prim, args: readonly KValue[], type: KType): KValue | undefined {
  const folded = fold(make, prim, args, type);
  if (folded !== undefined) return folded;
  const a = args[0] as KValue;
  const b = args[1] as KValue;
  const c = args[2] as KValue;
  const dtype = a.type.dtype;
  switch (prim) {
    case "cast": {
      if (sameType(a.type, type)) return a;
      // A value of 32 bits or less survives the way through an index.
      const inner = a.type.dtype === "index" ? isPrim(a, "cast")?.args[0] : undefined;
      return inner !== undefined && inner.type.dtype === "i32" && sameType(inner.type, type) ? inner : undefined;
    }
    case "bitcast":
      return sameType(a.type, type) ? a : undefined;
    case "select":
      if (b === c) return b;
      return a.def.kind === "const" ? (a.def.value ? b : c) : undefined;
    case "neg":
    case "not":
      return isPrim(a, prim)?.args[0];
    case "div":
      if (isConstant(b, 1)) return a;
      return isIntegerType(dtype) && isConstant(a, 0) ? a : undefined;
    case "min":
    case "max":
      return a === b ? a : undefined;
    case "scale2":
      return isConstant(b, 0) ? a : undefined;
    case "lt":
    case "gt":
    case "ne":
      return a === b && !isFloatType(dtype) ? make.const(type, false) : undefined;
    case "le":
    case "ge":
    case "eq":
      return a === b && !isFloatType(dtype) ? make.const(type, true) : undefined;
    default:
  }
  if (isFloatType(dtype)) return simplifyFloat(prim, a, b);
  if (dtype === "bool") return simplifyBool(make, prim, a, b, type);
  return isIntegerType(dtype) ? simplifyInteger(make, prim, a, b, type) : undefined;
}

function fold(make: Maker, prim: Prim, args: readonly KValue[], type: KType): KValue | undefined {
  for (let i = 0; i < args.length; i++) if ((args[i] as KValue).def.kind !== "const") return undefined;
  const values = args.map((arg) => toElement(arg.type.dtype, constantOf(arg) as Scalar));
  const operand = args.at(-1) as KValue;
  const divides = (prim === "div" || prim === "rem") && isIntegerType(operand.type.dtype);
  if (divides && isConstant(operand, 0)) return undefined;
  const evaluate = primEvaluator(prim, operand.type.dtype, type.dtype) as (...args: Scalar[]) => Scalar;
  return make.const(type, evaluate(...values));
}

function simplifyFloat(prim: Prim, a: KValue, b: KValue): KValue | undefined {
  switch (prim) {
    case "add":
      if (isConstant(b, -0)) return a;
      return isConstant(a, -0) ? b : undefined;
    case "sub":
      return isConstant(b, 0) ? a : undefined;
    case "mul":
      if (isConstant(b, 1)) return a;
      return isConstant(a, 1) ? b : undefined;
    default:
      return undefined;
  }
}

function simplifyBool(make: Maker, prim: Prim, a: KValue, b: KValue, type: KType): KValue | undefined {
  const right = constantOf(b);
  switch (prim) {
    case "and":
      if (a === b || right === true) return a;
      return right === false ? b : undefined;
    case "or":
      if (a === b || right === false) return a;
      return right === true ? b : undefined;
    case "xor":
      if (right === false) return a;
      return a === b ? make.const(type, false) : undefined;
    default:
      return undefined;
  }
}

/** `(x op c1)` as x and c1, for an op with a constant second argument. */
function withConstant(value: KValue, prim: Prim): readonly [KValue, KValue] | undefined {
  const def = isPrim(value, prim);
  return def !== undefined && def.args[1]?.def.kind === "const" ? (def.args as [KValue, KValue]) : undefined;
}

function simplifyInteger(make: Maker, prim: Prim, a: KValue, b: KValue, type: KType): KValue | undefined {
  const again = (p: Prim, x: KValue, y: KValue): KValue => make.prim(p, [x, y], type);
  switch (prim) {
    case "add": {
      if (isConstant(b, 0)) return a;
      if (b.def.kind !== "const") return undefined;
      // (x + c1) + c2 => x + (c1 + c2)
      const sum = withConstant(a, "add");
      return sum === undefined ? undefined : again("add", sum[0], again("add", sum[1], b));
    }
    case "sub": {
      if (isConstant(b, 0)) return a;
      if (a === b) return make.const(type, 0);
      // x - c => x + (-c), only where nothing wraps
      if (b.def.kind === "const" && type.dtype === "index")
        return again("add", a, make.const(type, -Number(b.def.value)));
      // (x + y) - y => x, (x + y) - x => y
      const sum = isPrim(a, "add");
      if (sum?.args[1] === b) return sum.args[0];
      return sum?.args[0] === b ? sum.args[1] : undefined;
    }
    case "mul": {
      if (isConstant(b, 1)) return a;
      if (isConstant(b, 0)) return b;
      if (b.def.kind !== "const") return undefined;
      // (x * c1) * c2 => x * (c1 * c2)
      const product = withConstant(a, "mul");
      return product === undefined ? undefined : again("mul", product[0], again("mul", product[1], b));
    }
    case "rem":
      if (isConstant(b, 1)) return make.const(type, 0);
      return isConstant(a, 0) ? a : undefined;
    case "shl":
    case "shr":
      return isConstant(b, 0) ? a : undefined;
    case "and":
      if (a === b) return a;
      return isConstant(b, 0) ? b : undefined;
    case "or":
      if (a === b) return a;
      return isConstant(b, 0) ? a : undefined;
    case "xor":
      return isConstant(b, 0) ? a : undefined;
    default:
      return undefined;
  }
}
