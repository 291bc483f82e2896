/**
 * What is demanded of the outputs of timed calls, whatever the bench: numbers, all of them written by the call, none of
 * them NaN, in memory of their own.
 *
 * Between calls some output buffers are filled with a NaN of a pattern that arithmetic does not produce. Where the
 * pattern is found in a kept output, the call has not written that element: it was lazy, or gave an earlier answer.
 */

import type { OutputNumbers } from "../define/bench.ts";
import { arraysWithin, isNumericArray, overlap, type NumericArray } from "./values.ts";

const POISON_16 = 0x7e5d;
const POISON_32 = 0x7fc5ee5d;
const POISON_64 = 0x7ff85eed5eed5eedn;

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

function wordsOf(array: NumericArray): { words: Words; poison: number | bigint } {
  const { buffer, byteOffset, length } = array;
  switch (array.BYTES_PER_ELEMENT) {
    case 8:
      return { words: new BigUint64Array(buffer, byteOffset, length), poison: POISON_64 };
    case 4:
      return { words: new Uint32Array(buffer, byteOffset, length), poison: POISON_32 };
    case 2:
      return { words: new Uint16Array(buffer, byteOffset, length), poison: POISON_16 };
    default:
      // Any byte may be an answer: bytes are overwritten, but not recognised.
      return { words: new Uint8Array(buffer, byteOffset, length), poison: 0x5d };
  }
}

/** Fills an array with the pattern. */
export function poison(array: NumericArray): void {
  const { words, poison: pattern } = wordsOf(array);
  (words as Uint32Array).fill(pattern as number);
}

function isList(value: unknown): value is readonly OutputNumbers[] {
  return Array.isArray(value);
}

/** The numbers of an output: as the bench says, or those of typed arrays, numbers, and arrays and records of such. */
export function numbersOf(output: unknown, outputs: ((output: never) => unknown) | undefined): OutputNumbers[] {
  if (outputs !== undefined) {
    const given = outputs(output as never) as OutputNumbers | readonly OutputNumbers[];
    if (!isList(given)) return [given];
    // An array of numbers is one list of numbers; an array of lists is several.
    return typeof given[0] === "number" ? [given as unknown as ArrayLike<number>] : [...given];
  }
  if (typeof output === "number") return [output];
  if (Array.isArray(output) && typeof output[0] === "number") return [output as number[]];
  const arrays: OutputNumbers[] = arraysWithin(output);
  if (typeof output === "object" && output !== null && !isNumericArray(output) && !Array.isArray(output)) {
    for (const value of Object.values(output)) if (typeof value === "number") arrays.push(value);
  }
  return arrays;
}

/** Typed arrays among the numbers of an output: those that can be poisoned. */
export function buffersOf(output: unknown, outputs: ((output: never) => unknown) | undefined): NumericArray[] {
  return numbersOf(output, outputs).filter((numbers) => isNumericArray(numbers));
}

function isFloat(array: NumericArray): array is Float16Array | Float32Array | Float64Array {
  return array instanceof Float32Array || array instanceof Float64Array || array instanceof Float16Array;
}

function faultOfArray(array: NumericArray): string | undefined {
  const { words, poison: pattern } = wordsOf(array);
  let unwritten = 0;
  if (words.BYTES_PER_ELEMENT > 1) for (const word of words) if (word === pattern) unwritten++;
  // A whole number of the pattern may be an answer; most of an array cannot be.
  if (unwritten > (isFloat(array) ? 0 : array.length / 2))
    return `${unwritten} of ${array.length} output numbers were not written by the call (its buffer was filled with NaN before)`;
  if (isFloat(array) && array.some((value: number) => Number.isNaN(value))) return "NaN in the output";
  return undefined;
}

/** What is wrong with the numbers of a kept output, or undefined. */
export function faultOfNumbers(all: readonly OutputNumbers[]): string | undefined {
  for (const numbers of all) {
    if (isNumericArray(numbers)) {
      const fault = faultOfArray(numbers);
      if (fault !== undefined) return fault;
    } else if (typeof numbers === "number") {
      if (Number.isNaN(numbers)) return "NaN in the output";
    } else if (Array.from(numbers as ArrayLike<number>).some((value) => Number.isNaN(value)))
      return "NaN in the output";
  }
  return undefined;
}

/** True if an output lies in the memory of its input. */
export function aliases(output: unknown, input: unknown): boolean {
  const inputs = arraysWithin(input);
  return inputs.length > 0 && arraysWithin(output).some((mine) => inputs.some((its) => overlap(mine, its)));
}

/** Fewer numbers than this may well be all zero. */
const MANY = 8;

/** True if there are many numbers and none but zeros. */
export function allZero(all: readonly OutputNumbers[]): boolean {
  let count = 0;
  for (const numbers of all) {
    if (typeof numbers === "number") {
      if (numbers !== 0) return false;
      count++;
      continue;
    }
    for (let i = 0; i < numbers.length; i++) if (Number(numbers[i]) !== 0) return false;
    count += numbers.length;
  }
  return count >= MANY;
}
