/**
 * Typed reading of the `<architecture>.*` keys of a GGUF file.
 *
 * In: untrusted metadata. Out: numbers within bounds that keep everything built from them small enough to build. Every
 * problem is a `UserError` with the key and the file.
 */

import { UserError } from "@quern/core";
import type { GgufFile } from "@quern/importers/gguf";

type Limited = "layers" | "width" | "heads" | "headDim" | "feedForward" | "context" | "vocabulary" | "experts";

/** Sizes beyond these are those of no model: they say that the file is damaged. */
export const LIMITS: Readonly<Record<Limited, number>> = {
  layers: 1024,
  width: 2 ** 20,
  heads: 2 ** 14,
  headDim: 2 ** 14,
  feedForward: 2 ** 22,
  context: 2 ** 31 - 1,
  vocabulary: 2 ** 26,
  experts: 2 ** 12,
};

const HINT = "the file is damaged, or was converted by a tool that writes other keys";

export class ArchitectureKeys {
  readonly file: GgufFile;
  /** `general.architecture`, the prefix of the keys. */
  readonly architecture: string;

  constructor(file: GgufFile, architecture: string) {
    this.file = file;
    this.architecture = architecture;
  }

  has(key: string): boolean {
    return this.file.metadata.has(this.#full(key));
  }

  /** Throws a `UserError` about the value of `key`. */
  refuse(key: string, problem: string, hint: string = HINT): never {
    throw new UserError(`metadata key "${this.#full(key)}" ${problem}`, { where: this.file.name, hint });
  }

  /**
   * An integer of 1 to `limit`. A list with one value per layer is taken where all its values are the same.
   */
  size(key: string, limit: number, otherwise?: number): number {
    const value = this.#uniform(key) ?? this.file.metadata.integer(this.#full(key), otherwise);
    if (!(Number.isInteger(value) && value >= 1 && value <= limit))
      this.refuse(key, `is ${value}, an integer of 1 to ${limit} is expected`);
    return value;
  }

  /** An integer of 0 to `limit`. */
  count(key: string, limit: number, otherwise?: number): number {
    const value = this.file.metadata.integer(this.#full(key), otherwise);
    if (value < 0 || value > limit) this.refuse(key, `is ${value}, an integer of 0 to ${limit} is expected`);
    return value;
  }

  /** A finite number above 0. */
  positive(key: string, otherwise?: number): number {
    const value = this.file.metadata.number(this.#full(key), otherwise);
    if (!(value > 0 && value < Infinity)) this.refuse(key, `is ${value}, a finite number above 0 is expected`);
    return value;
  }

  /** A finite number of at least 0. */
  atLeastZero(key: string, otherwise?: number): number {
    const value = this.file.metadata.number(this.#full(key), otherwise);
    if (!(value >= 0 && value < Infinity)) this.refuse(key, `is ${value}, a finite number of at least 0 is expected`);
    return value;
  }

  string(key: string, otherwise?: string): string {
    return this.file.metadata.string(this.#full(key), otherwise);
  }

  boolean(key: string, otherwise?: boolean): boolean {
    return this.file.metadata.boolean(this.#full(key), otherwise);
  }

  /** A list of bools, or undefined where the key is absent or has a single value. */
  booleans(key: string): readonly boolean[] | undefined {
    return this.file.metadata.values.get(this.#full(key))?.type === "array"
      ? this.file.metadata.booleans(this.#full(key))
      : undefined;
  }

  /** The one value of a list that has it for every layer. */
  #uniform(key: string): number | undefined {
    if (this.file.metadata.values.get(this.#full(key))?.type !== "array") return undefined;
    const list = this.file.metadata.numbers(this.#full(key));
    const [first] = list;
    if (first === undefined) this.refuse(key, "is an empty list");
    for (const each of list) {
      if (each !== first)
        this.refuse(key, `has ${first} for some layers and ${each} for others; models with equal layers are supported`);
    }
    return first;
  }

  #full(key: string): string {
    return `${this.architecture}.${key}`;
  }
}
