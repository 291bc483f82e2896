/**
 * Primitives as WGSL expressions, lane by lane as in the IR. Operands are texts that may be repeated.
 *
 * Results of narrow types are brought back into their range: integers wrapped, f16 and bf16 rounded. Comparisons of
 * floats avoid `!=`, which is false for NaN on Vulkan. Range reductions are kept from the algebra of drivers (`keep`).
 */

import {
  DTYPE_INFO,
  type DType,
  InternalError,
  type KDType,
  type KType,
  type KValue,
  type Prim,
  UnsupportedError,
  isFloatType,
} from "@quern/core";
import type { Helpers } from "./helpers.ts";
import { registerOf, withLanes, wgslType } from "./types.ts";

type Operands = readonly [string, string, string];

const INFIX: Readonly<Partial<Record<Prim, string>>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  eq: "==",
};

const FUNCTION: Readonly<Partial<Record<Prim, string>>> = {
  abs: "abs",
  sqrt: "sqrt",
  floor: "floor",
  ceil: "ceil",
  trunc: "trunc",
  round: "round",
  fma: "fma",
};

const BITWISE: Readonly<Partial<Record<Prim, string>>> = { and: "&", or: "|", xor: "^" };

/** Operations whose result may leave the range of a narrow type. */
const WIDENING: ReadonlySet<Prim> = new Set([
  "add",
  "sub",
  "mul",
  "div",
  "neg",
  "abs",
  "sqrt",
  "fma",
  "shl",
  "not",
  "scale2",
]);

export function renderPrim(
  helpers: Helpers,
  value: KValue,
  prim: Prim,
  args: readonly KValue[],
  texts: readonly string[],
): string {
  const operand = args.at(-1) as KValue;
  const [a = "", b = "", c = ""] = texts;
  if (prim === "cast") return renderCast(helpers, operand.type, value.type, a);
  if (prim === "bitcast") return renderBitcast(helpers, operand.type, value.type, a);
  if (prim === "div" && isZero(args[1])) return `(${a} / ${helpers.use("keep", operand.type.lanes)}(${b}))`;
  const third = prim === "fma" && isReductionStep(args) ? `${helpers.use("keep", operand.type.lanes)}(${c})` : c;
  const text = renderPlain(helpers, prim, operand.type, args, [a, b, third]);
  return WIDENING.has(prim) ? fit(helpers, value.type, text) : text;
}

/** A literal divisor of 0, which drivers fold to something else than infinity and NaN. */
function isZero(value: KValue | undefined): boolean {
  return value !== undefined && value.def.kind === "const" && isFloatType(value.type.dtype) && value.def.value === 0;
}

/**
 * True for x·c1 + (x·c2 + y): a step of a range reduction, where c1 holds the low bits of a number and c2 the high ones.
 * Drivers without fused multiply-adds may add the constants up, and with that the low bits are gone.
 */
function isReductionStep(args: readonly KValue[]): boolean {
  const inner = args[2]?.def;
  if (inner?.kind !== "prim" || inner.prim !== "fma") return false;
  const multiplied = (factors: readonly KValue[]): KValue | undefined => {
    const [a, b] = factors as [KValue, KValue];
    return a.def.kind === "const" ? b : b.def.kind === "const" ? a : undefined;
  };
  const x = multiplied(args);
  return x !== undefined && x === multiplied(inner.args);
}

function renderPlain(
  helpers: Helpers,
  prim: Prim,
  { dtype, lanes }: KType,
  args: readonly KValue[],
  [a, b, c]: Operands,
): string {
  const float = isFloatType(dtype);
  const register = registerOf(dtype);
  const isNaN = (text: string): string => `${helpers.use("isNaN", lanes)}(${text})`;
  switch (prim) {
    case "select":
      return `select(${c}, ${b}, ${a})`;
    case "min":
    case "max":
      if (!float) return `${prim}(${a}, ${b})`;
      return `${helpers.use(prim === "min" ? "minFloat" : "maxFloat", lanes)}(${a}, ${b})`;
    case "ne":
      if (!float) return `(${a} != ${b})`;
      return args[0] === args[1] ? isNaN(a) : `!(${a} == ${b})`;
    case "eq":
      return float && args[0] === args[1] ? `!${isNaN(a)}` : `(${a} == ${b})`;
    case "neg":
      return register === "u32" ? `(${withLanes("u32", lanes)}(0u) - ${a})` : `(-${a})`;
    case "not":
      return register === "bool" ? `!${a}` : `(~${a})`;
    case "and":
    case "or":
      return `(${a} ${BITWISE[prim]} ${b})`;
    case "xor":
      return `(${a} ${register === "bool" ? "!=" : "^"} ${b})`;
    case "shl":
    case "shr":
      return `(${a} ${prim === "shl" ? "<<" : ">>"} ${withLanes("u32", lanes)}(${b}))`;
    case "scale2":
      return `${helpers.use("scale2", lanes)}(${a}, ${b})`;
    default:
  }
  const infix = INFIX[prim];
  if (infix !== undefined) return `(${a} ${infix} ${b})`;
  const name = FUNCTION[prim];
  if (name !== undefined) return `${name}(${[a, b, c].slice(0, args.length).join(", ")})`;
  throw new InternalError(`wgsl: primitive ${prim}`);
}

/** Brings a register value back into the range of a narrow type. */
export function fit(helpers: Helpers, { dtype, lanes }: KType, text: string): string {
  const u = withLanes("u32", lanes);
  switch (dtype) {
    case "f16":
      return `${helpers.use("roundF16", lanes)}(${text})`;
    case "bf16":
      return `${helpers.use("roundBf16", lanes)}(${text})`;
    case "i8":
      return `((${text} << ${u}(24u)) >> ${u}(24u))`;
    case "i16":
      return `((${text} << ${u}(16u)) >> ${u}(16u))`;
    case "u8":
      return `(${text} & ${u}(0xffu))`;
    case "u16":
      return `(${text} & ${u}(0xffffu))`;
    default:
      return text;
  }
}

function renderCast(helpers: Helpers, from: KType, to: KType, text: string): string {
  const { lanes } = to;
  const [source, target] = [registerOf(from.dtype), registerOf(to.dtype)];
  if (from.dtype === to.dtype) return text;
  if (target === "bool") {
    const zero = `${withLanes(source, lanes)}(${source === "f32" ? "0.0f" : source === "i32" ? "0i" : "0u"})`;
    return source === "f32" ? `!(${text} == ${zero})` : `(${text} != ${zero})`;
  }
  if (source !== "f32" || target === "f32") {
    const converted = source === target ? text : `${wgslType(to)}(${text})`;
    return fit(helpers, to, converted);
  }
  const whole = `${helpers.use(target === "i32" ? "toI32" : "toU32", lanes)}(${text})`;
  if (!isNarrowInteger(to.dtype)) return whole;
  const { min, max } = DTYPE_INFO[to.dtype as DType];
  const bound = (value: number): string => `${wgslType(to)}(${value})`;
  return `clamp(${whole}, ${bound(min)}, ${bound(max)})`;
}

function isNarrowInteger(dtype: KDType): boolean {
  return dtype !== "index" && !isFloatType(dtype) && DTYPE_INFO[dtype].bytes < 4;
}

function renderBitcast(helpers: Helpers, from: KType, to: KType, text: string): string {
  if (from.dtype === to.dtype) return text;
  const wide = DTYPE_INFO[to.dtype as DType].bytes === 4;
  if (wide) return `bitcast<${wgslType(to)}>(${text})`;
  if (isFloatType(from.dtype) && isFloatType(to.dtype))
    throw new UnsupportedError({
      op: "bitcast",
      dtype: to.dtype,
      target: "wgsl",
      reason: "between 16-bit float types",
    });
  const u = withLanes("u32", to.lanes);
  // Through the bits of the narrow type in u32 registers.
  let bits: string;
  if (from.dtype === "f16") bits = `${helpers.use("bitsF16", to.lanes)}(${text})`;
  else if (from.dtype === "bf16") bits = `(bitcast<${u}>(${text}) >> ${u}(16u))`;
  else bits = registerOf(from.dtype) === "i32" ? `bitcast<${u}>(${text})` : text;
  if (to.dtype === "bf16") return `bitcast<${wgslType(to)}>(${bits} << ${u}(16u))`;
  if (to.dtype === "f16") {
    if (to.lanes !== 1)
      throw new UnsupportedError({ op: "bitcast", dtype: "f16", target: "wgsl", reason: "on vectors" });
    return `unpack2x16float(${bits} & 0xffffu).x`;
  }
  return fit(helpers, to, registerOf(to.dtype) === "i32" ? `bitcast<${wgslType(to)}>(${bits})` : bits);
}
