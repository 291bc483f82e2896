/**
 * Transposes a square of elements in registers: L rows of L lanes, by interleaves within 16-byte blocks and then a
 * transpose of the blocks. Every step is one two-source shuffle instruction of AVX2 or AVX-512.
 */

import type { KernelBuilder, KValue } from "@quern/core";

/** Rows of 4- or 8-byte elements to columns. */
export function transposeTile(k: KernelBuilder, rows: readonly KValue[], elementBytes: 4 | 8): KValue[] {
  const lanes = rows.length;
  const perBlock = 16 / elementBytes;
  const groups = lanes / perBlock;
  // columns[g][c]: in block j, rows perBlock · g … of column perBlock · j + c.
  const columns = Array.from({ length: groups }, (_, g) =>
    blockColumns(k, rows.slice(g * perBlock, (g + 1) * perBlock)),
  );
  const result: KValue[] = [];
  for (let c = 0; c < perBlock; c++) {
    const blocks = transposeBlocks(
      k,
      columns.map((group) => group[c] as KValue),
      perBlock,
    );
    blocks.forEach((block, j) => (result[j * perBlock + c] = block));
  }
  return result;
}

/** 2 rows of 8-byte or 4 rows of 4-byte elements: within every 16-byte block, rows to columns. */
function blockColumns(k: KernelBuilder, rows: readonly KValue[]): KValue[] {
  if (rows.length === 2) {
    const [a, b] = rows as [KValue, KValue];
    return [pickBlocks(k, a, b, 2, [0, 2]), pickBlocks(k, a, b, 2, [1, 3])];
  }
  const [a, b, c, d] = rows as [KValue, KValue, KValue, KValue];
  const [abLow, abHigh] = [pickBlocks(k, a, b, 4, [0, 4, 1, 5]), pickBlocks(k, a, b, 4, [2, 6, 3, 7])];
  const [cdLow, cdHigh] = [pickBlocks(k, c, d, 4, [0, 4, 1, 5]), pickBlocks(k, c, d, 4, [2, 6, 3, 7])];
  return [
    pickBlocks(k, abLow, cdLow, 4, [0, 1, 4, 5]),
    pickBlocks(k, abLow, cdLow, 4, [2, 3, 6, 7]),
    pickBlocks(k, abHigh, cdHigh, 4, [0, 1, 4, 5]),
    pickBlocks(k, abHigh, cdHigh, 4, [2, 3, 6, 7]),
  ];
}

/** The same shuffle in every block: positions 0..size-1 are of `a`, size..2·size-1 of `b`. */
function pickBlocks(k: KernelBuilder, a: KValue, b: KValue, size: number, pattern: readonly number[]): KValue {
  const { lanes } = a.type;
  const full = Array.from({ length: lanes }, (_, lane) => {
    const at = pattern[lane % size] as number;
    const block = lane - (lane % size);
    return at < size ? block + at : lanes + block + at - size;
  });
  return k.shuffle(a, b, full);
}

/** Transposes the matrix of 16-byte blocks: vector g, block j to vector j, block g. */
function transposeBlocks(k: KernelBuilder, vectors: readonly KValue[], perBlock: number): KValue[] {
  const pick = (a: KValue, b: KValue, blocks: readonly number[]): KValue => {
    const { lanes } = a.type;
    const count = lanes / perBlock;
    const pattern = blocks.flatMap((block) =>
      Array.from({ length: perBlock }, (_, i) =>
        block < count ? block * perBlock + i : lanes + (block - count) * perBlock + i,
      ),
    );
    return k.shuffle(a, b, pattern);
  };
  if (vectors.length === 1) return [...vectors];
  if (vectors.length === 2) {
    const [a, b] = vectors as [KValue, KValue];
    return [pick(a, b, [0, 2]), pick(a, b, [1, 3])];
  }
  const [a, b, c, d] = vectors as [KValue, KValue, KValue, KValue];
  const [ab01, ab23] = [pick(a, b, [0, 1, 4, 5]), pick(a, b, [2, 3, 6, 7])];
  const [cd01, cd23] = [pick(c, d, [0, 1, 4, 5]), pick(c, d, [2, 3, 6, 7])];
  return [
    pick(ab01, cd01, [0, 2, 4, 6]),
    pick(ab01, cd01, [1, 3, 5, 7]),
    pick(ab23, cd23, [0, 2, 4, 6]),
    pick(ab23, cd23, [1, 3, 5, 7]),
  ];
}

/** Elements of the rows in turn: lane i of the vectors together is element ⌊i / rows⌋ of row i mod rows. */
export function interleave(k: KernelBuilder, rows: readonly KValue[]): KValue[] {
  const count = rows.length;
  const lanes = (rows[0] as KValue).type.lanes;
  return rows.map((_, vector) => {
    const places = Array.from({ length: lanes }, (_lane, lane) => {
      const at = vector * lanes + lane;
      return { row: at % count, element: Math.floor(at / count) };
    });
    // Lanes of rows that have not been merged yet hold anything.
    return rows.slice(1).reduce(
      (merged, row, i) =>
        k.shuffle(
          merged,
          row,
          places.map((place, lane) => {
            if (place.row === i + 1) return lanes + place.element;
            return i === 0 && place.row === 0 ? place.element : lane;
          }),
        ),
      rows[0] as KValue,
    );
  });
}
