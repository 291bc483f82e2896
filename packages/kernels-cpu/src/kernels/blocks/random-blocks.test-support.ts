/** Matrices of random blocks: quants are random bits, scales random numbers of a sensible size. */

import { type ConstantData, blockTypeNamed } from "@quern/core";
import { FLOAT_ENCODINGS } from "./float-panels.ts";
import { formatOf } from "./formats.ts";

export function randomBlocks(name: string, rows: number, depth: number, random: () => number): ConstantData {
  const encoding = blockTypeNamed(name);
  if (encoding === undefined) throw new Error(`no encoding ${name}`);
  const { blockBytes, blockWeights } = encoding;
  const bytes = new Uint8Array(((rows * depth) / blockWeights) * blockBytes).map(() => Math.floor(random() * 256));
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < bytes.length; block += blockBytes) writeFloats(view, block, name, random);
  return { dtype: "f32", shape: [rows, depth], bytes, encoding };
}

function writeFloats(view: DataView, block: number, name: string, random: () => number): void {
  const number = (): number => (random() - 0.5) * 0.1;
  switch (FLOAT_ENCODINGS.get(name)) {
    case "f32":
      return view.setFloat32(block, number(), true);
    case "f16":
      return view.setFloat16(block, number(), true);
    case "bf16": {
      const single = new DataView(new ArrayBuffer(4));
      single.setFloat32(0, number(), true);
      return view.setUint16(block, single.getUint16(2, true), true);
    }
  }
  for (const { at, kind, count } of formatOf(name)?.scales ?? []) {
    for (let i = 0; i < count; i++) {
      if (kind === "f16") view.setFloat16(block + at + 2 * i, number(), true);
      // Exponents of the 4-bit floats.
      if (kind === "byte") view.setUint8(block + at + i, 110 + Math.floor(random() * 20));
    }
  }
}
