/**
 * Follows the input recipes of a workload: the pool of input sets, equal in every process for one seed.
 */

import { Tensor, elementCount, isFloat, isInteger, type DType } from "@quern/core";
import { Random } from "../harness/random.ts";
import { drawsOf } from "./draws.ts";
import { readNpy } from "./npy.ts";
import type { InputRecipe, Workload } from "./workload.ts";

export type TensorSet = Readonly<Record<string, Tensor>>;

/** All input sets of a workload, equal in every process for one seed. */
export function makeInputs(workload: Workload, seed: number): TensorSet[] {
  return Array.from({ length: workload.sets }, (_, set) =>
    Object.fromEntries(
      workload.inputs.map((recipe) => [
        recipe.name,
        makeInput(recipe, set, Random.of(seed, workload.id, recipe.name, set)),
      ]),
    ),
  );
}

/** The tensor of one input in one set of the pool. */
export function makeInput(recipe: InputRecipe, set: number, random: Random): Tensor {
  const { fill, dtype, shape } = recipe;
  if (fill.kind === "files") {
    const tensor = readNpy(fill.files[set % fill.files.length] as string);
    return set < fill.files.length ? tensor : varied(tensor, fill.noise, random);
  }
  const draw = fill.kind === "normal" ? drawsOf(fill, set, random) : () => random.below(fill.below);
  if (dtype === "f32" || dtype === "f64") {
    const tensor = Tensor.zeros(dtype, shape);
    const data = tensor.data as Float32Array;
    for (let i = 0; i < data.length; i++) data[i] = draw();
    return tensor;
  }
  return Tensor.from(dtype, Array.from({ length: elementCount(shape) }, draw), shape);
}

/** Fewer integers than this may be a shape, an axis or a sampling rate, which must stay. */
const SHUFFLED_FROM = 16;

/** New but realistic values: floats get a little noise, integers (token ids, bytes) change places. */
function varied(tensor: Tensor, noise: number, random: Random): Tensor {
  const { dtype, shape } = tensor;
  if (isFloat(dtype)) {
    const values = tensor.toArray();
    let squares = 0;
    for (const value of values) squares += value * value;
    const scale = noise * Math.sqrt(squares / Math.max(1, values.length));
    return Tensor.from(
      dtype,
      values.map((value) => value + scale * random.normal()),
      shape,
    );
  }
  if (!isInteger(dtype) || tensor.size < SHUFFLED_FROM) return tensor;
  return Tensor.from(dtype, random.shuffle<number | bigint>([...tensor.data]), shape);
}

/** A recipe of random values for an input that nothing is known of but its type. */
export function randomRecipe(name: string, dtype: DType, shape: readonly number[]): InputRecipe {
  const fill = isFloat(dtype) ? ({ kind: "normal", scale: 1 } as const) : ({ kind: "integers", below: 2 } as const);
  return { name, dtype, shape, fill };
}
