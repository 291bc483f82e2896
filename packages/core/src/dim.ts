/**
 * Symbolic dimensions: a dimension is a number, or an integer polynomial over symbols and a few opaque terms.
 *
 * In: sizes from files and shape arithmetic. Out: canonical `Dim` values, so that two equal expressions print the
 * same text and compare equal. Invariant: a `SymbolicDim` is never constant, its terms are sorted by key, no
 * coefficient is zero; every dimension that passes here is assumed to be at least 0.
 */

import { UserError, invariant } from "./errors.ts";

export type Dim = number | SymbolicDim;
export type Shape = readonly Dim[];

/** An indivisible factor of a term: a named symbol, or an operation that polynomials cannot express. */
export type DimAtom =
  | { readonly kind: "symbol"; readonly name: string }
  | { readonly kind: "floordiv" | "mod" | "max" | "min"; readonly a: Dim; readonly b: Dim };

interface DimTerm {
  readonly coefficient: number;
  /** Sorted by key; an atom may occur several times (a power). */
  readonly atoms: readonly DimAtom[];
}

/** Values of symbols by name, as known at run time. */
export type DimBindings = Readonly<Record<string, number>>;

// Expressions of real models have a few terms. Products and nested quotients in a hostile file would double with every
// node, so they end here.
const MAX_TERMS = 256;
const MAX_KEY = 8192;

function tooLarge(): UserError {
  return new UserError(`a dimension expression has more than ${MAX_TERMS} terms or ${MAX_KEY} characters`);
}

export class SymbolicDim {
  readonly terms: readonly DimTerm[];
  /** Canonical text; equal dimensions have equal keys. */
  readonly key: string;

  constructor(terms: readonly DimTerm[]) {
    this.terms = terms;
    if (terms.length > MAX_TERMS) throw tooLarge();
    this.key = terms.map(printTerm).join(" + ").replaceAll("+ -", "- ");
    if (this.key.length > MAX_KEY) throw tooLarge();
  }

  toString(): string {
    return this.key;
  }
}

function atomKey(atom: DimAtom): string {
  if (atom.kind === "symbol") return atom.name;
  return `${atom.kind}(${printDim(atom.a)}, ${printDim(atom.b)})`;
}

function termKey(atoms: readonly DimAtom[]): string {
  return atoms.map(atomKey).join("*");
}

function printTerm(term: DimTerm): string {
  if (term.atoms.length === 0) return String(term.coefficient);
  const atoms = termKey(term.atoms);
  if (term.coefficient === 1) return atoms;
  if (term.coefficient === -1) return `-${atoms}`;
  return `${term.coefficient}*${atoms}`;
}

function termsOf(dim: Dim): readonly DimTerm[] {
  if (typeof dim !== "number") return dim.terms;
  return dim === 0 ? [] : [{ coefficient: dim, atoms: [] }];
}

function fromTerms(terms: readonly DimTerm[]): Dim {
  const byKey = new Map<string, DimTerm>();
  for (const term of terms) {
    const key = termKey(term.atoms);
    const sum = (byKey.get(key)?.coefficient ?? 0) + term.coefficient;
    byKey.set(key, { coefficient: sum, atoms: term.atoms });
  }
  const kept = [...byKey].filter(([, term]) => term.coefficient !== 0);
  // The constant term (key "") goes last, the others in alphabetical order.
  kept.sort(([a], [b]) => (a === "" ? 1 : b === "" ? -1 : a < b ? -1 : a > b ? 1 : 0));
  const sorted = kept.map(([, term]) => term);
  if (sorted.length === 0) return 0;
  const first = sorted[0];
  if (sorted.length === 1 && first !== undefined && first.atoms.length === 0) return first.coefficient;
  return new SymbolicDim(sorted);
}

function fromAtom(atom: DimAtom): SymbolicDim {
  return new SymbolicDim([{ coefficient: 1, atoms: [atom] }]);
}

/** A named unknown size. Names are identifiers: letters, digits, `_`, `.`, `$`. */
export function symbol(name: string): SymbolicDim {
  if (!/^[A-Za-z_$][\w.$]*$/.test(name)) throw new UserError(`dimension symbol "${name}" is not an identifier`);
  return fromAtom({ kind: "symbol", name });
}

export function dimAdd(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  return fromTerms([...termsOf(a), ...termsOf(b)]);
}

export function dimSub(a: Dim, b: Dim): Dim {
  return dimAdd(a, dimMul(b, -1));
}

export function dimMul(a: Dim, b: Dim): Dim {
  // Sizes have no negative zero: it would print and compare unlike zero.
  if (typeof a === "number" && typeof b === "number") return a * b + 0;
  const terms: DimTerm[] = [];
  if (termsOf(a).length * termsOf(b).length > MAX_TERMS * 16) throw tooLarge();
  for (const x of termsOf(a)) {
    for (const y of termsOf(b)) {
      const atoms = [...x.atoms, ...y.atoms].sort((p, q) => (atomKey(p) < atomKey(q) ? -1 : 1));
      terms.push({ coefficient: x.coefficient * y.coefficient, atoms });
    }
  }
  return fromTerms(terms);
}

/** ⌊a / b⌋ for b > 0. Exact divisions of polynomials by constants and by single terms simplify. */
export function dimFloorDiv(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return Math.floor(a / b) + 0;
  if (b === 1) return a;
  const exact = exactQuotient(a, b);
  return exact ?? fromAtom({ kind: "floordiv", a, b });
}

function exactQuotient(a: Dim, b: Dim): Dim | undefined {
  const divisors = termsOf(b);
  const divisor = divisors[0];
  if (dimEqual(a, b) === true) return 1;
  if (divisors.length !== 1 || divisor === undefined) return undefined;
  const terms: DimTerm[] = [];
  for (const term of termsOf(a)) {
    if (term.coefficient % divisor.coefficient !== 0) return undefined;
    const atoms = [...term.atoms];
    for (const atom of divisor.atoms) {
      const key = atomKey(atom);
      const at = atoms.findIndex((other) => atomKey(other) === key);
      if (at < 0) return undefined;
      atoms.splice(at, 1);
    }
    terms.push({ coefficient: term.coefficient / divisor.coefficient, atoms });
  }
  return fromTerms(terms);
}

/** ⌈a / b⌉ for b > 0. */
export function dimCeilDiv(a: Dim, b: Dim): Dim {
  return dimFloorDiv(dimAdd(a, dimSub(b, 1)), b);
}

/** a mod b for b > 0, in 0..b-1. */
export function dimMod(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a - b * Math.floor(a / b);
  if (exactQuotient(a, b) !== undefined) return 0;
  return fromAtom({ kind: "mod", a, b });
}

export function dimMax(a: Dim, b: Dim): Dim {
  return extremeOf("max", a, b);
}

export function dimMin(a: Dim, b: Dim): Dim {
  return extremeOf("min", a, b);
}

/** max or min of operands that may be such themselves: flat, each once, without those that another one absorbs. */
function extremeOf(kind: "max" | "min", a: Dim, b: Dim): Dim {
  const pick = kind === "max" ? Math.max : Math.min;
  let operands: Dim[] = [];
  for (const next of [...operandsOf(kind, a), ...operandsOf(kind, b)]) {
    // Two operands that differ by a number are decided.
    const near = operands.findIndex((other) => typeof dimSub(other, next) === "number");
    if (near < 0) operands.push(next);
    else operands[near] = pick(dimSub(operands[near] as Dim, next) as number, 0) === 0 ? next : (operands[near] as Dim);
  }
  // max(a, min(a, b)) = a, and the other way round.
  const opposite = kind === "max" ? "min" : "max";
  operands = operands.filter(
    (operand) =>
      !operandsOf(opposite, operand).some(
        (part) => part !== operand && operands.some((other) => dimEqual(other, part) === true),
      ),
  );
  operands.sort((x, y) => (printDim(x) < printDim(y) ? -1 : 1));
  return operands.reduce((result, operand) => fromAtom({ kind, a: result, b: operand }));
}

/** The operands of a nested max or min; anything else is its own operand. */
function operandsOf(kind: "max" | "min", dim: Dim): Dim[] {
  if (typeof dim === "number") return [dim];
  const [term] = dim.terms;
  const [atom] = term?.atoms ?? [];
  if (dim.terms.length !== 1 || term?.coefficient !== 1 || term.atoms.length !== 1 || atom?.kind !== kind) return [dim];
  return [...operandsOf(kind, atom.a), ...operandsOf(kind, atom.b)];
}

/** True or false where the values decide it, `undefined` where it depends on the symbols. */
export function dimEqual(a: Dim, b: Dim): boolean | undefined {
  if (typeof a === "number" && typeof b === "number") return a === b;
  const difference = typeof a !== "number" && typeof b !== "number" && a.key === b.key ? 0 : dimSub(a, b);
  return typeof difference === "number" ? difference === 0 : undefined;
}

/** Structural identity: equal for every value of the symbols. */
export function sameDim(a: Dim, b: Dim): boolean {
  return dimEqual(a, b) === true;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i] as Dim));
}

/** Number of elements. */
export function shapeSize(shape: Shape): Dim {
  return shape.reduce<Dim>((size, dim) => dimMul(size, dim), 1);
}

export function isStatic(shape: Shape): shape is readonly number[] {
  return shape.every((dim) => typeof dim === "number");
}

/** Names of all symbols in `dim`, added to `into`. */
export function collectSymbols(dim: Dim, into: Set<string>): void {
  for (const term of typeof dim === "number" ? [] : dim.terms) {
    for (const atom of term.atoms) {
      if (atom.kind === "symbol") into.add(atom.name);
      else {
        collectSymbols(atom.a, into);
        collectSymbols(atom.b, into);
      }
    }
  }
}

/** Replaces symbols; symbols that `replace` maps to `undefined` stay. */
export function substituteDim(dim: Dim, replace: (name: string) => Dim | undefined): Dim {
  if (typeof dim === "number") return dim;
  let sum: Dim = 0;
  for (const term of dim.terms) {
    let product: Dim = term.coefficient;
    for (const atom of term.atoms) product = dimMul(product, substituteAtom(atom, replace));
    sum = dimAdd(sum, product);
  }
  return sum;
}

function substituteAtom(atom: DimAtom, replace: (name: string) => Dim | undefined): Dim {
  if (atom.kind === "symbol") return replace(atom.name) ?? fromAtom(atom);
  const a = substituteDim(atom.a, replace);
  const b = substituteDim(atom.b, replace);
  switch (atom.kind) {
    case "floordiv":
      return dimFloorDiv(a, b);
    case "mod":
      return dimMod(a, b);
    case "max":
      return dimMax(a, b);
    case "min":
      return dimMin(a, b);
  }
}

/** The number that `dim` stands for. Throws a `UserError` for a symbol without a value. */
export function evaluateDim(dim: Dim, bindings: DimBindings): number {
  if (typeof dim === "number") return dim;
  const value = substituteDim(dim, (name) => {
    const bound = bindings[name];
    if (bound === undefined) throw new UserError(`dimension symbol "${name}" has no value`);
    return bound;
  });
  invariant(typeof value === "number", () => `dimension ${printDim(dim)} did not evaluate`);
  return value;
}

export function evaluateShape(shape: Shape, bindings: DimBindings): number[] {
  return shape.map((dim) => evaluateDim(dim, bindings));
}

/** Canonical text, read back by `parseDim`. */
export function printDim(dim: Dim): string {
  return typeof dim === "number" ? String(dim) : dim.key;
}

export function printShape(shape: Shape): string {
  return `[${shape.map(printDim).join(", ")}]`;
}

/** Reads what `printDim` writes: sums and products of integers, symbols and `floordiv|mod|max|min(a, b)`. */
export function parseDim(text: string): Dim {
  const tokens = text.match(/[A-Za-z_$][\w.$]*|\d+|[-+*(),]/g) ?? [];
  let at = 0;
  const fail = (): never => {
    throw new UserError(`cannot read dimension "${text}" near "${tokens[at] ?? "end"}"`);
  };
  const take = (expected?: string): string => {
    const token = tokens[at];
    if (token === undefined || (expected !== undefined && token !== expected)) return fail();
    at += 1;
    return token;
  };
  const factor = (): Dim => {
    const token = take();
    if (token === "-") return dimMul(factor(), -1);
    if (/^\d/.test(token)) return Number(token);
    if (!/^[A-Za-z_$]/.test(token)) return fail();
    if (tokens[at] !== "(") return symbol(token);
    take("(");
    const a = sum();
    take(",");
    const b = sum();
    take(")");
    switch (token) {
      case "floordiv":
        return dimFloorDiv(a, b);
      case "mod":
        return dimMod(a, b);
      case "max":
        return dimMax(a, b);
      case "min":
        return dimMin(a, b);
      default:
        return fail();
    }
  };
  const product = (): Dim => {
    let value = factor();
    while (tokens[at] === "*") {
      at += 1;
      value = dimMul(value, factor());
    }
    return value;
  };
  function sum(): Dim {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-") {
      const operator = take();
      const right = product();
      value = operator === "+" ? dimAdd(value, right) : dimSub(value, right);
    }
    return value;
  }
  const value = sum();
  if (at !== tokens.length) fail();
  return value;
}
