/**
 * Random numbers by position: the number for a token depends on the seed and on how many were drawn before, so a sequence
 * that is computed again, or in another batch, draws the same.
 */

/** A number in [0, 1) with 53 bits, for a seed (any safe integer) and a count from 0. */
export function uniform(seed: number, index: number): number {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const upper = mix(mix(mix(index ^ 0x9e3779b9) ^ low) ^ high);
  const lower = mix(mix(mix(index ^ 0x7f4a7c15) ^ high) ^ low ^ upper);
  return ((upper >>> 5) * 2 ** 26 + (lower >>> 6)) / 2 ** 53;
}

/** A seed for those who gave none. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}

/** Finaliser of MurmurHash3: every bit of the input changes each bit of the result with probability about one half. */
function mix(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
