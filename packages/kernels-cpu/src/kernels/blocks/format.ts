/**
 * How the matrix products read block-quantised weights: in panels of 16 rows, with the words of 16 blocks side by side.
 *
 * A block on disk is scales and words of quants of one row. A panel has the same fields of 16 rows next to each other,
 * so that one vector holds a field of all its rows and nothing is summed across lanes; fields keep their bits and their
 * order, so the panel is as large as the rows it was made of. Each panel has its scales first, then, on a cache line of
 * their own, its quants. A weight is scale · (q - bias), or scale · q - min, with q an unsigned byte.
 */

import type { DType, KValue, KernelBuilder } from "@quern/core";

/** Rows of a panel: the lanes of the widest vector of 32-bit words. */
export const PANEL_ROWS = 16;
const LINE_BYTES = 64;

/** `count` consecutive fields of a block from byte `at` on. */
export interface Field {
  readonly at: number;
  readonly kind: FieldKind;
  readonly count: number;
  /** Bits that are flipped on the way into the panel. */
  readonly flip?: number;
}

export const FIELD_BYTES = { word: 4, half: 2, f16: 2, byte: 1 } as const;
export type FieldKind = keyof typeof FIELD_BYTES;
/** The element type through which kernels see each kind of field. */
export const FIELD_DTYPE: Readonly<Record<FieldKind, DType>> = { word: "u32", half: "u16", f16: "f16", byte: "u8" };

/** Reads fields of the rows that a vector covers. Positions count fields of all kinds, in order of their section. */
export interface BlockReader {
  /** Field `at` of the scales: words as u32, halves and bytes widened to i32, f16 as f32. */
  scale(at: number): KValue;
  /** Word `at` of the quants, as u32. */
  quant(at: number): KValue;
  /** Each byte of `picks` (0..15) replaced by that entry of the format's table. */
  lookup(picks: KValue): KValue;
}

/** Factor and subtrahend of one group of weights, f32. */
export interface GroupScale {
  readonly scale: KValue;
  /** Absent for formats with a bias. */
  readonly min?: KValue;
}

export interface BlockFormat {
  /** Name of the encoding. */
  readonly name: string;
  readonly blockWeights: number;
  readonly scales: readonly Field[];
  readonly quants: readonly Field[];
  /** Weights that share a scale: 16 or 32. */
  readonly group: 16 | 32;
  /**
   * Weights whose products are summed as integers, with a factor of x of their own: 16 or 32, no more than a group. For
   * short groups the smaller rounding of x is free, for blocks with one scale it is cheap.
   */
  readonly chunk: 16 | 32;
  /** What is subtracted from each unsigned quant; 0 for formats with a minimum. */
  readonly bias: number;
  /** True where no unsigned quant is above 127. */
  readonly small: boolean;
  /** 16 unsigned bytes, for formats whose quants are positions in a table. */
  readonly table?: readonly number[];
  /** The scales of one block; the function gives those of a group, and may be called in any order. */
  scalesOf(k: KernelBuilder, block: BlockReader): (group: number) => GroupScale;
  /** Weights 4·quad..4·quad+3 of a group as the bytes of a word. */
  quad(k: KernelBuilder, block: BlockReader, group: number, quad: number): KValue;
}

/** Bytes of each part of a panel. */
export interface PanelLayout {
  readonly blocks: number;
  /** Of one block, all rows. */
  readonly scaleBytes: number;
  readonly quantBytes: number;
  /** Where the quants begin. */
  readonly quantsAt: number;
  readonly panelBytes: number;
}

function fieldsBytes(fields: readonly Field[]): number {
  return fields.reduce((sum, { kind, count }) => sum + FIELD_BYTES[kind] * count * PANEL_ROWS, 0);
}

/** The layout of panels of rows with `depth` weights. */
export function panelLayout(format: BlockFormat, depth: number): PanelLayout {
  const blocks = depth / format.blockWeights;
  const scaleBytes = fieldsBytes(format.scales);
  const quantBytes = fieldsBytes(format.quants);
  const quantsAt = Math.ceil((blocks * scaleBytes) / LINE_BYTES) * LINE_BYTES;
  return { blocks, scaleBytes, quantBytes, quantsAt, panelBytes: quantsAt + blocks * quantBytes };
}

/** Rows and depth of a matrix, or of several on top of each other. */
export function rowsAndDepth(shape: readonly number[]): readonly [rows: number, depth: number] {
  return [shape.slice(0, -1).reduce((rows, size) => rows * size, 1), shape.at(-1) ?? 1];
}

/** A field of a section: its kind and its offset in bytes from the section of its block, for the first row. */
export function fieldAt(fields: readonly Field[], position: number): { kind: FieldKind; offset: number } {
  let offset = 0;
  let rest = position;
  for (const { kind, count } of fields) {
    if (rest < count) return { kind, offset: offset + rest * FIELD_BYTES[kind] * PANEL_ROWS };
    offset += count * FIELD_BYTES[kind] * PANEL_ROWS;
    rest -= count;
  }
  throw new RangeError(`field ${position} is not there`);
}
