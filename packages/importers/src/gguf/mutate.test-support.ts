/** Changes to GGUF files that a fuzz test makes: to their bytes, and to fields before they are encoded. */

import { Random } from "../random.test-support.ts";
import { type FileSpec, type TensorSpec, encodeGguf, f32Bytes } from "./encode.test-support.ts";

const SIZES = [
  0n,
  1n,
  2n,
  31n,
  32n,
  33n,
  256n,
  2n ** 20n,
  2n ** 31n,
  2n ** 32n,
  2n ** 52n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Beyond this byte most files hold only weights, where a change says little. */
const HEAD_BYTES = 16384;

function mutateBytes(random: Random, source: Uint8Array, other: Uint8Array): Uint8Array {
  const at = random.below(Math.min(source.length, HEAD_BYTES));
  const count = 1 + random.below(16);
  const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
  switch (random.below(7)) {
    case 0:
      return source.slice(0, at);
    case 1:
      return join(source.subarray(0, at), source.subarray(at + count));
    case 2:
      return join(
        source.subarray(0, at),
        other.subarray(random.below(other.length)).subarray(0, count),
        source.subarray(at),
      );
    case 3: {
      const size = new Uint8Array(BigUint64Array.of(random.pick(SIZES)).buffer);
      return join(source.subarray(0, at), size, source.subarray(at + 8));
    }
    case 4:
      return join(source.subarray(0, at), source.subarray(at, at + count), source.subarray(at));
    default: {
      const copy = source.slice();
      const changes = 1 + random.below(4);
      for (let i = 0; i < changes; i++) copy[random.below(Math.min(copy.length, HEAD_BYTES))] = random.below(256);
      return copy;
    }
  }
}

/** A file of random fields, most of them right. */
function randomFile(random: Random): Uint8Array {
  const rarely = <Wrong, Right>(wrong: () => Wrong, right: Right): Wrong | Right =>
    random.below(8) === 0 ? wrong() : right;
  const tensors: TensorSpec[] = Array.from({ length: random.below(5) }, (_, i) => {
    const rows = random.below(3);
    return {
      name: rarely(() => "t0", `t${i}`),
      shape: rarely(() => Array.from({ length: random.below(6) }, () => random.pick(SIZES)), [rows, 256]),
      type: rarely(() => random.below(60), 0),
      bytes: f32Bytes(Array.from({ length: rows * 256 }, () => random.below(1000))),
      ...rarely(() => ({ offset: random.pick(SIZES) }), {}),
    };
  });
  const spec: FileSpec = {
    version: rarely(() => random.below(6), 3),
    littleEndian: rarely(() => false, true),
    metadata: [
      ["general.alignment", "u32", rarely(() => random.below(70), 32)],
      ["split.count", "u16", rarely(() => random.below(65536), 1)],
      [
        "list",
        "array",
        [
          "array",
          [
            ["u8", [1]],
            ["string", rarely(() => [Uint8Array.of(0xff)], [new Uint8Array(0)])],
          ],
        ],
      ],
    ],
    tensors,
    ...rarely(() => ({ tensorCount: random.pick(SIZES) }), {}),
    ...rarely(() => ({ pairCount: random.pick(SIZES) }), {}),
  };
  return encodeGguf(spec);
}

/** File number `index` of `seed`. */
export function mutatedFile(files: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  const random = new Random(Math.imul(seed, 0x9e3779b1) + index);
  if (random.below(2) === 0) return randomFile(random);
  let bytes = random.pick(files);
  const changes = 1 + random.below(3);
  for (let i = 0; i < changes && bytes.length > 0; i++) bytes = mutateBytes(random, bytes, random.pick(files));
  return bytes;
}
