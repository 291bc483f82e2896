/**
 * Weights in panels of 16 rows (`blocks/format.ts`, `blocks/float-panels.ts`) as right-hand tiles of bf16 terms.
 *
 * A word of quants holds 4 weights of a row, and a tile wants pairs of weights along the depth side by side, 8 rows to
 * half a vector: each word is put into two neighbouring lanes, which shift out the bytes of their own.
 */

import type { Buffer, GroupKernel, KValue } from "@quern/core";
import { PANEL_ROWS } from "../blocks/format.ts";
import { type PanelSource, panelReader } from "../blocks/panel-reader.ts";
import { TILE_DEPTH, TILE_ELEMENTS, type Terms, storeInterleaved, storeSplit } from "./split.ts";

const LANES = 16;
/** Each of the first, or last, 8 lanes twice. */
const LOW_TWICE: readonly number[] = Array.from({ length: LANES }, (_, lane) => lane >> 1);
const HIGH_TWICE: readonly number[] = LOW_TWICE.map((lane) => lane + LANES / 2);

/** Where the tiles of a slab go: [step][term][column of tiles]. */
export interface SlabTarget {
  readonly to: Buffer;
  readonly terms: Terms;
  /** Tiles of 16 columns in a panel. */
  readonly tiles: number;
}

function tileAt(kernel: GroupKernel, { terms, tiles }: SlabTarget, step: KValue, column: KValue): KValue {
  const { k } = kernel;
  return k.add(k.mul(step, terms * tiles * TILE_ELEMENTS), k.mul(column, TILE_ELEMENTS));
}

/**
 * Emits the decoding of blocks `start`... of panel `panel` of 16 rows, `count` of them, as tiles of column `column`.
 * Blocks are whole steps of 32.
 */
export function decodeBlocks(
  kernel: GroupKernel,
  source: PanelSource,
  panel: KValue,
  start: number,
  count: number,
  column: KValue,
  target: SlabTarget,
): void {
  const { k } = kernel;
  const { format } = source;
  const steps = format.blockWeights / TILE_DEPTH;
  const shifts = k.mul(k.and(k.iota(k.const("u32", 0), LANES), 1), 8);
  k.for({ end: count }, (block) => {
    const reader = panelReader(kernel, source, panel, k.add(block, start));
    const scales = format.scalesOf(k, reader);
    for (let group = 0; group < format.blockWeights / format.group; group++) {
      const { scale, min } = scales(group);
      const offset = k.neg(min ?? k.mul(scale, format.bias));
      const twice = (value: KValue): readonly [KValue, KValue] => [
        k.shuffle(value, value, LOW_TWICE),
        k.shuffle(value, value, HIGH_TWICE),
      ];
      const [factors, offsets] = [twice(scale), twice(offset)];
      for (let quad = 0; quad < format.group / 4; quad++) {
        const words = twice(format.quad(k, reader, group, quad));
        const first = group * format.group + 4 * quad;
        for (const pair of [0, 1]) {
          const values = words.map((word, half) => {
            const byte = k.and(k.shr(word, k.add(shifts, 16 * pair)), 0xff);
            return k.fma(k.cast(k.bitcast(byte, "i32"), "f32"), factors[half] as KValue, offsets[half] as KValue);
          }) as [KValue, KValue];
          const step = k.add(k.mul(block, steps), Math.floor(first / TILE_DEPTH));
          const row = ((first % TILE_DEPTH) >> 1) + pair;
          const at = k.add(tileAt(kernel, target, step, column), row * TILE_DEPTH);
          storeSplit(k, target.to, at, values, target.terms, target.tiles * TILE_ELEMENTS);
        }
      }
    }
  });
}

/** Emits the same for steps `start`... of a panel of plain floats with `depth` columns; steps beyond are zeros. */
export function decodeFloats(
  kernel: GroupKernel,
  weights: Buffer,
  depth: number,
  panel: KValue,
  start: number,
  count: number,
  column: KValue,
  target: SlabTarget,
): void {
  const { k } = kernel;
  const first = k.mul(panel, depth * PANEL_ROWS);
  const load = (at: KValue): KValue =>
    k.cast(k.load(weights, k.add(first, k.mul(at, PANEL_ROWS)), { lanes: LANES }), "f32");
  const zero = k.broadcast(k.const("f32", 0), LANES);
  const store = (step: KValue, pair: KValue, even: KValue, odd: KValue): void => {
    const at = k.add(tileAt(kernel, target, step, column), k.mul(pair, TILE_DEPTH));
    storeInterleaved(k, target.to, at, even, odd, target.terms, target.tiles * TILE_ELEMENTS);
  };
  const whole = Math.min(count, Math.floor(depth / TILE_DEPTH) - start);
  k.for({ end: whole }, (step) => {
    const from = k.mul(k.add(step, start), TILE_DEPTH);
    for (let pair = 0; pair < TILE_DEPTH / 2; pair++)
      store(step, k.index(pair), load(k.add(from, 2 * pair)), load(k.add(from, 2 * pair + 1)));
  });
  for (let step = whole; step < count; step++) {
    const from = (step + start) * TILE_DEPTH;
    for (let pair = 0; pair < TILE_DEPTH / 2; pair++) {
      const [even, odd] = [from + 2 * pair, from + 2 * pair + 1].map((at) => (at < depth ? load(k.index(at)) : zero));
      store(k.index(step), k.index(pair), even as KValue, odd as KValue);
    }
  }
}
