/**
 * Ratios that are no claims: shown in brackets with a letter, and the reason once below. One reason has one letter in the
 * whole report.
 */

import { claimOf, claimText, type Claim } from "../claims/claim.ts";
import type { Comparison, Results } from "../results/schema.ts";
import { shorten } from "./escape.ts";
import { formatRatio } from "./format.ts";

/** Of one reason; it names texts of the file, which may be of any length. */
const MOST_CHARACTERS = 2000;

/** Judges comparisons and keeps the reasons against them, in the order in which they are met. */
export class Footnotes {
  readonly #results: Results;
  readonly #claims: Map<Comparison, Claim> = new Map();
  /** With their numbers. */
  readonly #reasons: Map<string, number> = new Map();

  constructor(results: Results) {
    this.#results = results;
  }

  claim(comparison: Comparison): Claim {
    const known = this.#claims.get(comparison);
    if (known !== undefined) return known;
    const claim = claimOf(this.#results, comparison);
    this.#claims.set(comparison, claim);
    return claim;
  }

  /** The letter of the reason against a comparison; empty where it is a claim. */
  mark(comparison: Comparison): string {
    const text = claimText(this.claim(comparison));
    if (text === undefined) return "";
    const reason = shorten(text, MOST_CHARACTERS);
    const number = this.#reasons.get(reason) ?? this.#reasons.size;
    this.#reasons.set(reason, number);
    return letters(number);
  }

  /** "2.00×", or "(2.00×) a" where it is no claim. */
  ratio(comparison: Comparison | undefined): string {
    if (comparison === undefined) return "";
    const mark = this.mark(comparison);
    return mark === "" ? formatRatio(comparison.ratio) : `(${formatRatio(comparison.ratio)}) ${mark}`;
  }

  /** The reasons met so far, each behind its letter. */
  lines(): string[] {
    return [...this.#reasons].map(([reason, number]) => `${letters(number)}: ${reason}`);
  }
}

/** a … z, aa, ab … */
function letters(index: number): string {
  const last = String.fromCodePoint(97 + (index % 26));
  return index < 26 ? last : letters(Math.floor(index / 26) - 1) + last;
}
