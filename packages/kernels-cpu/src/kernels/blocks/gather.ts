/**
 * Rows of a matrix stored in blocks, as f32: the embedding of tokens. Reads the panels that products with the same matrix
 * read, so that tied weights are in memory once. One row per task, a word of four weights at a time.
 */

import {
  type Buffer,
  type DType,
  type Dim,
  GroupKernel,
  type KValue,
  type KernelSite,
  type Launch,
  type Value,
  siteConstant,
} from "@quern/core";
import { isIndexType, loadIndex } from "../indexing/positions.ts";
import type { CpuKernel } from "../kernel.ts";
import { sizeOf } from "../movement/runs.ts";
import { unsignedByte } from "./bits.ts";
import { FLOAT_ENCODINGS, floatPanelPacker } from "./float-panels.ts";
import { PANEL_ROWS, panelLayout } from "./format.ts";
import { formatOf } from "./formats.ts";
import { interleavePacker } from "./interleave.ts";
import { panelReader } from "./panel-reader.ts";

export const gatherBlocks: CpuKernel = {
  name: "gather_blocks",
  ops: ["gather"],
  epilogue: false,
  when(site) {
    const [x, indices] = site.anchor.inputs as [Value, Value];
    const encoding = siteConstant(site, x)?.encoding;
    if (encoding === undefined) return "the rows are not stored in blocks";
    if (formatOf(encoding.name) === undefined && !FLOAT_ENCODINGS.has(encoding.name))
      return `no format for ${encoding.name}`;
    return isIndexType(indices) ? true : `indices of ${indices.type.dtype}`;
  },
  cost: () => 200,
  lower(site) {
    const [x, indices] = site.anchor.inputs as [Value, Value];
    const encoding = siteConstant(site, x)?.encoding?.name as string;
    const format = formatOf(encoding);
    const [rows, depth] = x.type.shape as [Dim, number];
    if (format === undefined) return gatherFloats(site, encoding);
    const kernel = new GroupKernel(`gather_${encoding}_k${depth}`, site);
    const { k } = kernel;
    const layout = panelLayout(format, depth);
    const from = kernel.input(indices);
    const to = kernel.output();
    const levels = format.table && kernel.table("levels", bytesOf(format.table));
    const source = {
      format,
      layout,
      lanes: 1,
      panels: (dtype: DType): Buffer => kernel.packed("w", x, interleavePacker, { encoding }, dtype),
      lookup: (picks: KValue): KValue => lookUp(kernel, levels as Buffer, picks),
    };
    k.parallel(sizeOf(indices.type.shape), (i) => {
      const row = loadIndex(k, from, i, rows);
      k.for({ end: layout.blocks }, (step) => {
        const reader = panelReader(kernel, source, row, step);
        const scales = format.scalesOf(k, reader);
        const first = k.add(k.mul(i, depth), k.mul(step, format.blockWeights));
        for (let group = 0; group < format.blockWeights / format.group; group++) {
          const { scale, min } = scales(group);
          for (let quad = 0; quad < format.group / 4; quad++) {
            const word = format.quad(k, reader, group, quad);
            for (let byte = 0; byte < 4; byte++) {
              const q = k.cast(k.sub(unsignedByte(k, word, byte), format.bias), "f32");
              const weight = min === undefined ? k.mul(scale, q) : k.sub(k.mul(scale, q), min);
              k.store(to, k.add(first, group * format.group + 4 * quad + byte), weight);
            }
          }
        }
      });
    });
    return [kernel.launch({ decision: `rows of ${encoding} blocks` })];
  },
};

/** Rows of panels of plain floats. */
function gatherFloats(site: KernelSite, encoding: string): readonly Launch[] {
  const [x, indices] = site.anchor.inputs as [Value, Value];
  const [rows, depth] = x.type.shape as [Dim, number];
  const kernel = new GroupKernel(`gather_${encoding}_k${depth}`, site);
  const { k } = kernel;
  const from = kernel.input(indices);
  const weights = kernel.packed("w", x, floatPanelPacker, { encoding }, FLOAT_ENCODINGS.get(encoding));
  const to = kernel.output();
  k.parallel(sizeOf(indices.type.shape), (i) => {
    const row = loadIndex(k, from, i, rows);
    const panel = k.mul(k.div(row, PANEL_ROWS), depth * PANEL_ROWS);
    const first = k.add(panel, k.rem(row, PANEL_ROWS));
    k.for({ end: depth }, (at) =>
      k.store(to, k.add(k.mul(i, depth), at), k.cast(k.load(weights, k.add(first, k.mul(at, PANEL_ROWS))), "f32")),
    );
  });
  return [kernel.launch({ decision: `rows of ${encoding}` })];
}

function bytesOf(table: readonly number[]): { dtype: "u8"; shape: number[]; bytes: Uint8Array } {
  return { dtype: "u8", shape: [table.length], bytes: Uint8Array.from(table) };
}

/** The entries of `table` that the bytes of the word pick. */
function lookUp({ k }: GroupKernel, table: Buffer, picks: KValue): KValue {
  let word = k.const("u32", 0);
  for (let byte = 0; byte < 4; byte++) {
    const entry = k.load(table, k.cast(unsignedByte(k, picks, byte), "index"));
    word = k.or(word, k.shl(k.cast(entry, "u32"), 8 * byte));
  }
  return word;
}
