/**
 * Seeded random numbers for inputs, orders and resampling: xoshiro128** with a splitmix32 start-up.
 *
 * Everything random in a benchmark comes from one recorded seed. `Random.of(seed, ...labels)` gives independent
 * streams by name, so that adding a draw in one place does not change the numbers of another.
 */

export class Random {
  readonly #state: Uint32Array;
  #spareNormal: number | undefined;

  constructor(seed: number) {
    let mixed = seed >>> 0;
    this.#state = Uint32Array.from({ length: 4 }, () => {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let word = mixed;
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      return (word ^ (word >>> 15)) >>> 0;
    });
  }

  /** Stream of `seed` for one purpose; equal labels give equal streams. */
  static of(seed: number, ...labels: readonly (string | number)[]): Random {
    let hash = (0x811c9dc5 ^ seed) >>> 0;
    for (const letter of labels.join("\u0000")) {
      hash = Math.imul(hash ^ (letter.codePointAt(0) as number), 0x01000193) >>> 0;
    }
    return new Random(hash);
  }

  /** Uniform integer below 2^32. */
  next(): number {
    const s = this.#state;
    const s1 = s[1] as number;
    const rotated = Math.imul(s1, 5);
    const result = Math.imul((rotated << 7) | (rotated >>> 25), 9) >>> 0;
    s[2] = (s[2] as number) ^ (s[0] as number);
    s[3] = (s[3] as number) ^ s1;
    s[1] = s1 ^ (s[2] as number);
    s[0] = (s[0] as number) ^ (s[3] as number);
    s[2] = (s[2] as number) ^ (s1 << 9);
    const s3 = s[3] as number;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.next() / 2 ** 32;
  }

  /** Uniform integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal (Box and Muller's transform, both values used). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log((this.next() + 1) / 2 ** 32));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  fillNormal(into: { [index: number]: number; readonly length: number }, scale = 1): void {
    for (let i = 0; i < into.length; i++) into[i] = scale * this.normal();
  }

  /** A shuffled copy. */
  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
    }
    return shuffled;
  }
}
