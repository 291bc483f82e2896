/** GGUF files as bytes: the head parsed, weights decoded. */

import { defineBench } from "@quern/bench/define";
import { parseGguf, tensorData, type GgufFile } from "@quern/importers/gguf";
import { synthGguf } from "@quern/llm/synth";

const QUANT = "Q4_K_M";

function model(seed: number): Uint8Array {
  return synthGguf({ model: "tiny-llama", quant: QUANT, seed });
}

const parse = defineBench<undefined, Uint8Array, GgufFile>({
  id: "gguf/parse",
  params: { model: "tiny-llama", quant: QUANT },
  inputs: (random) => model(random.below(1e6)),
  run: (_, bytes) => parseGguf(bytes),
  outputs: (file) => file.tensors.size,
  check: (bytes, file) => {
    const stored = [...file.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0);
    return stored > 0 && stored < bytes.byteLength ? 0 : 1;
  },
});

interface Stored {
  readonly file: GgufFile;
  readonly name: string;
}

const decode = defineBench<undefined, Stored, Float32Array>({
  id: "gguf/decode",
  params: { quant: QUANT },
  inputs(random) {
    const file = parseGguf(model(random.below(1e6)));
    const matrices = [...file.tensors].filter(([, { shape }]) => shape.length > 1);
    return { file, name: matrices[0]?.[0] ?? "" };
  },
  run: (_, { file, name }) => tensorData(file, name),
});

export default [parse, decode];
