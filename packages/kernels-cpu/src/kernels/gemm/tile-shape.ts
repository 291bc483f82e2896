/**
 * Register tiles of the f32 matrix product: rows × vectors of accumulators.
 *
 * Per step along k a tile loads `vectors` vectors of B, broadcasts `rows` elements of A and does rows · vectors
 * multiply-adds; accumulators plus B plus one broadcast must fit the register file. Wide and flat tiles read B more
 * often, tall ones waste rows when M is not a multiple. See bench gemm.
 */

import type { TileShape } from "@quern/core";
import type { CpuTarget } from "../../host/cpu-target.ts";

export type { TileShape };

/** Rows × vectors that fill 32 registers, and 16. */
const TILES_32: readonly (readonly [number, number])[] = [[14, 2], [13, 2], [12, 2], [11, 2], [10, 2], [9, 3], [8, 3], [7, 4], [6, 4], [5, 5], [4, 6], [3, 6], [2, 6], [1, 8], [28, 1], [24, 1], [16, 1]];
const TILES_16: readonly (readonly [number, number])[] = [[6, 2], [5, 2], [4, 3], [4, 2], [3, 3], [2, 4], [1, 6], [12, 1], [8, 1]];

/**
 * The tile with the least estimated time for an m × n result. Symbolic sizes are passed as a typical size; a padded row
 * or column costs as much as a real one.
 */
export function chooseTile(target: CpuTarget, m: number, n: number): TileShape {
  const lanes = target.vectorBytes / 4;
  const tiles = target.vectorRegisters === 32 ? TILES_32 : TILES_16;
  let best: TileShape | undefined;
  let lowest = Infinity;
  for (const [rows, vectors] of tiles) {
    const columns = vectors * lanes;
    const blocks = Math.ceil(m / rows) * Math.ceil(n / columns);
    const cost = blocks * cyclesPerStep(rows, vectors);
    if (cost < lowest) [best, lowest] = [{ rows, vectors, lanes, columns }, cost];
  }
  return best as TileShape;
}

/** Multiply-adds at two per cycle against loads at two per cycle, with latency 4 to cover. */
function cyclesPerStep(rows: number, vectors: number): number {
  const multiplyAdds = (rows * vectors) / 2;
  const loads = (rows + vectors) / 2;
  const latency = 4;
  return Math.max(multiplyAdds, loads, latency) + 0.15 * loads;
}
