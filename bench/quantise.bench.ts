/** Weights to blocks: what `quern quantize` spends its time with. */

import { defineBench, type Bench } from "@quern/bench/define";
import { blockTypeNamed, type BlockType } from "@quern/core";

const WEIGHTS = 256 * 64;

interface State {
  readonly type: BlockType;
  readonly out: Uint8Array;
}

/** Largest root-mean-square error of weights of variance 1; the types are a long way from it. */
const TOLERANCE: Readonly<Record<string, number>> = { Q8_0: 0.01, Q4_K: 0.12 };

function encode(name: string): Bench<State, Float32Array, Uint8Array> {
  return defineBench<State, Float32Array, Uint8Array>({
    id: `quantise/${name}`,
    params: { weights: WEIGHTS },
    setup() {
      const type = blockTypeNamed(name);
      if (type?.quantise === undefined) throw new Error(`${name} has no encoder`);
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
      return Math.sqrt(decoded.reduce((sum, value, i) => sum + (value - (values[i] ?? 0)) ** 2, 0) / WEIGHTS);
    },
    tolerance: TOLERANCE[name] ?? 0,
  });
}

export default ["Q8_0", "Q4_K"].map(encode);
