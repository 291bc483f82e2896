/** Weights to blocks, what `quern quantize` spends its time with, and back. */

import { defineBench, type Bench } from "@quern/bench/define";
import { blockTypeNamed, type BlockType } from "@quern/core";

const WEIGHTS = 256 * 64;

interface State {
  readonly type: BlockType;
  readonly out: Uint8Array;
}

/** Largest root-mean-square error of weights of variance 1; the types are a long way from it. */
const TOLERANCE: Readonly<Record<string, number>> = { Q8_0: 0.01, Q4_K: 0.12 };

function typeNamed(name: string): BlockType {
  const type = blockTypeNamed(name);
  if (type?.quantise === undefined) throw new Error(`${name} has no encoder`);
  return type;
}

function rootMeanSquareError(values: Float32Array, decoded: Float32Array): number {
  return Math.sqrt(decoded.reduce((sum, value, i) => sum + (value - (values[i] ?? 0)) ** 2, 0) / WEIGHTS);
}

function encode(name: string): Bench<State, Float32Array, Uint8Array> {
  return defineBench<State, Float32Array, Uint8Array>({
    id: `quantise/${name}`,
    params: { weights: WEIGHTS },
    setup() {
      const type = typeNamed(name);
      return { type, out: new Uint8Array((WEIGHTS / type.blockWeights) * type.blockBytes) };
    },
    inputs: (random) => Float32Array.from({ length: WEIGHTS }, () => random.normal()),
    run({ type, out }, values) {
      type.quantise?.(values, out);
      return out;
    },
    check(values, bytes, { type }) {
      const decoded = new Float32Array(WEIGHTS);
      type.dequantise(bytes, decoded);
      return rootMeanSquareError(values, decoded);
    },
    tolerance: TOLERANCE[name] ?? 0,
  });
}

interface Weights {
  readonly values: Float32Array;
  readonly bytes: Uint8Array;
}

/** Blocks of six bits have their fields in three places: the hardest to take apart. */
const decode = defineBench<BlockType, Weights, Float32Array>({
  id: "quantise/from-Q6_K",
  params: { weights: WEIGHTS },
  setup: () => typeNamed("Q6_K"),
  inputs(random, type) {
    const values = Float32Array.from({ length: WEIGHTS }, () => random.normal());
    const bytes = new Uint8Array((WEIGHTS / type.blockWeights) * type.blockBytes);
    type.quantise?.(values, bytes);
    return { values, bytes };
  },
  run(type, { bytes }) {
    const values = new Float32Array(WEIGHTS);
    type.dequantise(bytes, values);
    return values;
  },
  check: ({ values }, decoded) => rootMeanSquareError(values, decoded),
  tolerance: 0.03,
});

export default [encode("Q8_0"), encode("Q4_K"), decode];
