/**
 * The blocked matrix product on the matrix unit, in the kernel language: C[m, n] = A[m, k] · B[k, n] with f32 operands
 * split into bf16 terms.
 *
 * A task owns a block of rows and a range of panels of B. It converts its rows of A to tiles in scratch, half of the
 * second-level cache at most (`slab`), then sweeps the panels, every block of rows against each. Two terms make three
 * products of two loads, so both operands may come from the second-level cache, and a block is summed in one visit. One
 * term makes one: along a long k, 512 bytes of each row of a panel stay in the first-level cache while the blocks of
 * rows stream past it, and sums wait in scratch between the visits. Rows and steps beyond the matrix are zeros.
 *
 * What a block needs next comes from memory while it is summed: the lines of the result that it will store to, and a
 * part of the next panel.
 *
 * Panels that are stored in another form are decoded to scratch, a slab of one panel at a time, for all rows of the task:
 * then a task has more rows, since decoding is paid per panel and task.
 *
 * Layouts, in tiles of 16 × 32 bf16 (1 KB): A [16 rows][step][term], B [panel][step][term][16 columns], the latter with
 * pairs of k together.
 */

import {
  type Buffer,
  type ConstantData,
  type DType,
  type Dim,
  type KernelBuilder,
  type KValue,
  type Packer,
  tileColumnMasks,
  invariant,
} from "@quern/core";
import { floatsOf } from "../gemm/pack.ts";
import { type Row32, type Terms, TILE_DEPTH, TILE_ELEMENTS, splitTo, storeSplit } from "./split.ts";
import { type BlockShape, addStep, clearBlock, loadBlock, newBlock, storeBlock } from "./tile-block.ts";

/** Elements of A, all terms, that a task keeps in the second-level cache: 1 MB of 2. */
const SLAB_ELEMENTS = 512 << 10;
/** Rows that a task needs so that a byte of B read from the third-level cache is used often enough. */
const ENOUGH_ROWS = 128;
/** More rows at once did not pay for either number of terms, where the second-level cache is shared. */
const MAX_ROWS: Readonly<Record<Terms, number>> = { 1: 128, 2: 256 };
/** Bytes along k of a panel that stay in the first-level cache, for one term along a k of more than `ONE_VISIT_BYTES`. */
const PANEL_BYTES = 512;
const ONE_VISIT_BYTES = 2048;
/** Lines of the next panel that a step asks for. */
const NEXT_PANEL_LINES = 8;
const LINE_ELEMENTS = 32;
/** Rows of a task that decodes its panels. */
export const DECODING_ROWS = 512;
const LANES = 16;

export interface AmxBlocking {
  readonly terms: Terms;
  readonly block: BlockShape;
  /** Rows per task, a multiple of the block's. */
  readonly rows: number;
  /** Panels of B per task. */
  readonly panels: number;
  /** Steps of 32 along k in all, per slab, and per visit to a block of sums. */
  readonly steps: number;
  readonly slabSteps: number;
  readonly visitSteps: number;
}

/**
 * Block sizes for m × n × k; symbolic sizes are passed as a typical size. `slabs`: sums may wait in the result.
 * `decoding`: panels are decoded, in pieces of so many steps.
 */
export function chooseAmxBlocking(
  terms: Terms,
  m: number,
  n: number,
  k: number,
  threads: number,
  slabs: boolean,
  decoding?: number,
): AmxBlocking {
  const block: BlockShape = m <= 16 ? { rows: 1, columns: 4 } : { rows: 2, columns: 2 };
  const [blockRows, blockColumns] = [16 * block.rows, 16 * block.columns];
  const steps = Math.ceil(k / TILE_DEPTH);
  const allRows = Math.ceil(m / blockRows) * blockRows;
  const perStep = TILE_DEPTH * terms;
  const rowsThatFit = Math.floor(SLAB_ELEMENTS / (steps * perStep) / blockRows) * blockRows;
  const enough = Math.min(allRows, decoding === undefined ? ENOUGH_ROWS : DECODING_ROWS);
  const mostRows = decoding === undefined ? MAX_ROWS[terms] : DECODING_ROWS;
  const oneSlab = !slabs || rowsThatFit >= enough;
  const slabCount = oneSlab ? 1 : Math.ceil((steps * perStep * enough) / SLAB_ELEMENTS);
  const piece = decoding ?? 1;
  const slabSteps = Math.ceil(steps / slabCount / piece) * piece;
  const rows = Math.min(allRows, oneSlab ? Math.max(blockRows, Math.min(mostRows, rowsThatFit)) : enough);
  const slabBytes = slabSteps * perStep * 2;
  const oneVisit = terms === 2 || rows === blockRows || slabBytes <= ONE_VISIT_BYTES;
  const visits = oneVisit ? 1 : Math.ceil(slabBytes / PANEL_BYTES);
  const allPanels = Math.ceil(n / blockColumns);
  // Every range of panels converts A again, so rows are shared out first. Where many rows meet decoded panels, that is
  // megabytes for each range.
  const rowTasks = Math.ceil(allRows / rows);
  const ranges = threads === 1 || decoding !== undefined ? threads : threads * 2;
  const wanted = Math.ceil(ranges / rowTasks);
  return {
    terms,
    block,
    rows,
    panels: Math.max(1, Math.ceil(allPanels / Math.min(wanted, allPanels))),
    steps,
    slabSteps,
    visitSteps: Math.ceil(slabSteps / visits),
  };
}

export function panelColumns({ block }: AmxBlocking): number {
  return 16 * block.columns;
}

/** Elements of one packed panel of B. */
export function panelElements({ steps, terms, block }: AmxBlocking): number {
  return steps * terms * block.columns * TILE_ELEMENTS;
}

export interface AmxSource {
  readonly m: Dim;
  readonly n: Dim;
  readonly k: number;
  /** 32 values of row `row` of A from `at` on; those beyond k are masked. */
  loadRow(row: KValue, at: KValue, masks: readonly (KValue | undefined)[]): Row32;
  readonly right: AmxRight;
  /** Asks for the 16 results of row `row` from column `column` on, which will be stored soon. */
  prefetch?(row: KValue, column: KValue): void;
  /** Where sums wait between slabs; needed where the blocking has several. */
  partial?(row: KValue, column: KValue): { readonly buffer: Buffer; readonly index: KValue };
  /** Takes 16 finished results of row `row` from column `column` on. */
  store(row: KValue, column: KValue, value: KValue, mask: KValue | undefined): void;
}

/** The right-hand matrix: packed panels, or what makes them. */
export type AmxRight =
  /** Packed panels and the element offset of the first one. */
  | { readonly kind: "packed"; readonly panels: Buffer; readonly at: KValue }
  /** Emits what writes the tiles of steps start...start + count - 1 of a panel to `to`, as packed panels have them. */
  | { readonly kind: "decoded"; decode(panel: KValue, start: number, count: number, to: Buffer): void };

interface Task {
  /** Tiles of the slab of a panel, where they are decoded. */
  readonly decoded: Buffer | undefined;
  readonly k: KernelBuilder;
  readonly source: AmxSource;
  readonly blocking: AmxBlocking;
  readonly a: Buffer;
  readonly sums: Buffer;
  readonly firstRow: KValue;
  readonly rows: KValue;
  readonly rowBlocks: KValue;
}

/** Emits everything inside the task (`rowTask`, `panelTask`). */
export function emitAmxTask(
  k: KernelBuilder,
  source: AmxSource,
  blocking: AmxBlocking,
  rowTask: KValue,
  panelTask: KValue,
): void {
  const { block, rows: taskRows, panels, steps, slabSteps, visitSteps, terms } = blocking;
  const blockRows = 16 * block.rows;
  const columns = panelColumns(blocking);
  const visits = Math.ceil(slabSteps / visitSteps);
  const firstRow = k.mul(rowTask, taskRows);
  const rows = k.min(k.sub(k.index(source.m), firstRow), taskRows);
  const { right } = source;
  const task: Task = {
    decoded:
      right.kind === "packed" ? undefined : k.scratch("b", "bf16", slabSteps * terms * block.columns * TILE_ELEMENTS),
    k,
    source,
    blocking,
    firstRow,
    rows,
    a: k.scratch("a", "bf16", taskRows * slabSteps * terms * TILE_DEPTH),
    // One block where its sums are finished in one visit.
    sums: k.scratch("sums", "f32", (visits === 1 ? blockRows : taskRows) * columns),
    rowBlocks: k.div(k.add(rows, blockRows - 1), blockRows),
  };
  const firstPanel = k.mul(panelTask, panels);
  const allPanels = k.div(k.add(k.index(source.n), columns - 1), columns);
  const endPanel = k.min(k.add(firstPanel, panels), allPanels);
  for (let slab = 0; slab * slabSteps < steps; slab++) {
    const start = slab * slabSteps;
    const count = Math.min(slabSteps, steps - start);
    convertRows(task, start, count);
    const last = start + count === steps;
    k.for({ start: firstPanel, end: endPanel }, (panel) => {
      if (right.kind === "decoded") right.decode(panel, start, count, task.decoded as Buffer);
      for (const visit of visitsOf(k, count, visitSteps))
        visit((at, steps, isFirst, isLast) => {
          k.for({ end: task.rowBlocks }, (rowBlock) => {
            visitBlock(task, {
              panel,
              rowBlock,
              start,
              at,
              steps,
              isFirst,
              isLast,
              addPartial: slab > 0,
              keepPartial: !last,
            });
          });
        });
    });
  }
}

type VisitBody = (at: KValue, steps: number, isFirst: boolean, isLast: boolean) => void;

/** The visits to a block of sums: the first, those in the middle as a loop, the last, which may be shorter. */
function visitsOf(k: KernelBuilder, count: number, size: number): ((body: VisitBody) => void)[] {
  const visits = Math.ceil(count / size);
  if (visits === 1) return [(body) => body(k.index(0), count, true, true)];
  const lastAt = (visits - 1) * size;
  return [
    (body) => body(k.index(0), size, true, false),
    (body) => k.for({ start: size, end: lastAt, step: size }, (at) => body(at, size, false, false)),
    (body) => body(k.index(lastAt), count - lastAt, false, true),
  ];
}

/** Steps start...start + count - 1 of the task's rows of A as tiles. */
function convertRows({ k, source, blocking, a, rows, rowBlocks, firstRow }: Task, start: number, count: number): void {
  const { block, slabSteps, terms } = blocking;
  const perTile = slabSteps * terms * TILE_ELEMENTS;
  const place = (row: KValue): KValue => k.add(k.mul(k.div(row, 16), perTile), k.mul(k.rem(row, 16), TILE_DEPTH));
  const whole = Math.min(count, Math.floor(source.k / TILE_DEPTH) - start);
  k.for({ end: rows }, (row) => {
    const to = place(row);
    const convert = (step: KValue, rest: number): void => {
      const masks = [0, 1].map((half) =>
        rest >= LANES * (half + 1)
          ? undefined
          : k.lt(k.iota(k.index(LANES * half), LANES), k.broadcast(k.index(rest), LANES)),
      );
      const from = k.mul(k.add(step, start), TILE_DEPTH);
      storeSplit(
        k,
        a,
        k.add(to, k.mul(step, terms * TILE_ELEMENTS)),
        source.loadRow(k.add(firstRow, row), from, masks),
        terms,
        TILE_ELEMENTS,
      );
    };
    k.for({ end: whole }, (step) => convert(step, TILE_DEPTH));
    if (whole < count) convert(k.index(whole), source.k - (start + whole) * TILE_DEPTH);
  });
  const zero = k.broadcast(k.const("bf16", 0), TILE_DEPTH);
  k.for({ start: rows, end: k.mul(rowBlocks, 16 * block.rows) }, (row) => {
    const to = place(row);
    k.for({ end: count * terms }, (tile) => k.store(a, k.add(to, k.mul(tile, TILE_ELEMENTS)), zero));
  });
}

interface Visit {
  readonly panel: KValue;
  readonly rowBlock: KValue;
  /** First step of the slab, of this visit within it, and their number. */
  readonly start: number;
  readonly at: KValue;
  readonly steps: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly addPartial: boolean;
  readonly keepPartial: boolean;
}

function visitBlock(task: Task, visit: Visit): void {
  const { k, source, blocking, a, sums, decoded } = task;
  const { block, slabSteps, terms } = blocking;
  const { right } = source;
  const { panel, rowBlock, start, at, isFirst, isLast } = visit;
  const columns = panelColumns(blocking);
  const onlyVisit = isFirst && isLast;
  const sumsAt = onlyVisit ? k.index(0) : k.mul(rowBlock, 16 * block.rows * columns);
  const perTile = slabSteps * terms * TILE_ELEMENTS;
  const aAt = k.add(k.mul(rowBlock, block.rows * perTile), k.mul(at, terms * TILE_ELEMENTS));
  const perStep = terms * block.columns * TILE_ELEMENTS;
  const bAt =
    right.kind === "decoded"
      ? k.mul(at, perStep)
      : k.add(right.at, k.add(k.mul(panel, panelElements(blocking)), k.mul(k.add(at, start), perStep)));
  const acc = newBlock(k, block, "c");
  if (isFirst) clearBlock(k, acc);
  else loadBlock(k, acc, sums, sumsAt, columns);
  k.for({ end: visit.steps }, (step) => {
    prefetchNext(task, visit, step);
    const [aStep, bStep] = [k.add(aAt, k.mul(step, terms * TILE_ELEMENTS)), k.add(bAt, k.mul(step, perStep))];
    addStep(
      k,
      acc,
      {
        a,
        aStride: TILE_DEPTH,
        aIndex: (row, term) => k.add(aStep, row * perTile + term * TILE_ELEMENTS),
        b: right.kind === "decoded" ? (decoded as Buffer) : right.panels,
        bIndex: (column, term) => k.add(bStep, (term * block.columns + column) * TILE_ELEMENTS),
      },
      terms,
    );
  });
  storeBlock(k, acc, sums, sumsAt, columns);
  if (isLast) finishBlock(task, visit, sumsAt);
}

/** A step's share of what comes from memory meanwhile: rows of the result in the last visit, lines of the next panel. */
function prefetchNext({ k, source, blocking, firstRow }: Task, visit: Visit, step: KValue): void {
  const { block } = blocking;
  const { panel, rowBlock, at, steps, isLast } = visit;
  const blockRows = 16 * block.rows;
  if (isLast && source.prefetch !== undefined) {
    const share = Math.ceil(blockRows / steps);
    const first = k.add(k.add(firstRow, k.mul(rowBlock, blockRows)), k.mul(step, share));
    for (let row = 0; row < share; row++)
      for (let v = 0; v < block.columns; v++)
        source.prefetch(k.add(first, row), k.add(k.mul(panel, panelColumns(blocking)), v * LANES));
  }
  const { right } = source;
  if (right.kind === "decoded") return;
  const before = k.add(k.mul(rowBlock, steps), k.add(at, step));
  const next = k.add(right.at, k.mul(k.add(panel, 1), panelElements(blocking)));
  const from = k.add(next, k.mul(before, NEXT_PANEL_LINES * LINE_ELEMENTS));
  for (let line = 0; line < NEXT_PANEL_LINES; line++) k.prefetch(right.panels, k.add(from, line * LINE_ELEMENTS), 1);
}

/** The work behind the product, row by row from the sums in scratch. */
function finishBlock(
  { k, source, blocking, sums, rows, firstRow }: Task,
  { panel, rowBlock, addPartial, keepPartial }: Visit,
  sumsAt: KValue,
): void {
  const { block } = blocking;
  const columns = panelColumns(blocking);
  const firstColumn = k.mul(panel, columns);
  const masks = tileColumnMasks(
    k,
    source.n,
    { rows: 16 * block.rows, vectors: block.columns, lanes: LANES, columns },
    firstColumn,
  );
  const blockAt = k.mul(rowBlock, 16 * block.rows);
  k.for({ end: k.min(k.sub(rows, blockAt), 16 * block.rows) }, (row) => {
    const at = k.add(firstRow, k.add(blockAt, row));
    for (let v = 0; v < block.columns; v++) {
      const column = k.add(firstColumn, v * LANES);
      const mask = masks[v];
      let value = k.load(sums, k.add(k.add(sumsAt, k.mul(row, columns)), v * LANES), { lanes: LANES });
      if (addPartial || keepPartial) {
        invariant(source.partial !== undefined, "several slabs without a place for their sums");
        const { buffer, index } = source.partial(at, column);
        if (addPartial) value = k.add(value, k.load(buffer, index, { lanes: LANES, mask }));
        if (keepPartial) {
          k.store(buffer, index, value, { mask });
          continue;
        }
      }
      source.store(at, column, value, mask);
    }
  });
}

/** A matrix of k × n elements with the given strides, as panels of terms. */
export type TermPanelArgs = {
  readonly k: number;
  readonly n: number;
  readonly strideK: number;
  readonly strideN: number;
  readonly terms: Terms;
  /** Tiles of 16 columns in a panel. */
  readonly tiles: number;
};

export const termPanelPacker: Packer<TermPanelArgs> = { name: "termPanels", pack: packTermPanels };

function packTermPanels(data: ConstantData, { k, n, strideK, strideN, terms, tiles }: TermPanelArgs): ConstantData {
  const source = floatsOf(data);
  const columns = 16 * tiles;
  const panels = Math.ceil(n / columns);
  const termDistance = tiles * TILE_ELEMENTS;
  const steps = Math.ceil(k / TILE_DEPTH);
  const perPanel = steps * terms * termDistance;
  const packed = new Uint16Array(panels * perPanel);
  for (let column = 0; column < n; column++) {
    const panel = Math.floor(column / columns);
    const base = panel * perPanel + Math.floor((column % columns) / 16) * TILE_ELEMENTS + (column % 16) * 2;
    for (let row = 0; row < k; row++) {
      const step = Math.floor(row / TILE_DEPTH);
      const at = base + step * terms * termDistance + ((row % TILE_DEPTH) >> 1) * TILE_DEPTH + (row & 1);
      splitTo(packed, at, termDistance, terms, source[row * strideK + column * strideN] as number);
    }
  }
  return {
    dtype: "bf16" as DType,
    shape: [panels, perPanel],
    bytes: new Uint8Array(packed.buffer),
  };
}
