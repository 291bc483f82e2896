/**
 * Removes divisions, remainders, minima and comparisons of indices that the extents of the axes decide.
 *
 * In: a kernel of either level. Out: an equal kernel. Divisions come from views (reshape, transpose) fused into
 * loops: (r * 64 + c) / 64 is r where c < 64. Also with symbolic sizes: (r * cols + c) / cols.
 */

import { someStatement } from "./finish.ts";
import {
  IndexRanges,
  type Polynomial,
  addPolynomials,
  constantPolynomial,
  divideTerms,
  multiplyPolynomials,
} from "./index-ranges.ts";
import type { KValue, Kernel, Prim, Stmt } from "./ir.ts";
import { Rebuilder } from "./rebuild.ts";

export function simplifyIndex(kernel: Kernel): Kernel {
  if (!someStatement(kernel.body, (statement) => statement.kind === "let" && isDecidable(statement.value)))
    return kernel;
  return new IndexSimplifier(kernel).run();
}

const DECIDABLE: ReadonlySet<Prim> = new Set(["div", "rem", "min", "max", "lt", "le", "gt", "ge"]);

/** Operations on two scalar indices that ranges may decide. */
function isDecidable(value: KValue): boolean {
  const { def } = value;
  if (def.kind !== "prim" || value.type.lanes !== 1 || !DECIDABLE.has(def.prim)) return false;
  return def.args.every((arg) => arg.type.dtype === "index" && arg.type.lanes === 1);
}

class IndexSimplifier extends Rebuilder {
  readonly #ranges = new IndexRanges();
  readonly #pending = new Map<KValue, { readonly last: Polynomial; readonly first: Polynomial }>();

  override statement(statement: Stmt): void {
    switch (statement.kind) {
      case "parallel":
      case "each":
      case "reduce": {
        const count = this.#ranges.polynomial(this.value(statement.count));
        this.#pending.set(statement.axis, { last: addPolynomials(count, constantPolynomial(-1)), first: [] });
        break;
      }
      case "for": {
        const end = this.#ranges.polynomial(this.value(statement.end));
        const first = this.#ranges.polynomial(this.value(statement.start));
        this.#pending.set(statement.axis, { last: addPolynomials(end, constantPolynomial(-1)), first });
        break;
      }
      default:
    }
    super.statement(statement);
  }

  override block(block: readonly Stmt[]): void {
    // The new axis is known once the body is being recorded.
    for (const [old, { last, first }] of this.#pending) {
      const axis = this.values.get(old);
      if (axis === undefined) continue;
      this.#ranges.limit(axis, last, first);
      this.#pending.delete(old);
    }
    super.block(block);
  }

  override define(value: KValue): KValue {
    const { def } = value;
    if (def.kind === "prim" && def.prim === "add" && value.type.dtype === "index" && value.type.lanes === 1) {
      const [a, b] = def.args.map((arg) => this.value(arg)) as [KValue, KValue];
      const sum = addPolynomials(this.#ranges.polynomial(a), this.#ranges.polynomial(b));
      const joined = joinDivisions(sum, this.#ranges);
      if (joined !== undefined) return this.#value(joined);
    }
    if (def.kind === "prim" && isDecidable(value)) {
      const [a, b] = def.args.map((arg) => this.value(arg)) as [KValue, KValue];
      const simpler = this.#simplify(def.prim, a, b);
      if (simpler !== undefined) return simpler;
    }
    return super.define(value);
  }

  #simplify(prim: Prim, a: KValue, b: KValue): KValue | undefined {
    const { k } = this;
    const bool = { dtype: "bool", lanes: 1, rows: 1 } as const;
    switch (prim) {
      case "div":
      case "rem":
        return this.#division(prim, a, b);
      case "min":
        return this.#atMost(a, b) ? a : this.#atMost(b, a) ? b : undefined;
      case "max":
        return this.#atMost(a, b) ? b : this.#atMost(b, a) ? a : undefined;
      case "lt":
        return this.#less(a, b) ? k.const(bool, true) : this.#atMost(b, a) ? k.const(bool, false) : undefined;
      case "le":
        return this.#atMost(a, b) ? k.const(bool, true) : this.#less(b, a) ? k.const(bool, false) : undefined;
      case "gt":
        return this.#simplify("lt", b, a);
      case "ge":
        return this.#simplify("le", b, a);
      default:
        return undefined;
    }
  }

  /** a <= b for all values of the axes. */
  #atMost(a: KValue, b: KValue): boolean {
    return this.#ranges.isNotNegative(addPolynomials(this.#ranges.polynomial(b), this.#ranges.polynomial(a), -1));
  }

  #less(a: KValue, b: KValue): boolean {
    const difference = addPolynomials(this.#ranges.polynomial(b), this.#ranges.polynomial(a), -1);
    return this.#ranges.isNotNegative(addPolynomials(difference, constantPolynomial(-1)));
  }

  /** a = divisor * quotient + rest: the parts that the divisor divides leave the division. */
  #division(prim: "div" | "rem", a: KValue, b: KValue): KValue | undefined {
    const { k } = this;
    const ranges = this.#ranges;
    const divisor = ranges.polynomial(b);
    if (divisor.length === 0 || !ranges.isNotNegative(divisor)) return undefined;
    const { quotient, rest } = divideTerms(ranges.polynomial(a), divisor);
    if (!ranges.isNotNegative(quotient) || !ranges.isNotNegative(rest)) return undefined;
    const below = ranges.isNotNegative(addPolynomials(addPolynomials(divisor, rest, -1), constantPolynomial(-1)));
    if (below) return this.#value(prim === "div" ? quotient : rest);
    if (quotient.length === 0) return undefined;
    const inner = k.prim(prim, [this.#value(rest), b], b.type);
    return prim === "div" ? k.add(this.#value(quotient), inner) : inner;
  }

  #value(polynomial: Polynomial): KValue {
    const { k } = this;
    let sum = k.index(0);
    for (const { coefficient, factors } of polynomial) {
      const [first, ...others] = factors;
      const product =
        first === undefined
          ? k.index(coefficient)
          : k.mul(
              others.reduce((left, factor) => k.mul(left, factor), first),
              coefficient,
            );
      sum = k.add(sum, product);
    }
    return sum;
  }
}

/** x rem d + (x / d) d => x, also as a multiple, within a sum. */
function joinDivisions(sum: Polynomial, ranges: IndexRanges): Polynomial | undefined {
  for (const term of sum) {
    for (const factor of term.factors) {
      const { def } = factor;
      if (def.kind !== "prim" || def.prim !== "rem") continue;
      const [x, d] = def.args as [KValue, KValue];
      const quotient = sum
        .flatMap(({ factors }) => factors)
        .find(
          (other) =>
            other.def.kind === "prim" && other.def.prim === "div" && other.def.args[0] === x && other.def.args[1] === d,
        );
      if (quotient === undefined) continue;
      const others = [{ coefficient: term.coefficient, factors: without(term.factors, factor) }];
      const divisor = multiplyPolynomials(ranges.polynomial(d), [{ coefficient: 1, factors: [quotient] }]);
      const partner = divisor && multiplyPolynomials(others, divisor);
      const whole = multiplyPolynomials(others, ranges.polynomial(x));
      if (partner === undefined || whole === undefined) continue;
      const rest = addPolynomials(addPolynomials(sum, [term], -1), partner, -1);
      if (rest.length !== sum.length - 1 - partner.length) continue;
      const joined = addPolynomials(rest, whole);
      return joinDivisions(joined, ranges) ?? joined;
    }
  }
  return undefined;
}

function without(factors: readonly KValue[], factor: KValue): KValue[] {
  const at = factors.indexOf(factor);
  return factors.filter((_, i) => i !== at);
}
