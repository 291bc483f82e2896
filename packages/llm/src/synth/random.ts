/**
 * Seeded random bits, many at once: streams of tensors are independent of one another and of the order in which they are
 * made. Reference: Doty-Humphrey, PractRand, `sfc32`.
 */

const WARM_UP = 12;

export class RandomBits {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** The stream of `seed` for one purpose: equal labels give equal streams. */
  constructor(seed: number, label: string) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    this.#a = seed | 0;
    this.#b = hash | 0;
    this.#c = Math.imul(seed ^ hash, 0x9e3779b1) | 0;
    for (let i = 0; i < WARM_UP; i++) this.next();
  }

  /** Uniform integer below 2^32. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Fills `words` with bits. */
  fill(words: Uint32Array): void {
    // The same step on local variables, which stay in registers.
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let counter = this.#counter;
    for (let i = 0; i < words.length; i++) {
      const sum = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + sum) | 0;
      words[i] = sum;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }

  /** Uniform integer in [0, bound). */
  below(bound: number): number {
    return Math.floor((this.next() / 2 ** 32) * bound);
  }

  /** Standard normal (Box and Muller's transform). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log((this.next() + 1) / 2 ** 32));
    return radius * Math.cos((2 * Math.PI * this.next()) / 2 ** 32);
  }
}
