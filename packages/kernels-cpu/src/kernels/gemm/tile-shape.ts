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

/** Largest numbers of vectors and rows that are worth trying. */
const MAX_VECTORS = 8;
const MAX_ROWS = 28;

/**
 * The tile with the least estimated time for an m × n result, with k steps between loads and stores of it. Symbolic sizes are passed as a typical size; a padded row
 * or column costs as much as a real one.
 */
export function chooseTile(target: CpuTarget, m: number, n: number, k: number): TileShape {
  const lanes = target.vectorBytes / 4;
  let best: TileShape | undefined;
  let lowest = Infinity;
  for (let vectors = 1; vectors <= MAX_VECTORS; vectors++) {
    // Accumulators, a vector of B per column of vectors, one broadcast.
    const mostRows = Math.min(MAX_ROWS, Math.max(m, 1), Math.floor((target.vectorRegisters - 1 - vectors) / vectors));
    for (let rows = 1; rows <= mostRows; rows++) {
      const columns = vectors * lanes;
      const cost =
        Math.ceil(m / rows) * Math.ceil(n / columns) * Math.max(cyclesPerStep(rows, vectors), feedCycles(columns, k));
      if (cost < lowest) [best, lowest] = [{ rows, vectors, lanes, columns }, cost];
    }
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

/** Bytes of a panel of B that stay in the first-level cache, and in the second, beside what else is in use. */
const NEAR_BYTES = 24 << 10;
const FAR_BYTES = 192 << 10;

/** Cycles to bring one step of B from where its panel lies: each tile of rows reads the whole panel again. */
function feedCycles(columns: number, k: number): number {
  const bytes = columns * 4;
  const panel = bytes * k;
  if (panel <= NEAR_BYTES) return 0;
  return bytes / (panel <= FAR_BYTES ? 32 : 8);
}
