/**
 * How the values of a scalar body depend on one axis: the facts that decide how the axis becomes vector lanes.
 *
 * In: the body of an `each` or `reduce`, its axis, and a number of lanes; the axis takes `lanes` consecutive values
 * from a multiple of `lanes`. Out: a kind for every value of the body, and the widest element among those that become
 * vectors; or the reason why the body must stay scalar. Index arithmetic is exact: dimensions and axes are not
 * negative, which makes truncating division a floor where `isNotNegative` proves it.
 */

import { DTYPE_INFO, type DType } from "../dtype.ts";
import { isIntegerType } from "./element.ts";
import { visitStatements } from "./finish.ts";
import type { Block, KDType, KValue, Local, Prim, Stmt } from "./ir.ts";

/**
 * - `uniform`: the same for all lanes.
 * - `affine`: an index that grows by `step` from lane to lane.
 * - `varying`: a vector.
 */
export type LaneKind =
  | { readonly kind: "uniform" }
  | { readonly kind: "affine"; readonly step: number }
  | { readonly kind: "varying" };

const UNIFORM: LaneKind = { kind: "uniform" };
const VARYING: LaneKind = { kind: "varying" };

export interface AnalysisTarget {
  readonly vectorBytes: number;
  /** Loads and stores can be predicated per lane. */
  readonly masks: boolean;
  /** Axes that may be negative. */
  readonly signedAxes: ReadonlySet<KValue>;
  /** Largest value of the axes for which it is a literal. */
  readonly lastValues: ReadonlyMap<KValue, number>;
}

/** Thrown inside the analysis when the body has no vector form; never leaves `analyseAxis`. */
class NotVectorisable extends Error {}

export class AxisAnalysis {
  readonly lanes: number;
  readonly axis: KValue;
  /** Locals of the body that hold vectors. */
  readonly vectorLocals: Set<Local> = new Set();
  /** Bytes per lane of the widest vector. */
  widest = 1;
  readonly #target: AnalysisTarget;
  readonly #kinds = new Map<KValue, LaneKind>();
  #changed = false;

  constructor(axis: KValue, lanes: number, target: AnalysisTarget) {
    this.axis = axis;
    this.lanes = lanes;
    this.#target = target;
    this.#kinds.set(axis, { kind: "affine", step: 1 });
  }

  /** Values from outside the body are uniform. */
  kind(value: KValue): LaneKind {
    return this.#kinds.get(value) ?? UNIFORM;
  }

  isVarying(value: KValue): boolean {
    return this.kind(value).kind === "varying";
  }

  /** Growth per lane of an index; undefined where it is not constant. */
  step(value: KValue): number | undefined {
    const kind = this.kind(value);
    return kind.kind === "affine" ? kind.step : kind.kind === "uniform" ? 0 : undefined;
  }

  run(body: Block): void {
    // Locals become vectors where anything varying is assigned, which makes their readers vary: up to a fixed point.
    do {
      this.#changed = false;
      this.#block(body, false);
    } while (this.#changed);
  }

  #reject(reason: string): never {
    throw new NotVectorisable(reason);
  }

  #block(block: Block, masked: boolean): void {
    for (const statement of block) this.#statement(statement, masked);
  }

  #vector(dtype: KDType): void {
    // Index vectors may take two registers where data takes one.
    if (dtype !== "bool") this.widest = Math.max(this.widest, dtype === "index" ? 4 : DTYPE_INFO[dtype].bytes);
  }

  /** `value` is needed as a vector: only indices have a form of their own. */
  #materialise(value: KValue): void {
    if (value.def.kind !== "const") this.#vector(value.type.dtype);
  }

  #statement(statement: Stmt, masked: boolean): void {
    switch (statement.kind) {
      case "let": {
        const kind = this.#classify(statement.value, masked);
        if (kind.kind === "varying") this.#vector(statement.value.type.dtype);
        this.#kinds.set(statement.value, kind);
        return;
      }
      case "assign":
        if ((masked || this.kind(statement.value).kind !== "uniform") && !this.vectorLocals.has(statement.local)) {
          this.vectorLocals.add(statement.local);
          this.#changed = true;
        }
        if (this.vectorLocals.has(statement.local)) this.#vector(statement.local.type.dtype);
        return;
      case "store":
        this.#vector(statement.value.type.dtype);
        this.#access(statement.buffer.dtype, statement.index, masked || statement.mask !== undefined, "store");
        return;
      case "for":
        if (this.kind(statement.start).kind !== "uniform" || this.kind(statement.end).kind !== "uniform")
          this.#reject("a loop has bounds that differ between lanes");
        return this.#block(statement.body, masked);
      case "if": {
        const varying = this.kind(statement.condition).kind !== "uniform";
        this.#block(statement.then, masked || varying);
        return this.#block(statement.else, masked || varying);
      }
      case "reduce": {
        if (this.kind(statement.count).kind !== "uniform")
          this.#reject("a reduction has a count that differs between lanes");
        this.#block(statement.body, masked);
        const kind = this.kind(statement.yields).kind === "uniform" ? UNIFORM : VARYING;
        if (kind === VARYING) this.#vector(statement.result.type.dtype);
        if (kind === VARYING && statement.result.type.dtype === "bool") this.#reject("a reduction of bool per lane");
        this.#kinds.set(statement.result, kind);
        return;
      }
      case "prefetch":
        return;
      default:
        return this.#reject(`${statement.kind} in the body`);
    }
  }

  /** What a load or store at `index` needs; `masked` when some lanes may not touch memory. */
  #access(dtype: DType, index: KValue, masked: boolean, what: "load" | "store"): void {
    if (masked && !this.#target.masks) this.#reject(`a masked ${what}`);
    const step = this.step(index);
    if (step === 1) return;
    // Backwards is a shuffle, except in the masked last vector.
    if (step === -1 && what === "load" && !masked && !(this.#target.masks && DTYPE_INFO[dtype].bytes < 4)) return;
    if (DTYPE_INFO[dtype].bytes < 4) this.#reject(`a gather or scatter of ${dtype}`);
    if (what === "store" && !this.#target.masks) this.#reject("a scatter");
    this.#materialise(index);
    this.#vector("index");
  }

  #classify(value: KValue, masked: boolean): LaneKind {
    const { def, type } = value;
    switch (def.kind) {
      case "read":
        return this.vectorLocals.has(def.local) ? VARYING : UNIFORM;
      case "load": {
        const mask = def.mask !== undefined && this.kind(def.mask).kind !== "uniform";
        const other = def.other !== undefined && this.kind(def.other).kind !== "uniform";
        if (this.step(def.index) === 0 && !mask && !other && !masked) return UNIFORM;
        this.#vector(type.dtype);
        this.#access(def.buffer.dtype, def.index, masked || def.mask !== undefined, "load");
        return VARYING;
      }
      case "prim":
        return this.#prim(def.prim, def.args, type.dtype, masked);
      case "intrinsic":
        if (def.args.every((arg) => this.kind(arg).kind === "uniform")) return UNIFORM;
        if (def.name !== "rcpApprox" && def.name !== "rsqrtApprox") this.#reject(`intrinsic ${def.name}`);
        return VARYING;
      default:
        return this.#reject(`${def.kind} in the body`);
    }
  }

  #prim(prim: Prim, args: readonly KValue[], dtype: KDType, masked: boolean): LaneKind {
    const [a, b] = args as [KValue, KValue];
    const operand = (args.at(-1) as KValue).type.dtype;
    const divides = (prim === "div" || prim === "rem") && isIntegerType(operand);
    const uniform = args.every((arg) => this.kind(arg).kind === "uniform");
    // Lanes that are switched off may hold a zero divisor.
    if (divides && masked && b.def.kind !== "const") this.#reject("a division under a condition");
    if (uniform) return UNIFORM;
    const exact = operand === "index" ? this.#indexPrim(prim, args) : undefined;
    if (exact !== undefined) return exact;
    if (divides && (operand !== "index" || this.magicDivision(a, b) === undefined))
      this.#reject(`${prim} of ${operand} vectors`);
    if (operand === "index" && prim === "cast" && this.kind(a).kind === "affine") {
      this.#vector(wideCast(dtype) ? "i64" : "i32");
      return VARYING;
    }
    if (!divides) for (const arg of args) this.#materialise(arg);
    return VARYING;
  }

  #indexPrim(prim: Prim, args: readonly KValue[]): LaneKind | undefined {
    const affine = (step: number): LaneKind => (step === 0 ? UNIFORM : { kind: "affine", step });
    const [a, b] = args as [KValue, KValue];
    if (prim === "select") {
      const [whenTrue, whenFalse] = [this.step(b), this.step(args[2] as KValue)];
      return this.kind(a).kind === "uniform" && whenTrue !== undefined && whenTrue === whenFalse
        ? affine(whenTrue)
        : undefined;
    }
    const x = this.step(a);
    if (x === undefined) return undefined;
    if (prim === "neg") return affine(-x);
    const y = b === undefined ? undefined : this.step(b);
    if (y === undefined) return undefined;
    switch (prim) {
      case "add":
        return affine(x + y);
      case "sub":
        return affine(x - y);
      case "mul":
        if (b.def.kind === "const") return affine(x * Number(b.def.value));
        return a.def.kind === "const" ? affine(y * Number(a.def.value)) : undefined;
      case "min":
      case "max":
        return x === y ? affine(x) : undefined;
      case "lt":
      case "le":
      case "gt":
      case "ge":
      case "eq":
      case "ne":
        if (x === y) return UNIFORM;
        // Steps of one become prefixes of the lanes and need no index vectors.
        return Math.abs(x - y) === 1 ? VARYING : undefined;
      case "div":
      case "rem":
        return this.#division(prim, a, x, b);
      default:
        return undefined;
    }
  }

  /** Lanes of a division by a constant that stay in step. */
  #division(prim: "div" | "rem", a: KValue, step: number, b: KValue): LaneKind | undefined {
    const divisor = b.def.kind === "const" ? Number(b.def.value) : 0;
    if (divisor <= 0 || !isNotNegative(a, this.#target.signedAxes)) return undefined;
    if (step > 0 && step % divisor === 0) return prim === "div" ? { kind: "affine", step: step / divisor } : UNIFORM;
    // All lanes lie between two multiples of the divisor.
    const span = step * this.lanes;
    if (step > 0 && divisor % span === 0 && this.multipleOf(a) % span === 0)
      return prim === "div" ? UNIFORM : { kind: "affine", step };
    return undefined;
  }

  /** How to divide the lanes of `a` by the literal `b`; undefined where the range of `a` is not known well enough. */
  magicDivision(a: KValue, b: KValue): MagicDivision | undefined {
    const divisor = b.def.kind === "const" ? Number(b.def.value) : 0;
    if (divisor <= 0 || !isNotNegative(a, this.#target.signedAxes)) return undefined;
    return magicDivision(divisor, this.#upperBound(a));
  }

  /** Largest value of an index that is not negative. */
  #upperBound(value: KValue): number {
    const { def } = value;
    if (def.kind === "const") return Number(def.value);
    if (def.kind === "axis") return this.#target.lastValues.get(value) ?? Infinity;
    if (def.kind !== "prim") return Infinity;
    const [a, b] = def.args as [KValue, KValue];
    switch (def.prim) {
      case "add":
        return this.#upperBound(a) + this.#upperBound(b);
      case "mul":
        return this.#upperBound(a) * this.#upperBound(b) || 0;
      case "min":
        return Math.min(this.#upperBound(a), this.#upperBound(b));
      case "max":
        return Math.max(this.#upperBound(a), this.#upperBound(b));
      case "select":
        return Math.max(this.#upperBound(b), this.#upperBound(def.args[2] as KValue));
      case "div":
        return b.def.kind === "const" ? Math.floor(this.#upperBound(a) / Number(b.def.value)) : this.#upperBound(a);
      case "rem":
        return Math.min(this.#upperBound(a), b.def.kind === "const" ? Number(b.def.value) - 1 : Infinity);
      default:
        return Infinity;
    }
  }

  /** A number that divides the index in its first lane; 0 for zero, which everything divides. */
  multipleOf(value: KValue): number {
    if (value === this.axis) return this.lanes;
    const { def } = value;
    if (def.kind === "const") return Math.abs(Number(def.value));
    if (def.kind !== "prim" || value.type.dtype !== "index") return 1;
    const [a, b] = def.args as [KValue, KValue];
    switch (def.prim) {
      case "add":
      case "sub":
      case "min":
      case "max":
        return gcd(this.multipleOf(a), this.multipleOf(b));
      case "mul": {
        const product = this.multipleOf(a) * this.multipleOf(b);
        return Number.isSafeInteger(product) ? product : 1;
      }
      case "neg":
        return this.multipleOf(a);
      case "rem":
        return gcd(this.multipleOf(a), this.multipleOf(b));
      case "select":
        return gcd(this.multipleOf(b), this.multipleOf(def.args[2] as KValue));
      case "div": {
        const [of, by] = [this.multipleOf(a), b.def.kind === "const" ? Number(b.def.value) : 0];
        return by > 0 && of % by === 0 ? of / by : 1;
      }
      default:
        return 1;
    }
  }
}

/**
 * True where an index is known to be at least 0: sizes are, and axes except those of loops that may start below 0
 * (`signed`).
 */
export function isNotNegative(value: KValue, signed: ReadonlySet<KValue>): boolean {
  const { def } = value;
  if (value.type.dtype !== "index") return false;
  if (def.kind === "axis") return !signed.has(value);
  if (def.kind === "param") return true;
  if (def.kind === "const") return Number(def.value) >= 0;
  if (def.kind !== "prim") return false;
  const [a, b] = def.args as [KValue, KValue];
  const both = (): boolean => isNotNegative(a, signed) && isNotNegative(b, signed);
  switch (def.prim) {
    case "add":
    case "mul":
    case "div":
    case "min":
      return both();
    case "max":
      return isNotNegative(a, signed) || isNotNegative(b, signed);
    case "rem":
      return isNotNegative(a, signed);
    case "select":
      return isNotNegative(b, signed) && isNotNegative(def.args[2] as KValue, signed);
    default:
      return false;
  }
}

/** Axes of the loops in `body` that may start below 0. */
export function signedAxes(body: Block): Set<KValue> {
  const signed = new Set<KValue>();
  visitStatements(body, (statement) => {
    if (statement.kind === "for" && !isNotNegative(statement.start, signed)) signed.add(statement.axis);
  });
  return signed;
}

/** Literal last values of the axes in `body`. Masked lanes behind the end of an axis are harmless: they are not used. */
export function lastValues(body: Block): Map<KValue, number> {
  const last = new Map<KValue, number>();
  visitStatements(body, (statement) => {
    const end = statement.kind === "for" ? statement.end : "count" in statement ? statement.count : undefined;
    if (end?.def.kind === "const" && "axis" in statement)
      last.set(statement.axis, Math.max(0, Number(end.def.value) - 1));
  });
  return last;
}

/** x / divisor = (x * factor) >> shift for 0 <= x <= some bound, in integers of the given type. */
export interface MagicDivision {
  readonly type: "i32" | "i64";
  readonly factor: number;
  readonly shift: number;
}

/**
 * Granlund and Montgomery: with factor = ⌈2^shift / divisor⌉ the error of the product stays below 1 / divisor for
 * x < 2^bits when shift = bits + ⌈log2 divisor⌉. Lanes of 32 bits suffice for x < 2^15.
 */
function magicDivision(divisor: number, largest: number): MagicDivision | undefined {
  const bits = Math.max(1, Math.ceil(Math.log2(largest + 1)));
  const shift = bits + Math.ceil(Math.log2(divisor));
  // The product must fit without its sign bit: x below 2^bits times a factor of at most 2^(bits + 1).
  if (bits > 31 || shift > 62) return undefined;
  const type = bits <= 15 && shift <= 30 ? "i32" : "i64";
  return { type, factor: Number((2n ** BigInt(shift) + BigInt(divisor) - 1n) / BigInt(divisor)), shift };
}

/** True for targets of a cast from an index that need 64 bits on the way. */
export function wideCast(dtype: KDType): boolean {
  return dtype === "i64" || dtype === "u64" || dtype === "f64" || dtype === "index";
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** The facts for the largest number of lanes that fits the target's vectors, or the reason why there is none. */
export function analyseAxis(axis: KValue, body: Block, target: AnalysisTarget): AxisAnalysis | string {
  let reason = "vectors of one lane";
  for (const bytes of [1, 2, 4, 8]) {
    const lanes = target.vectorBytes / bytes;
    if (lanes < 2) continue;
    const analysis = new AxisAnalysis(axis, lanes, target);
    try {
      analysis.run(body);
    } catch (error) {
      if (!(error instanceof NotVectorisable)) throw error;
      reason = error.message;
      continue;
    }
    if (analysis.widest * lanes <= target.vectorBytes) return analysis;
  }
  return reason;
}
