/**
 * Index arithmetic as polynomials: constant + sum of coefficient × product of atoms.
 *
 * An atom is a number that selection has no formula for: a loop variable, a parameter, the address of a buffer, the
 * result of a division. Polynomials are in normal form (terms sorted by key, no zero coefficient), so that two
 * addresses differ by a constant exactly when their terms have the same key.
 */

export interface Term {
  readonly coefficient: number;
  /** Sorted; an atom may occur twice. */
  readonly atoms: readonly number[];
  /** Names the product of atoms. */
  readonly key: string;
}

export interface Affine {
  readonly constant: number;
  readonly terms: readonly Term[];
}

export const ZERO: Affine = { constant: 0, terms: [] };

export function constantAffine(value: number): Affine {
  return { constant: value, terms: [] };
}

export function atomAffine(atom: number): Affine {
  return { constant: 0, terms: [{ coefficient: 1, atoms: [atom], key: String(atom) }] };
}

export function isConstant(a: Affine): boolean {
  return a.terms.length === 0;
}

/** Names the terms without the constant. */
export function termsKey(terms: readonly Term[]): string {
  let key = "";
  for (const term of terms) key += `${term.coefficient}*${term.key}+`;
  return key;
}

export function addAffine(a: Affine, b: Affine, scale = 1): Affine {
  const constant = a.constant + b.constant * scale;
  if (b.terms.length === 0) return { constant, terms: a.terms };
  const terms: Term[] = [];
  let i = 0;
  let j = 0;
  while (i < a.terms.length || j < b.terms.length) {
    const x = a.terms[i];
    const y = b.terms[j];
    if (y === undefined || (x !== undefined && x.key < y.key)) {
      terms.push(x as Term);
      i += 1;
    } else if (x === undefined || y.key < x.key) {
      if (scale !== 0) terms.push(scale === 1 ? y : { coefficient: y.coefficient * scale, atoms: y.atoms, key: y.key });
      j += 1;
    } else {
      const coefficient = x.coefficient + y.coefficient * scale;
      if (coefficient !== 0) terms.push({ coefficient, atoms: x.atoms, key: x.key });
      i += 1;
      j += 1;
    }
  }
  return { constant, terms };
}

export function scaleAffine(a: Affine, factor: number): Affine {
  return factor === 1 ? a : factor === 0 ? ZERO : addAffine(ZERO, a, factor);
}

const MAX_TERMS = 12;

/** The product, or undefined when it would have too many terms to be of use. */
export function multiplyAffine(a: Affine, b: Affine): Affine | undefined {
  if (isConstant(a)) return scaleAffine(b, a.constant);
  if (isConstant(b)) return scaleAffine(a, b.constant);
  if (a.terms.length * b.terms.length > MAX_TERMS) return undefined;
  let sum = addAffine(
    scaleAffine({ constant: 0, terms: a.terms }, b.constant),
    scaleAffine({ constant: 0, terms: b.terms }, a.constant),
  );
  for (const x of a.terms) {
    for (const y of b.terms) {
      const atoms = [...x.atoms, ...y.atoms].sort((p, q) => p - q);
      sum = addAffine(sum, {
        constant: 0,
        terms: [{ coefficient: x.coefficient * y.coefficient, atoms, key: atoms.join(".") }],
      });
    }
  }
  return { constant: sum.constant + a.constant * b.constant, terms: sum.terms };
}
