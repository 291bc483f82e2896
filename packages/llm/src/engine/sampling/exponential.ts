/**
 * e^x for x ≤ 0, fast enough for every token of a vocabulary: 2^n from a table times a polynomial for the rest. Relative error
 * below 1e-8, finer than the logits are; results below 1e-45 are 0.
 */

const LOG2_E = Math.LOG2E;
/** 2^-n at place n. */
const POWERS = Float64Array.from({ length: 151 }, (_, n) => 2 ** -n);

/** Coefficients of 2^f = e^(f ln 2) in powers of f, f in [-0.5, 0.5]: ln(2)^k / k!. */
const C1 = Math.LN2;
const C2 = Math.LN2 ** 2 / 2;
const C3 = Math.LN2 ** 3 / 6;
const C4 = Math.LN2 ** 4 / 24;
const C5 = Math.LN2 ** 5 / 120;
const C6 = Math.LN2 ** 6 / 720;
const C7 = Math.LN2 ** 7 / 5040;

/** Also for −Infinity, which gives 0. NaN gives 0. */
export function expOfNegative(x: number): number {
  const power = x * LOG2_E;
  if (!(power > -150)) return 0;
  // Rounds: what is negative is cut towards zero.
  const whole = (power - 0.5) | 0;
  const f = power - whole;
  const polynomial = 1 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * (C6 + f * C7))))));
  return polynomial * (POWERS[-whole] as number);
}
