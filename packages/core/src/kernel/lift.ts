/**
 * Records the scalar body of an `each` or `reduce` for `lanes` consecutive values of its axis.
 *
 * In: a body, its facts (`axis-analysis.ts`), the first value of the axis, and a mask for lanes that do not exist.
 * Out: statements in the builder. Uniform values and affine indices stay scalar (an affine index stands for its
 * first lane); the others are vectors. A condition that differs between lanes becomes a mask on loads and stores and
 * a select on assignments.
 */

import { InternalError } from "../errors.ts";
import { type AxisAnalysis, wideCast } from "./axis-analysis.ts";
import type { KernelBuilder } from "./builder.ts";
import { COMBINER_PRIM, combinerIdentity } from "./evaluate.ts";
import {
  type Block,
  type Combiner,
  type Def,
  type KValue,
  type Local,
  type Prim,
  type Stmt,
  vectorType,
} from "./ir.ts";
import { Rebuilder } from "./rebuild.ts";

export class Lift {
  readonly #k: KernelBuilder;
  readonly #facts: AxisAnalysis;
  /** Scalars: of the kernel outside, uniform values and first lanes. */
  readonly #scalars: Rebuilder;
  readonly #vectors = new Map<KValue, KValue>();
  readonly #locals = new Map<Local, Local>();
  /** Locals that certainly hold a value already, in all lanes that matter. */
  readonly #assigned = new Set<Local>();
  /** Lanes that execute; all when absent. */
  #mask: KValue | undefined;

  constructor(outer: Rebuilder, facts: AxisAnalysis, first: KValue, mask?: KValue) {
    this.#k = outer.k;
    this.#facts = facts;
    this.#scalars = new Rebuilder(outer.kernel, outer.k);
    for (const [old, value] of outer.values) this.#scalars.values.set(old, value);
    for (const [old, local] of outer.locals) this.#scalars.locals.set(old, local);
    this.#scalars.values.set(facts.axis, first);
    this.#mask = mask;
  }

  /** The value as a vector. */
  vector(value: KValue): KValue {
    const k = this.#k;
    const { lanes } = this.#facts;
    const kind = this.#facts.kind(value);
    if (kind.kind === "varying") {
      const known = this.#vectors.get(value);
      if (known === undefined) throw new InternalError(`lift: %${value.id} has no vector`);
      return known;
    }
    const scalar = this.#scalars.value(value);
    if (kind.kind === "uniform") return k.broadcast(scalar, lanes);
    if (kind.step === 1) return k.iota(scalar, lanes);
    return k.add(k.broadcast(scalar, lanes), k.mul(k.iota(k.index(0), lanes), kind.step));
  }

  block(block: Block): void {
    for (const statement of block) this.#statement(statement);
  }

  #statement(statement: Stmt): void {
    const k = this.#k;
    switch (statement.kind) {
      case "let": {
        const { value } = statement;
        if (this.#facts.isVarying(value)) this.#vectors.set(value, this.#define(value, value.def));
        else if (value.def.kind === "read") this.#scalars.values.set(value, k.read(this.#local(value.def.local)));
        else this.#scalars.statement(statement);
        return;
      }
      case "assign":
        return this.#assign(statement.local, statement.value);
      case "store":
        return this.#store(statement);
      case "for": {
        const { step, unroll } = statement;
        return k.for(
          { start: this.#scalars.value(statement.start), end: this.#scalars.value(statement.end), step, unroll },
          (axis) => {
            this.#scalars.values.set(statement.axis, axis);
            this.#conditional(() => this.block(statement.body));
          },
        );
      }
      case "if":
        return this.#if(statement);
      case "reduce":
        return this.#reduce(statement);
      case "prefetch":
        return k.prefetch(statement.buffer, this.#scalars.value(statement.index), statement.level);
      default:
        throw new InternalError(`lift: ${statement.kind} in a body`);
    }
  }

  /** What is first assigned in code that may not run is not certain afterwards. */
  #conditional(body: () => void): void {
    const before = new Set(this.#assigned);
    body();
    for (const local of this.#assigned) {
      if (!before.has(local)) this.#assigned.delete(local);
    }
  }

  #local(local: Local): Local {
    const outer = this.#scalars.locals.get(local);
    if (outer !== undefined) return outer;
    let lifted = this.#locals.get(local);
    if (lifted === undefined) {
      const isVector = this.#facts.vectorLocals.has(local);
      lifted = this.#k.local(local.name, isVector ? vectorType(local.type.dtype, this.#facts.lanes) : local.type);
      this.#locals.set(local, lifted);
    }
    return lifted;
  }

  #assign(local: Local, value: KValue): void {
    const k = this.#k;
    const lifted = this.#local(local);
    if (!this.#facts.vectorLocals.has(local)) return k.assign(lifted, this.#scalars.value(value));
    const next = this.vector(value);
    // Lanes that do not execute keep their value, if they have one.
    const keeps = this.#mask !== undefined && this.#assigned.has(local);
    k.assign(lifted, keeps ? k.select(this.#mask as KValue, next, k.read(lifted)) : next);
    this.#assigned.add(local);
  }

  #if(statement: Stmt & { kind: "if" }): void {
    const k = this.#k;
    if (!this.#facts.isVarying(statement.condition)) {
      const branch = (block: Block) => () => this.#conditional(() => this.block(block));
      return k.if(this.#scalars.value(statement.condition), branch(statement.then), branch(statement.else));
    }
    const outer = this.#mask;
    const condition = this.vector(statement.condition);
    const under = (mask: KValue, block: Block): void => {
      if (block.length === 0) return;
      this.#mask = outer === undefined ? mask : k.and(outer, mask);
      this.block(block);
      this.#mask = outer;
    };
    under(condition, statement.then);
    under(k.not(condition), statement.else);
  }

  #masked(mask: KValue | undefined): KValue | undefined {
    if (mask === undefined) return this.#mask;
    const lifted = this.vector(mask);
    return this.#mask === undefined ? lifted : this.#k.and(this.#mask, lifted);
  }

  #store(statement: Stmt & { kind: "store" }): void {
    const { buffer, index, value } = statement;
    const contiguous = this.#facts.step(index) === 1;
    const at = contiguous ? this.#scalars.value(index) : this.vector(index);
    this.#k.store(buffer, at, this.vector(value), { mask: this.#masked(statement.mask) });
  }

  #load(value: KValue, def: Def & { kind: "load" }): KValue {
    const k = this.#k;
    const { lanes } = this.#facts;
    const mask = this.#masked(def.mask);
    // Lanes masked off by the body itself give `other`; those that do not execute are free to give anything.
    const other = def.other === undefined ? undefined : this.vector(def.other);
    const step = this.#facts.step(def.index);
    if (step === 1) return k.load(def.buffer, this.#scalars.value(def.index), { lanes, mask, other });
    if (step === -1 && mask === undefined) {
      const forward = k.load(def.buffer, k.sub(this.#scalars.value(def.index), lanes - 1), { lanes });
      return k.shuffle(
        forward,
        forward,
        Array.from({ length: lanes }, (_, lane) => lanes - 1 - lane),
      );
    }
    return k.load(def.buffer, this.vector(def.index), { lanes, mask, other });
  }

  #define(value: KValue, def: Def): KValue {
    const k = this.#k;
    switch (def.kind) {
      case "read":
        return k.read(this.#local(def.local));
      case "load":
        return this.#load(value, def);
      case "prim":
        return this.#prim(def.prim, def.args, value);
      case "intrinsic":
        return k.intrinsic(
          def.name,
          def.args.map((arg) => this.vector(arg)),
          vectorType(value.type.dtype, this.#facts.lanes),
        );
      default:
        throw new InternalError(`lift: ${def.kind} in a body`);
    }
  }

  #prim(prim: Prim, args: readonly KValue[], value: KValue): KValue {
    const k = this.#k;
    const [a, b] = args as [KValue, KValue];
    const { dtype } = value.type;
    const operand = (args.at(-1) as KValue).type.dtype;
    if (operand === "index" && dtype === "bool" && prim !== "cast") {
      const [x, y] = [this.#facts.step(a), this.#facts.step(b)];
      if (x !== undefined && y !== undefined && Math.abs(x - y) === 1) return this.#comparePrefix(prim, a, b, x - y);
    }
    if (operand === "index" && prim === "cast" && this.#facts.kind(a).kind === "affine") {
      // Positions are counted in 32 bits where the result has no more.
      return k.cast(this.#positions(a, wideCast(dtype) ? "i64" : "i32"), dtype);
    }
    if (operand === "index" && (prim === "div" || prim === "rem")) return this.#divide(prim, a, b);
    return k.prim(
      prim,
      args.map((arg) => this.vector(arg)),
      vectorType(dtype, this.#facts.lanes),
    );
  }

  /** An index as integers per lane. */
  #positions(value: KValue, integer: "i32" | "i64"): KValue {
    const k = this.#k;
    const { lanes } = this.#facts;
    const step = this.#facts.step(value);
    if (step === undefined || step === 0) return k.cast(this.vector(value), integer);
    const first = k.cast(this.#scalars.value(value), integer);
    if (step === 1) return k.iota(first, lanes);
    return k.add(k.broadcast(first, lanes), k.mul(k.iota(k.const(integer, 0), lanes), step));
  }

  /** Division by a literal as a multiplication and a shift. */
  #divide(prim: "div" | "rem", a: KValue, b: KValue): KValue {
    const k = this.#k;
    const magic = this.#facts.magicDivision(a, b);
    if (magic === undefined) throw new InternalError(`lift: ${prim} of index vectors`);
    const { type, factor, shift } = magic;
    const x = this.#positions(a, type);
    const quotient = k.shr(k.mul(x, factor), shift);
    const result = prim === "div" ? quotient : k.sub(x, k.mul(quotient, Number((b.def as { value: number }).value)));
    return k.cast(result, "index");
  }

  /** Compares indices which differ by ±lane from lane to lane: the lanes below a bound. */
  #comparePrefix(prim: Prim, a: KValue, b: KValue, step: number): KValue {
    const k = this.#k;
    const { lanes } = this.#facts;
    const [x, y] = [this.#scalars.value(a), this.#scalars.value(b)];
    const lane = k.iota(k.index(0), lanes);
    // With step 1: x + lane ∘ y is lane ∘ y - x. With step -1: x - lane ∘ y is lane ∘' x - y, ∘' mirrored.
    const bound = step === 1 ? k.sub(y, x) : k.sub(x, y);
    const below = (limit: KValue): KValue => k.lt(lane, k.broadcast(limit, lanes));
    switch (step === 1 ? prim : (MIRRORED[prim] ?? prim)) {
      case "lt":
        return below(bound);
      case "le":
        return below(k.add(bound, 1));
      case "ge":
        return k.not(below(bound));
      case "gt":
        return k.not(below(k.add(bound, 1)));
      case "eq":
        return k.and(below(k.add(bound, 1)), k.not(below(bound)));
      case "ne":
        return k.or(below(bound), k.not(below(k.add(bound, 1))));
      default:
        throw new InternalError(`lift: ${prim} is not a comparison`);
    }
  }

  /** A reduction inside the body runs over its axis in order, for all lanes at once. */
  #reduce(statement: Stmt & { kind: "reduce" }): void {
    const k = this.#k;
    const { combiner, axis, yields, result } = statement;
    const varying = this.#facts.isVarying(result);
    const { dtype } = result.type;
    const type = vectorType(dtype, varying ? this.#facts.lanes : 1);
    const acc = k.local("acc", type, k.const(type, combinerIdentity(combiner, dtype)));
    k.for({ end: this.#scalars.value(statement.count) }, (i) => {
      this.#scalars.values.set(axis, i);
      this.#conditional(() => this.block(statement.body));
      const next = varying ? this.vector(yields) : this.#scalars.value(yields);
      k.assign(acc, combine(k, combiner, k.read(acc), next));
    });
    (varying ? this.#vectors : this.#scalars.values).set(result, k.read(acc));
  }
}

const MIRRORED: Readonly<Partial<Record<Prim, Prim>>> = { lt: "gt", gt: "lt", le: "ge", ge: "le" };

/** One step of a reduction; products are added with one rounding. */
export function combine(k: KernelBuilder, combiner: Combiner, acc: KValue, next: KValue): KValue {
  const { def } = next;
  if (combiner === "sum" && def.kind === "prim" && def.prim === "mul")
    return k.fma(def.args[0] as KValue, def.args[1] as KValue, acc);
  const type = acc.type;
  return k.prim(COMBINER_PRIM[combiner], [acc, next], type);
}
