/**
 * The blocked f32 matrix product in the kernel language: C[m, n] = A[m, k] · B[k, n].
 *
 * In: packed B panels, a way to load runs of A, a place for C. A task owns a block of rows and a range of panels; per
 * block along k it copies its rows of A to scratch (rows one odd number of cache lines apart, so that they never fall
 * into one cache set) and sweeps the panels, a register tile at a time: Goto and van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication" (2008), with the copy of A playing the part of its packed block.
 */

import {
  type Buffer,
  type Dim,
  type KernelBuilder,
  type KValue,
  type Local,
  type TileShape,
  addTileProducts,
  tileColumnMasks,
  newAccumulators,
} from "@quern/core";

/** Elements of A that a task keeps in the second-level cache. */
const A_BLOCK_ELEMENTS = 128 << 10;
/** Longest block along k: a panel of B for it stays in the second-level cache beside the block of A. */
export const MAX_K_BLOCK = 1024;
const LINE_ELEMENTS = 16;

export interface GemmBlocking {
  readonly tile: TileShape;
  readonly kBlock: number;
  /** Row tiles per task. */
  readonly rowTiles: number;
  /** Panels per task. */
  readonly panels: number;
}

/** Block sizes for m × n × k; symbolic sizes are passed as a typical size. */
export function chooseBlocking(tile: TileShape, m: number, n: number, k: number, threads: number): GemmBlocking {
  const kBlocks = Math.ceil(k / MAX_K_BLOCK);
  const kBlock = kBlocks === 1 ? k : Math.ceil(k / kBlocks / LINE_ELEMENTS) * LINE_ELEMENTS;
  const allRowTiles = Math.max(1, Math.ceil(m / tile.rows));
  const allPanels = Math.max(1, Math.ceil(n / tile.columns));
  const fitting = Math.max(1, Math.min(allRowTiles, Math.floor(A_BLOCK_ELEMENTS / (tile.rows * kBlock))));
  // Enough tasks for even shares: rows first, since every range of panels copies A again.
  const least = Math.ceil(allRowTiles / fitting);
  const even = least === 1 ? 1 : Math.ceil(least / threads) * threads;
  const rowTiles = Math.ceil(allRowTiles / Math.min(even, allRowTiles));
  const rowTasks = Math.ceil(allRowTiles / rowTiles);
  const wanted = threads === 1 ? 1 : Math.max(1, Math.ceil((threads * 2) / rowTasks));
  const panels = Math.max(1, Math.ceil(allPanels / Math.min(wanted, allPanels)));
  return { tile, kBlock, rowTiles, panels };
}

export interface GemmSource {
  readonly m: Dim;
  readonly n: Dim;
  readonly k: number;
  /** Copies `count` (≤ kBlock) elements of row `row` of A from `kStart` on to `to`[at...]; pads are the caller's. */
  copyRow(k: KernelBuilder, row: KValue, kStart: KValue, count: number, to: Buffer, at: KValue): void;
  /** Packed panels of B and the element offset of the first one. */
  readonly panels: Buffer;
  readonly panelsAt: KValue;
  /** Adds up partial results between blocks along k; needed where k > kBlock. */
  partial(row: KValue, column: KValue): { readonly buffer: Buffer; readonly index: KValue };
  /** Takes `lanes` finished results of row `row` from column `column` on. */
  store(row: KValue, column: KValue, value: KValue, mask: KValue | undefined): void;
}

/** Emits everything inside the task (`rowTask`, `panelTask`). */
export function emitGemmTask(
  k: KernelBuilder,
  source: GemmSource,
  blocking: GemmBlocking,
  rowTask: KValue,
  panelTask: KValue,
): void {
  const { tile, kBlock, rowTiles, panels } = blocking;
  const blockRows = tile.rows * rowTiles;
  const stride = oddLines(kBlock);
  const scratch = k.scratch("a", "f32", blockRows * stride);
  const firstRow = k.mul(rowTask, blockRows);
  const rows = k.min(k.sub(k.index(source.m), firstRow), blockRows);
  const rowTilesHere = k.div(k.add(rows, tile.rows - 1), tile.rows);
  const firstPanel = k.mul(panelTask, panels);
  const allPanels = k.div(k.add(k.index(source.n), tile.columns - 1), tile.columns);
  const endPanel = k.min(k.add(firstPanel, panels), allPanels);
  const blocks = Math.ceil(source.k / kBlock);
  for (let block = 0; block < blocks; block++) {
    const kStart = block * kBlock;
    const count = Math.min(kBlock, source.k - kStart);
    k.for({ end: rows }, (row) => {
      source.copyRow(k, k.add(firstRow, row), k.index(kStart), count, scratch, k.mul(row, stride));
    });
    clearRows(k, scratch, stride, rows, k.mul(rowTilesHere, tile.rows), count, tile.lanes);
    k.for({ start: firstPanel, end: endPanel }, (panel) => {
      const b = k.add(source.panelsAt, k.add(k.mul(panel, source.k * tile.columns), kStart * tile.columns));
      k.for({ end: rowTilesHere }, (rowTile) => {
        const tileRow = k.mul(rowTile, tile.rows);
        const acc = newAccumulators(k, tile);
        addProducts(k, acc, tile, count, scratch, k.mul(tileRow, stride), stride, source.panels, b);
        finishTile(
          k,
          source,
          tile,
          acc,
          k.add(firstRow, tileRow),
          k.mul(panel, tile.columns),
          block > 0,
          block < blocks - 1,
        );
      });
    });
  }
}

/** Rows of the last tile that do not exist count as zeros; their results are not stored. */
function clearRows(
  k: KernelBuilder,
  scratch: Buffer,
  stride: number,
  start: KValue,
  end: KValue,
  count: number,
  lanes: number,
): void {
  k.for({ start, end }, (row) => {
    k.for({ end: Math.ceil(count / lanes) * lanes, step: lanes }, (at) => {
      k.store(scratch, k.add(k.mul(row, stride), at), k.broadcast(k.const("f32", 0), lanes));
    });
  });
}

/** Distance of rows in elements: at least `count`, an odd number of cache lines. */
export function oddLines(count: number): number {
  const lines = Math.ceil(count / LINE_ELEMENTS);
  return (lines % 2 === 0 ? lines + 1 : lines) * LINE_ELEMENTS;
}

/** Adds `count` steps along k: row r of A is at aAt + r · aStride, step i of B at bAt + i · columns. */
export function addProducts(
  k: KernelBuilder,
  acc: readonly Local[][],
  tile: TileShape,
  count: number,
  a: Buffer,
  aAt: KValue,
  aStride: number,
  b: Buffer,
  bAt: KValue,
): void {
  addTileProducts(k, acc, tile, count, {
    a,
    aIndex: (row, at) => k.add(aAt, k.add(at, row * aStride)),
    b,
    bIndex: (vector, at) => k.add(bAt, k.add(k.mul(at, tile.columns), vector * tile.lanes)),
  });
}

function finishTile(
  k: KernelBuilder,
  source: GemmSource,
  tile: TileShape,
  acc: readonly Local[][],
  firstRow: KValue,
  firstColumn: KValue,
  addPartial: boolean,
  keepPartial: boolean,
): void {
  const masks = tileColumnMasks(k, source.n, tile, firstColumn);
  acc.forEach((row, r) => {
    const at = k.add(firstRow, r);
    const emit = (): void =>
      row.forEach((sum, v) => {
        const column = k.add(firstColumn, v * tile.lanes);
        const mask = masks[v];
        let value = k.read(sum);
        const { buffer, index } = source.partial(at, column);
        if (addPartial) value = k.add(value, k.load(buffer, index, { lanes: tile.lanes, mask }));
        if (keepPartial) k.store(buffer, index, value, { mask });
        else source.store(at, column, value, mask);
      });
    const always = typeof source.m === "number" && source.m % tile.rows === 0;
    if (always || r === 0) emit();
    else k.if(k.lt(at, k.index(source.m)), emit);
  });
}
