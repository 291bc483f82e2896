/**
 * Index values as polynomials over axes and sizes, and proofs of their bounds.
 *
 * In: index values and the extents of the axes. Out: canonical sums of products, and "is this never negative?",
 * answered by replacing each axis with its first or last value. Index parameters are sizes and offsets: at least 0.
 */

import type { KValue } from "./ir.ts";

/** coefficient × product of the factors, which are sorted by id; no factors for the constant. */
export interface Term {
  readonly coefficient: number;
  readonly factors: readonly KValue[];
}

/** A sum of terms with different factors. */
export type Polynomial = readonly Term[];

const MAX_TERMS = 24;

export function constantPolynomial(value: number): Polynomial {
  return value === 0 ? [] : [{ coefficient: value, factors: [] }];
}

export function addPolynomials(a: Polynomial, b: Polynomial, scale = 1): Polynomial {
  const byKey = new Map<string, Term>();
  for (const [polynomial, factor] of [
    [a, 1],
    [b, scale],
  ] as const) {
    for (const term of polynomial) {
      const key = term.factors.map((value) => value.id).join();
      const coefficient = (byKey.get(key)?.coefficient ?? 0) + factor * term.coefficient;
      byKey.set(key, { coefficient, factors: term.factors });
    }
  }
  return [...byKey.values()].filter((term) => term.coefficient !== 0);
}

export function multiplyPolynomials(a: Polynomial, b: Polynomial): Polynomial | undefined {
  if (a.length * b.length > MAX_TERMS) return undefined;
  let product: Polynomial = [];
  for (const x of a) {
    for (const y of b) {
      const factors = [...x.factors, ...y.factors].sort((p, q) => p.id - q.id);
      product = addPolynomials(product, [{ coefficient: x.coefficient * y.coefficient, factors }]);
    }
  }
  return product;
}

/** a = quotient * divisor + rest, by long division: terms that the divisor does not divide stay in the rest. */
export function divideTerms(
  a: Polynomial,
  divisor: Polynomial,
): { readonly quotient: Polynomial; readonly rest: Polynomial } {
  const [lead] = divisor;
  let quotient: Polynomial = [];
  let rest = a;
  if (lead === undefined) return { quotient, rest };
  for (const term of a) {
    const part = divideTerm(term, lead);
    if (part === undefined) continue;
    const next = addPolynomials(rest, multiplyPolynomials([part], divisor) as Polynomial, -1);
    // Only steps that remove all terms of the product make progress.
    if (next.length !== rest.length - divisor.length) continue;
    rest = next;
    quotient = addPolynomials(quotient, [part]);
  }
  return { quotient, rest };
}

function divideTerm(term: Term, divisor: Term): Term | undefined {
  if (term.coefficient % divisor.coefficient !== 0) return undefined;
  const factors = [...term.factors];
  for (const factor of divisor.factors) {
    const at = factors.indexOf(factor);
    if (at < 0) return undefined;
    factors.splice(at, 1);
  }
  return { coefficient: term.coefficient / divisor.coefficient, factors };
}

export class IndexRanges {
  /** Largest value of each axis. */
  readonly #last = new Map<KValue, Polynomial>();
  readonly #first = new Map<KValue, Polynomial>();
  readonly #cache = new Map<KValue, Polynomial>();

  /** States that `first <= axis <= last`; the first value is 0 when it is not given. */
  limit(axis: KValue, last: Polynomial, first: Polynomial = []): void {
    this.#last.set(axis, last);
    this.#first.set(axis, first);
  }

  polynomial(value: KValue): Polynomial {
    let polynomial = this.#cache.get(value);
    if (polynomial === undefined) {
      polynomial = this.#expand(value) ?? [{ coefficient: 1, factors: [value] }];
      this.#cache.set(value, polynomial);
    }
    return polynomial;
  }

  #expand(value: KValue): Polynomial | undefined {
    const { def } = value;
    if (def.kind === "const") return constantPolynomial(Number(def.value));
    if (def.kind !== "prim" || value.type.lanes !== 1) return undefined;
    const [a, b] = def.args as [KValue, KValue];
    switch (def.prim) {
      case "add":
      case "sub": {
        const sum = addPolynomials(this.polynomial(a), this.polynomial(b), def.prim === "add" ? 1 : -1);
        return sum.length > MAX_TERMS ? undefined : sum;
      }
      case "mul":
        return multiplyPolynomials(this.polynomial(a), this.polynomial(b));
      case "neg":
        return addPolynomials([], this.polynomial(a), -1);
      default:
        return undefined;
    }
  }

  /** True when the polynomial is certainly at least 0. */
  isNotNegative(polynomial: Polynomial, depth = 0): boolean {
    if (polynomial.every((term) => term.coefficient > 0 && term.factors.every((factor) => this.#isSize(factor))))
      return true;
    if (depth > 8) return false;
    // Replace one axis: by its last value where it counts against us, by its first where it counts for us.
    for (const axis of new Set(polynomial.flatMap((term) => term.factors))) {
      const last = this.lastOf(axis);
      if (last === undefined) continue;
      const withAxis = polynomial.filter((term) => term.factors.includes(axis));
      // Linear in the axis: the smallest value is at one of its ends, and signs may tell at which.
      if (withAxis.some((term) => term.factors.filter((factor) => factor === axis).length > 1)) continue;
      const monotone = withAxis.every((term) =>
        term.factors.every((factor) => factor === axis || this.#isSize(factor)),
      );
      const atFirst = monotone && withAxis.every((term) => term.coefficient > 0);
      const atLast = monotone && withAxis.every((term) => term.coefficient < 0);
      const holds = (by: Polynomial): boolean => this.isNotNegative(substitute(polynomial, axis, by), depth + 1);
      return (atLast || holds(this.#first.get(axis) ?? [])) && (atFirst || holds(last));
    }
    return false;
  }

  /** Axes with a stated range, and remainders by constants. */
  lastOf(value: KValue): Polynomial | undefined {
    const stated = this.#last.get(value);
    if (stated !== undefined) return stated;
    const { def } = value;
    if (def.kind !== "prim" || def.prim !== "rem") return undefined;
    const [a, b] = def.args as [KValue, KValue];
    if (b.def.kind !== "const" || Number(b.def.value) <= 0 || !this.isNotNegative(this.polynomial(a))) return undefined;
    return constantPolynomial(Number(b.def.value) - 1);
  }

  /** Values that are at least 0 by their nature. */
  #isSize(value: KValue): boolean {
    const { def } = value;
    if (def.kind === "param") return true;
    if (def.kind === "axis") return this.#last.has(value) && (this.#first.get(value)?.length ?? 0) === 0;
    if (def.kind !== "prim" || value.type.dtype !== "index") return false;
    const parts = (): boolean => def.args.every((arg) => this.isNotNegative(this.polynomial(arg)));
    switch (def.prim) {
      case "div":
      case "rem":
      case "min":
        return parts();
      case "max":
        return def.args.some((arg) => this.isNotNegative(this.polynomial(arg)));
      default:
        return false;
    }
  }
}

function substitute(polynomial: Polynomial, axis: KValue, by: Polynomial): Polynomial {
  let result: Polynomial = [];
  for (const term of polynomial) {
    const at = term.factors.indexOf(axis);
    if (at < 0) {
      result = addPolynomials(result, [term]);
      continue;
    }
    const others = [{ coefficient: term.coefficient, factors: term.factors.filter((_, i) => i !== at) }];
    result = addPolynomials(result, multiplyPolynomials(others, by) ?? [term]);
  }
  return result;
}
