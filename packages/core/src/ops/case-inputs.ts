/**
 * Input tensors for the cases of op records, the same on every device for the same seed.
 */

import { DTYPE_INFO, type DType, isFloat } from "../dtype.ts";
import { type Tensor, elementCount } from "../runtime/tensor.ts";
import type { CaseInput, OpCase } from "./op.ts";
import { convertNumber, refOf, roundFloat } from "./ref-tensor.ts";
import { tensorFromRef } from "./ref-convert.ts";

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal with mean 0 and deviation 1 (Box–Muller). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Default range of integer inputs, small enough that sums and products stay in range. */
function integerRange(dtype: DType): { low: number; high: number } {
  if (dtype === "bool") return { low: 0, high: 2 };
  if (dtype === "u8") return { low: 0, high: 256 };
  if (dtype === "i8") return { low: -128, high: 128 };
  return DTYPE_INFO[dtype].kind === "uint" ? { low: 0, high: 100 } : { low: -50, high: 50 };
}

function element({ dtype, fill }: CaseInput, index: number, random: () => number): number {
  if (fill !== undefined && "values" in fill) return fill.values[index] as number;
  if (isFloat(dtype)) {
    const value = fill === undefined ? normal(random) : fill.low + (fill.high - fill.low) * random();
    return roundFloat(dtype, value);
  }
  const { low, high } = fill ?? integerRange(dtype);
  return low + Math.floor((high - low) * random());
}

/** One input tensor. */
export function caseInput(input: CaseInput, random: () => number): Tensor {
  const size = elementCount(input.shape);
  const data = Float64Array.from({ length: size }, (_, i) => convertNumber(input.dtype, element(input, i, random)));
  return tensorFromRef(refOf(input.dtype, input.shape, data));
}

/** The inputs of a case; absent optional ones stay `undefined`. */
export function caseInputs(opCase: OpCase, seed: number): (Tensor | undefined)[] {
  const random = randomNumbers(seed);
  return opCase.inputs.map((input) => (input === undefined ? undefined : caseInput(input, random)));
}
