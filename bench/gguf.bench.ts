/** GGUF files as bytes: the head parsed, weights decoded. */

import { defineBench, type Random } from "@quern/bench/define";
import { parseGguf, tensorData, type GgufFile } from "@quern/importers/gguf";
import { synthGguf } from "@quern/llm/synth";

const QUANT = "Q4_K_M";
/** A matrix of Q4_K: in each of its blocks 16 bytes of factors stand before the weights. */
const MATRIX = "token_embd.weight";
const FACTOR_BYTES = 16;

let template: Uint8Array | undefined;

/** A small model: one file for all sets, since making it takes long, with weights of its own in one matrix. */
function model(random: Random): Uint8Array {
  template ??= synthGguf({ model: "tiny-llama", quant: QUANT });
  const bytes = template.slice();
  const tensor = parseGguf(bytes).tensors.get(MATRIX);
  if (tensor?.type.name !== "Q4_K") throw new Error(`the model has no ${MATRIX} of Q4_K`);
  const { blockBytes } = tensor.type;
  const blocks = new DataView(bytes.buffer, tensor.bytes.byteOffset, tensor.bytes.byteLength);
  for (let block = 0; block < blocks.byteLength; block += blockBytes) {
    for (let at = block + FACTOR_BYTES; at < block + blockBytes; at += 4) blocks.setUint32(at, random.next());
  }
  return bytes;
}

const parse = defineBench<undefined, Uint8Array, GgufFile>({
  id: "gguf/parse",
  params: { model: "tiny-llama", quant: QUANT },
  inputs: model,
  run: (_, bytes) => parseGguf(bytes),
  outputs: (file) => file.tensors.size,
  check: (bytes, file) => {
    const stored = [...file.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0);
    return stored > 0 && stored < bytes.byteLength ? 0 : 1;
  },
});

const decode = defineBench<undefined, { readonly file: GgufFile }, Float32Array>({
  id: "gguf/decode",
  params: { quant: QUANT },
  inputs: (random) => ({ file: parseGguf(model(random)) }),
  run: (_, { file }) => tensorData(file, MATRIX),
  check({ file }, weights) {
    const tensor = file.tensors.get(MATRIX);
    const expected = new Float32Array(weights.length);
    tensor?.type.dequantise(tensor.bytes, expected);
    return expected.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (weights[i] ?? 0))), 0);
  },
});

export default [parse, decode];
