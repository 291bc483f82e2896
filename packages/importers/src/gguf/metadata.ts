/** The key/value pairs of a GGUF file, with accessors that check types. */

import { UserError } from "@quern/core";
import type { StringList } from "./strings.ts";
import type { GgufArray, GgufValue } from "./value.ts";

/** A list of numbers: a typed array of the file's element type, or an array. */
export type GgufNumbers = ArrayLike<number> & Iterable<number>;

/**
 * Metadata by key. Every accessor throws a `UserError` with the key, the type that was expected and the one in the file
 * when the value is of another type, and when the key is absent and no `otherwise` was given.
 */
export class GgufMetadata {
  readonly values: ReadonlyMap<string, GgufValue>;
  readonly #file: string;

  constructor(values: ReadonlyMap<string, GgufValue>, file: string) {
    this.values = values;
    this.#file = file;
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  string(key: string, otherwise?: string): string {
    return this.#get(key, "a string", otherwise, (found) => (found.type === "string" ? found.value : undefined));
  }

  boolean(key: string, otherwise?: boolean): boolean {
    return this.#get(key, "a bool", otherwise, (found) => (found.type === "bool" ? found.value : undefined));
  }

  /** An integer or float of any width. One beyond ±2^53, which `bigint` gives, is refused. */
  number(key: string, otherwise?: number): number {
    return this.#get(key, "a number", otherwise, (found) =>
      typeof found.value === "number" ? found.value : undefined,
    );
  }

  /** An integer of any width within ±2^53. */
  integer(key: string, otherwise?: number): number {
    return this.#get(key, "an integer", otherwise, (found) =>
      isInteger(found) && typeof found.value === "number" ? found.value : undefined,
    );
  }

  /** An integer of any width and size. */
  bigint(key: string, otherwise?: bigint): bigint {
    return this.#get(key, "an integer", otherwise, (found) => (isInteger(found) ? BigInt(found.value) : undefined));
  }

  strings(key: string, otherwise?: StringList): StringList {
    return this.#get(key, "a list of strings", otherwise, (found) =>
      found.type === "array" && found.element === "string" ? found.value : undefined,
    );
  }

  booleans(key: string, otherwise?: readonly boolean[]): readonly boolean[] {
    return this.#get(key, "a list of bools", otherwise, (found) =>
      found.type === "array" && found.element === "bool" ? found.value : undefined,
    );
  }

  /** A list of integers or floats; one with a number beyond ±2^53 is refused. */
  numbers(key: string, otherwise?: GgufNumbers): GgufNumbers {
    return this.#get(key, "a list of numbers", otherwise, (found) =>
      found.type === "array" ? numbersOf(found) : undefined,
    );
  }

  /** A list of any element type, nested ones included. */
  array(key: string): GgufArray {
    return this.#get(key, "an array", undefined, (found) => (found.type === "array" ? found : undefined));
  }

  #get<T>(key: string, wanted: string, otherwise: T | undefined, pick: (found: GgufValue) => T | undefined): T {
    const found = this.values.get(key);
    if (found === undefined) {
      if (otherwise !== undefined) return otherwise;
      throw new UserError(`metadata key "${key}" is missing; ${wanted} is expected`, {
        where: this.#file,
        hint: "the file is not of the kind that was expected, or was converted by an old tool",
      });
    }
    const value = pick(found);
    if (value !== undefined) return value;
    throw new UserError(`metadata key "${key}" is ${describe(found)}; ${wanted} is expected`, {
      where: this.#file,
      hint: "convert the model again, or correct the key",
    });
  }
}

type GgufInteger = Extract<GgufValue, { readonly value: number | bigint }>;

function isInteger(found: GgufValue): found is GgufInteger {
  return /^[ui]\d/.test(found.type);
}

function numbersOf(found: GgufArray): GgufNumbers | undefined {
  switch (found.element) {
    case "bool":
    case "string":
    case "array":
      return undefined;
    case "u64":
    case "i64":
      return found.value.every((item) => typeof item === "number") ? found.value : undefined;
    default:
      return found.value;
  }
}

function describe(found: GgufValue): string {
  if (found.type === "array") return `an array of ${found.element}`;
  return typeof found.value === "bigint" ? `the ${found.type} ${found.value}, beyond 2^53` : `of type ${found.type}`;
}
