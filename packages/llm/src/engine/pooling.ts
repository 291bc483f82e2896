/** From the states of the tokens of a text to one vector. */

import { UserError } from "@quern/core";
import type { GgufFile } from "@quern/importers/gguf";

/** Which states count: all, their mean; that of the first token; that of the last. */
export type Pooling = "mean" | "cls" | "last";

export const POOLINGS: readonly Pooling[] = ["mean", "cls", "last"];

/** Values of `<architecture>.pooling_type`. 0 says none, 4 is a rank, neither of which is a vector of the text. */
const BY_NUMBER: Readonly<Record<number, Pooling>> = { 1: "mean", 2: "cls", 3: "last" };

/** What the metadata says; "mean" where it says nothing. */
export function poolingOf({ metadata, name }: GgufFile): Pooling {
  const key = `${metadata.string("general.architecture")}.pooling_type`;
  const value = metadata.integer(key, 1);
  const pooling = BY_NUMBER[value === 0 ? 1 : value];
  if (pooling === undefined)
    throw new UserError(`metadata key "${key}" is ${value}; the embedding of a text is known for 0 to 3`, {
      where: name,
      hint: "choose one with the option `pooling`",
    });
  return pooling;
}

/** Gathers rows as they come. */
export class Pool {
  readonly #pooling: Pooling;
  readonly #sum: Float64Array;
  #count = 0;

  constructor(pooling: Pooling, width: number) {
    this.#pooling = pooling;
    this.#sum = new Float64Array(width);
  }

  /** The first position whose state is needed, in a text of `length` tokens. */
  static first(pooling: Pooling, length: number): number {
    return pooling === "last" ? length - 1 : 0;
  }

  add(row: Float32Array): void {
    if (this.#pooling === "cls" && this.#count > 0) return;
    this.#count++;
    for (let i = 0; i < row.length; i++) this.#sum[i] = (this.#sum[i] as number) + (row[i] as number);
  }

  /** The vector, scaled to length 1 if wanted; one of zeros stays so. */
  result(normalise: boolean): Float32Array<ArrayBuffer> {
    const norm = Math.sqrt(this.#sum.reduce((sum, value) => sum + value * value, 0));
    const divisor = normalise ? norm || 1 : this.#count;
    return Float32Array.from(this.#sum, (value) => value / divisor);
  }
}
