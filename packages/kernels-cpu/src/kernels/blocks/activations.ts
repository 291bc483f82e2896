/**
 * The left side of a product with block-quantised weights: rows of x as signed bytes, with a factor per 16 or 32 of them.
 *
 * Rows are grouped in blocks of `stride` (1, 2, 4 or 8, from the number of rows at run time), and a block is stored
 * quad by quad: the words of 4 consecutive bytes of its rows stand side by side, so that a tile reads one stream. Rows
 * beyond the last repeat it. Rounding is to nearest, the factor is max |x| / 127 as in Q8_0, kept in f32.
 */

import { type Buffer, type Dim, type GroupKernel, type KValue, type Temporary, dimCeilDiv, dimMul } from "@quern/core";

/** Most rows that are stored side by side. */
export const MAX_BLOCK_ROWS = 8;
/** Elements of a row that one task quantises. */
const TASK_ELEMENTS = 1024;

/** Where the quantised rows are: temporaries of the site. */
export interface QuantisedRows {
  /** Bytes, four to a word: [block][quad][row of the block]. */
  readonly words: Temporary;
  /** [block][chunk][row of the block]. */
  readonly factors: Temporary;
  /** The same for what minima, factor · Σ q, or a bias, -bias · Σ q, are subtracted with. */
  readonly sums: Temporary;
}

export interface ActivationForm {
  /** Bytes that share a factor. */
  readonly chunk: 16 | 32;
  /** The bias of the format, or 0 where it has minima. */
  readonly bias: number;
  readonly depth: number;
}

export function quantisedRows({ chunk, bias, depth }: ActivationForm, rows: Dim): QuantisedRows {
  const padded = dimMul(dimCeilDiv(rows, MAX_BLOCK_ROWS), MAX_BLOCK_ROWS);
  return {
    words: { name: "q", dtype: "u32", size: dimMul(padded, depth / 4) },
    factors: { name: "d", dtype: "f32", size: dimMul(padded, depth / chunk) },
    sums: { name: "s", dtype: bias === 0 ? "f32" : "i32", size: dimMul(padded, depth / chunk) },
  };
}

/** Rows per block for `rows` rows: the least power of two that holds them, up to 8. */
export function blockStride(kernel: GroupKernel, rows: KValue): KValue {
  const { k } = kernel;
  return k.select(
    k.le(rows, 1),
    k.index(1),
    k.select(k.le(rows, 2), k.index(2), k.select(k.le(rows, 4), k.index(4), k.index(8))),
  );
}

/** Emits the quantisation of the [rows, depth] matrix in `x`; with `most`, of no more rows than that, else of none. */
export function emitQuantisation(
  kernel: GroupKernel,
  form: ActivationForm,
  x: Buffer,
  rows: Dim,
  to: QuantisedRows,
  most?: number,
): void {
  const { k } = kernel;
  const { depth, chunk, bias } = form;
  const [words, factors, sums] = [to.words, to.factors, to.sums].map((one) => kernel.temporary(one, "write")) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const padded = dimMul(dimCeilDiv(rows, MAX_BLOCK_ROWS), MAX_BLOCK_ROWS);
  const perTask = Math.min(TASK_ELEMENTS, depth) / chunk;
  k.parallel(Math.ceil(depth / chunk / perTask), (task) =>
    k.parallel(padded, (row) => {
      const count = k.index(rows);
      const stride = blockStride(kernel, count);
      const stored = k.mul(k.div(k.add(count, k.sub(stride, 1)), stride), stride);
      const wanted = most === undefined ? k.lt(row, stored) : k.and(k.lt(row, stored), k.le(count, most));
      k.if(wanted, () => {
        const source = k.mul(k.min(row, k.sub(count, 1)), depth);
        const [block, within] = [k.div(row, stride), k.rem(row, stride)];
        const place = (perRow: number, at: KValue): KValue =>
          k.add(k.mul(k.add(k.mul(block, perRow), at), stride), within);
        const first = k.mul(task, perTask);
        const end = k.min(k.add(first, perTask), depth / chunk);
        k.for({ start: first, end }, (at) => {
          const values = k.load(x, k.add(source, k.mul(at, chunk)), { lanes: chunk });
          const { packed, factor } = quantiseChunk(kernel, values);
          const { lanes } = packed.type;
          const spread = k.mul(k.iota(k.index(0), lanes), k.broadcast(stride, lanes));
          k.store(words, k.add(k.broadcast(place(depth / 4, k.mul(at, lanes)), lanes), spread), packed);
          k.store(factors, place(depth / chunk, at), factor);
          k.store(sums, place(depth / chunk, at), sumOf(kernel, bias, packed, factor));
        });
      });
    }),
  );
}

/** The values as signed bytes, four to a word, and what a byte stands for. */
export function quantiseChunk({ k }: GroupKernel, values: KValue): { packed: KValue; factor: KValue } {
  const { lanes } = values.type;
  const most = k.horizontal("max", k.abs(values));
  // A value that is not finite makes the factor NaN, and with it the whole result.
  const broken = k.horizontal("sum", k.mul(values, 0));
  const inverse = k.select(k.gt(most, 0), k.div(k.const("f32", 127), most), k.const("f32", 0));
  const bytes = k.cast(k.round(k.mul(values, k.broadcast(inverse, lanes))), "i8");
  const packed = k.intrinsic("packBytes", [bytes], { dtype: "u32", lanes: lanes / 4, rows: 1 });
  return { packed, factor: k.add(k.div(most, 127), broken) };
}

/** What the bytes add up to, times -bias as integer, or times their factor. */
export function sumOf({ k }: GroupKernel, bias: number, packed: KValue, factor: KValue): KValue {
  const type = { dtype: "i32", lanes: packed.type.lanes, rows: 1 } as const;
  const ones = k.const({ ...type, dtype: "u32" }, 0x01010101);
  const sum = k.horizontal("sum", k.intrinsic("dot4u7i8", [k.const(type, 0), ones, packed], type));
  return bias === 0 ? k.mul(factor, k.cast(sum, "f32")) : k.mul(sum, -bias);
}
