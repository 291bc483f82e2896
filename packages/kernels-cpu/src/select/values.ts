/**
 * Selects what defines a value: one entry per kind of definition.
 */
import { InternalError } from "@quern/core";
import type { KValue } from "@quern/core/kernel";
import type { Mem, Reg } from "../asm/index.ts";
import { floatRemainder } from "./remainder.ts";
import { emitBitcast, emitCast } from "./convert.ts";
import { compareScalar, compareVector } from "./compare.ts";
import { GENERAL, MASK } from "./code.ts";
import { emitBroadcast, emitExtract, emitIota } from "./lanes.ts";
import { emitHorizontal } from "./horizontal.ts";
import { emitIntrinsic } from "./intrinsics.ts";
import { emitLoad } from "./memory.ts";
import { maskPrim } from "./masks.ts";
import { rangeOf } from "./range.ts";
import { scalarPrim } from "./scalar.ts";
import { emitSelect } from "./select.ts";
import type { Selector } from "./selector.ts";
import { isFloating } from "./element.ts";
import { emitShuffle } from "./shuffle.ts";
import { emitTileLoad } from "./tiles.ts";
import { emitFma, isDirect, scaleByPower, vectorPrim } from "./vector.ts";
import { viaWider } from "./widen.ts";

const comparisons: ReadonlySet<string> = new Set(["lt", "le", "gt", "ge", "eq", "ne"]);

/** Emits the value in the current region; the result is in `into` when that is given. */
export function materialise(s: Selector, value: KValue, into: readonly Reg[] | undefined): readonly Reg[] {
  const { def } = value;
  switch (def.kind) {
    case "prim":
      return emitPrim(s, value, into);
    case "load":
      return emitLoad(s, value, def, into);
    case "broadcast":
      return emitBroadcast(s, value, def.value, into);
    case "iota":
      return emitIota(s, value, def.start, into);
    case "horizontal":
      return emitHorizontal(s, def.combiner, def.value, into);
    case "shuffle":
      return emitShuffle(s, value, def, into);
    case "extract":
      return emitExtract(s, def.value, def.lane, into);
    case "tileLoad":
      return emitTileLoad(s, value, def, into);
    case "intrinsic":
      return emitIntrinsic(s, value, def, into);
    default:
      throw new InternalError(`kernel ${s.kernel.name}: %${value.id} (${def.kind}) cannot be selected here`);
  }
}

/** May the result be written to a register that an operand is read from? True of operations that read everything before they write. */
export function overwritesSafely(value: KValue): boolean {
  const { def, type } = value;
  if (def.kind === "intrinsic") return def.name === "dot4u8i8" || def.name === "dot4u7i8";
  if (def.kind !== "prim") return false;
  if (def.prim === "fma") return isFloating(type.dtype);
  return isDirect(def.prim, type.dtype);
}

function emitPrim(s: Selector, value: KValue, into: readonly Reg[] | undefined): readonly Reg[] {
  const { def, type } = value;
  if (def.kind !== "prim") throw new InternalError("not a primitive");
  const { prim, args } = def;
  const [first] = args as [KValue];
  if (prim === "cast") return emitCast(s, first, type, into);
  if (prim === "bitcast") return emitBitcast(s, first, type, into);
  if (prim === "select") return emitSelect(s, value, into);
  if (comparisons.has(prim))
    return first.type.lanes === 1
      ? compareScalar(s, prim, first, args[1] as KValue, into)
      : compareVector(s, prim, first, args[1] as KValue, type, into);
  const { file } = s.shape(type);
  if (type.dtype === "f16" || type.dtype === "bf16") return viaWider(s, prim, type, args, into);
  if (type.dtype === "bool" && type.lanes > 1) return maskPrim(s, prim, type, args, into);
  if (file === MASK) throw new InternalError("mask of an unexpected type");
  if (file === GENERAL) return scalarPrim(s, prim, type, args, into);
  if (prim === "fma") return emitFma(s, value, into);
  if (prim === "rem" && isFloating(type.dtype)) return floatRemainder(s, type, args, into);
  if (prim === "scale2" && !s.wide)
    return scaleByPower(s, type, s.regs(first), s.regs(args[1] as KValue), into, rangeOf(args[1] as KValue));
  const operands: (readonly (Reg | Mem)[])[] = [];
  // The second operand may be memory; a commutative operation puts a waiting load there.
  const [a, b] = args as [KValue, KValue | undefined];
  if (b === undefined) operands.push(isDirect(prim, type.dtype) && prim === "sqrt" ? s.operands(a, false) : s.regs(a));
  else if (isDirect(prim, type.dtype)) {
    const swap = commutes.has(prim) && s.pending[a.id] === 1 && s.pending[b.id] !== 1;
    const [x, y] = swap ? [b, a] : [a, b];
    operands.push(s.regs(x), s.operands(y));
  } else operands.push(s.regs(a), s.regs(b));
  return vectorPrim(s, prim, type, operands, into);
}

const commutes: ReadonlySet<string> = new Set(["add", "mul", "and", "or", "xor"]);
