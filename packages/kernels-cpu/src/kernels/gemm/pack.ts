/**
 * Packs the right-hand matrix into panels: [⌈n / columns⌉][k][columns], the last panel padded with zeros, so that the
 * microkernel reads it as one stream.
 */

import { type ConstantData, type DType, type Packer, InternalError } from "@quern/core";

/** A matrix of k × n elements with the given strides, as panels of `columns`. */
export type PanelArgs = {
  readonly k: number;
  readonly n: number;
  readonly strideK: number;
  readonly strideN: number;
  readonly columns: number;
};

export const panelPacker: Packer<PanelArgs> = { name: "panels", pack: packPanels };

function packPanels(data: ConstantData, { k, n, strideK, strideN, columns }: PanelArgs): ConstantData {
  if (data.dtype !== "f32") throw new InternalError(`packPanels: ${data.dtype}`);
  const source = floatsOf(data);
  const panels = Math.ceil(n / columns);
  const packed = new Float32Array(panels * k * columns);
  for (let panel = 0; panel < panels; panel++) {
    const first = panel * columns;
    const width = Math.min(columns, n - first);
    for (let row = 0; row < k; row++) {
      const to = (panel * k + row) * columns;
      const from = row * strideK + first * strideN;
      if (strideN === 1) packed.set(source.subarray(from, from + width), to);
      else for (let j = 0; j < width; j++) packed[to + j] = source[from + j * strideN] as number;
    }
  }
  return { dtype: "f32" as DType, shape: [panels, k, columns], bytes: new Uint8Array(packed.buffer) };
}

/** The elements of an f32 constant; copies only what is not aligned. */
export function floatsOf(data: ConstantData): Float32Array {
  const { bytes } = data;
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / 4);
}
