/**
 * Legalises the element level for SIMD targets: `each` and `reduce` become loops over vectors.
 *
 * In: a kernel of either level. Out: an equal kernel without `each` and `reduce`. A loop over full vectors is
 * followed by one masked vector, or by a scalar loop where the target has no masks. Reductions keep several
 * accumulators. Bodies without a vector form (`axis-analysis.ts`) become scalar loops. Only the order of
 * floating-point sums changes, and products summed up are rounded once.
 */

import { type AnalysisTarget, type AxisAnalysis, analyseAxis, lastValues, signedAxes } from "./axis-analysis.ts";
import { isFloatType } from "./element.ts";
import { combinerIdentity } from "./evaluate.ts";
import { someStatement, visitStatements } from "./finish.ts";
import { type Block, type KValue, type Kernel, type Local, type Stmt, vectorType } from "./ir.ts";
import { Lift, combine } from "./lift.ts";
import { Rebuilder } from "./rebuild.ts";

export interface VectoriseOptions {
  readonly vectorBytes: 16 | 32 | 64;
  /** The target has predicated loads and stores, and gathers and scatters. */
  readonly masks: boolean;
  /** Independent partial results of a reduction; 4 by default. */
  readonly accumulators?: number;
  /** Told about each `each` and `reduce`: "16 lanes", or why it stays scalar. */
  readonly decision?: (statement: Stmt, text: string) => void;
}

export function vectorise(kernel: Kernel, options: VectoriseOptions): Kernel {
  if (!someStatement(kernel.body, (statement) => statement.kind === "each" || statement.kind === "reduce"))
    return kernel;
  return new Vectoriser(kernel, options).run();
}

class Vectoriser extends Rebuilder {
  readonly #target: AnalysisTarget;
  readonly #options: VectoriseOptions;

  constructor(kernel: Kernel, options: VectoriseOptions) {
    super(kernel);
    this.#options = options;
    this.#target = {
      vectorBytes: options.vectorBytes,
      masks: options.masks,
      signedAxes: signedAxes(kernel.body),
      lastValues: lastValues(kernel.body),
    };
  }

  override statement(statement: Stmt): void {
    if (statement.kind === "each") return this.#each(statement);
    if (statement.kind === "reduce") return this.#reduce(statement);
    super.statement(statement);
  }

  #analyse(statement: Stmt & { kind: "each" | "reduce" }): AxisAnalysis | undefined {
    const facts = analyseAxis(statement.axis, statement.body, this.#target);
    this.#options.decision?.(statement, typeof facts === "string" ? `scalar: ${facts}` : `${facts.lanes} lanes`);
    return typeof facts === "string" ? undefined : facts;
  }

  #each(statement: Stmt & { kind: "each" }): void {
    const { k } = this;
    const count = this.value(statement.count);
    const facts = count.def.kind === "const" && count.def.value === 1 ? undefined : this.#analyse(statement);
    if (facts === undefined || prefersInnerAxis(statement.body, facts, this.#target))
      return this.#scalarLoop(statement.axis, k.index(0), count, statement.body);
    this.#split(count, facts.lanes, {
      vectors: (end) =>
        k.for({ end, step: facts.lanes, unroll: unrollFor(statement.body) }, (i) =>
          new Lift(this, facts, i).block(statement.body),
        ),
      masked: (start, mask) => new Lift(this, facts, start, mask).block(statement.body),
      scalar: (start) => this.#scalarLoop(statement.axis, start, count, statement.body),
    });
  }

  /** Runs full vectors up to the last multiple of `lanes`, then what is left. */
  #split(
    count: KValue,
    lanes: number,
    parts: { vectors(end: KValue): void; masked(start: KValue, mask: KValue): void; scalar(start: KValue): void },
  ): void {
    const { k } = this;
    const full = k.mul(k.div(count, lanes), lanes);
    const known = count.def.kind === "const" ? Number(count.def.value) : undefined;
    if (known === undefined || known >= lanes) parts.vectors(full);
    if (known !== undefined && known % lanes === 0) return;
    if (!this.#options.masks) return parts.scalar(full);
    const masked = (): void => parts.masked(full, k.lt(k.iota(full, lanes), k.broadcast(count, lanes)));
    k.if(k.lt(full, count), masked);
  }

  /** The body once per value of the axis. Reductions inside may still become vectors. */
  #scalarLoop(axis: KValue, start: KValue, end: KValue, body: Block): void {
    this.k.for({ start, end }, (i) => {
      this.values.set(axis, i);
      this.elementBody(body);
    });
  }

  #reduce(statement: Stmt & { kind: "reduce" }): void {
    const { k } = this;
    const count = this.value(statement.count);
    const { dtype } = statement.result.type;
    const facts =
      dtype === "bool" || (count.def.kind === "const" && count.def.value === 1) ? undefined : this.#analyse(statement);
    if (facts === undefined) return this.#scalarReduce(statement, count);
    const { lanes } = facts;
    const { combiner, body, yields, result } = statement;
    const type = vectorType(dtype, lanes);
    const identity = k.const(type, combinerIdentity(combiner, dtype));
    const accumulators: Local[] = [k.local("acc0", type, identity)];
    const lifted = (at: KValue, mask?: KValue): KValue => {
      const lift = new Lift(this, facts, at, mask);
      lift.block(body);
      return lift.vector(yields);
    };
    const accumulate = (acc: Local, at: KValue): void => {
      const next = lifted(at);
      k.assign(acc, combine(k, combiner, k.read(acc), next));
    };
    const known = count.def.kind === "const" ? Number(count.def.value) : undefined;
    const several =
      known === undefined ? this.#accumulators(dtype) : Math.min(this.#accumulators(dtype), Math.floor(known / lanes));
    let scalarTail: KValue | undefined;
    this.#split(count, lanes, {
      vectors: (end) => {
        let start = k.index(0);
        if (several > 1) {
          const step = lanes * several;
          while (accumulators.length < several) accumulators.push(k.local(`acc${accumulators.length}`, type, identity));
          const wide = k.mul(k.div(count, step), step);
          k.for({ end: wide, step }, (i) => accumulators.forEach((acc, at) => accumulate(acc, k.add(i, at * lanes))));
          start = wide;
        }
        const done = start.def.kind === "const" && end.def.kind === "const" && start.def.value === end.def.value;
        if (!done) k.for({ start, end, step: lanes }, (i) => accumulate(accumulators[0] as Local, i));
      },
      masked: (start, mask) => {
        const acc = accumulators[0] as Local;
        const next = lifted(start, mask);
        const before = k.read(acc);
        k.assign(acc, k.select(mask, combine(k, combiner, before, next), before));
      },
      scalar: (start) => {
        scalarTail = start;
      },
    });
    let total = k.read(accumulators[0] as Local);
    for (const partial of pairwise(
      accumulators.slice(1).map((acc) => k.read(acc)),
      (a, b) => combine(k, combiner, a, b),
    )) {
      total = combine(k, combiner, total, partial);
    }
    let sum = k.horizontal(combiner, total);
    if (scalarTail !== undefined) sum = this.#scalarPart(statement, scalarTail, count, sum);
    this.values.set(result, sum);
  }

  #accumulators(dtype: KValue["type"]["dtype"]): number {
    return this.#options.accumulators ?? (isFloatType(dtype) ? 4 : 2);
  }

  #scalarReduce(statement: Stmt & { kind: "reduce" }, count: KValue): void {
    const { dtype } = statement.result.type;
    const identity = this.k.const(dtype, combinerIdentity(statement.combiner, dtype));
    this.values.set(statement.result, this.#scalarPart(statement, this.k.index(0), count, identity));
  }

  /** `initial` combined with the values of the axis from `start` on. */
  #scalarPart(statement: Stmt & { kind: "reduce" }, start: KValue, end: KValue, initial: KValue): KValue {
    const { k } = this;
    const acc = k.local("acc", initial.type, initial);
    k.for({ start, end }, (i) => {
      this.values.set(statement.axis, i);
      this.elementBody(statement.body);
      k.assign(acc, combine(k, statement.combiner, k.read(acc), this.value(statement.yields)));
    });
    return k.read(acc);
  }
}

/** Light bodies are repeated, so that the loop itself costs less; heavy ones keep the processor busy as they are. */
function unrollFor(body: Block): number {
  let work = 0;
  visitStatements(body, (statement) => {
    const isIndex = statement.kind === "let" && statement.value.type.dtype === "index";
    work += statement.kind === "for" || statement.kind === "reduce" ? 100 : isIndex ? 0 : 1;
  });
  return work <= 4 ? 4 : work <= 10 ? 2 : 1;
}

/** Combines neighbours until one is left, which shortens the chain of dependent operations. */
function pairwise(values: readonly KValue[], combineTwo: (a: KValue, b: KValue) => KValue): KValue[] {
  let left = [...values];
  while (left.length > 1) {
    const next: KValue[] = [];
    for (let i = 0; i < left.length; i += 2) {
      const [a, b] = [left[i] as KValue, left[i + 1]];
      next.push(b === undefined ? a : combineTwo(a, b));
    }
    left = next;
  }
  return left;
}

/**
 * Whether the reductions inside an `each` body make the better vectors: where one reads consecutive elements along
 * its own axis, and these lie apart along the axis of the `each`.
 */
function prefersInnerAxis(body: Block, facts: AxisAnalysis, target: AnalysisTarget): boolean {
  let prefers = false;
  visitStatements(body, (statement) => {
    if (statement.kind !== "reduce") return;
    const inner = analyseAxis(statement.axis, statement.body, target);
    if (typeof inner === "string") return;
    visitStatements(statement.body, (nested) => {
      if (nested.kind !== "let" || nested.value.def.kind !== "load") return;
      const { index } = nested.value.def;
      const outer = facts.step(index);
      if (inner.step(index) === 1 && outer !== 0 && outer !== 1) prefers = true;
    });
  });
  return prefers;
}
