/**
 * The left side of a product with block-quantised experts: rows of x as bytes (`activations.ts`), those of an expert side
 * by side in blocks of 1, 2, 4 or 8 as its number of rows asks for. Each group begins a block of 8 of its own.
 */

import {
  type Buffer,
  type Dim,
  GroupKernel,
  type KValue,
  type KernelSite,
  type Launch,
  type Temporary,
  dimMul,
  printDim,
} from "@quern/core";
import {
  type ActivationForm,
  MAX_BLOCK_ROWS,
  type QuantisedRows,
  blockStride,
  quantiseChunk,
  quantisedRows,
  sumOf,
} from "./activations.ts";
import { type ExpertProblem, type Routes, loadGroup } from "./routes.ts";

/** Elements of a row that one task quantises. */
const TASK_ELEMENTS = 512;

export function expertRows(form: ActivationForm, { blocks }: Routes): QuantisedRows {
  return quantisedRows(form, dimMul(blocks, MAX_BLOCK_ROWS));
}

/** A task quantises a part of a row of x, and stores it for each slot that reads it. */
export function expertRowsLaunch(
  site: KernelSite,
  { x, rows, slots, shared }: ExpertProblem,
  routes: Routes,
  form: ActivationForm,
  to: QuantisedRows,
): Launch {
  const { depth, chunk, bias } = form;
  const kernel = new GroupKernel(`expert_rows_k${depth}c${chunk}b${bias}`, site);
  const { k } = kernel;
  const from = kernel.input(x);
  const perTask = Math.min(TASK_ELEMENTS, depth) / chunk;
  const quads = chunk / 4;
  k.parallel(Math.ceil(depth / chunk / perTask), (task) =>
    k.parallel(shared ? (x.type.shape[0] as Dim) : rows, (source) => {
      const words = k.scratch("ownWords", "u32", perTask * quads);
      const factors = k.scratch("ownFactors", "f32", perTask);
      const sums = k.scratch("ownSums", to.sums.dtype, perTask);
      const first = k.mul(task, perTask);
      const count = k.min(perTask, k.sub(depth / chunk, first));
      k.for({ end: count }, (at) => {
        const place = k.add(k.mul(source, depth), k.mul(k.add(first, at), chunk));
        const { packed, factor } = quantiseChunk(kernel, k.load(from, place, { lanes: chunk }));
        k.store(words, k.mul(at, quads), packed);
        k.store(factors, at, factor);
        k.store(sums, at, sumOf(kernel, bias, packed, factor));
      });
      const put = (row: KValue): void => putRow(kernel, routes, form, to, { row, first, count, words, factors, sums });
      if (shared) k.for({ end: k.index(slots) }, (slot) => put(k.add(k.mul(source, k.index(slots)), slot)));
      else put(source);
    }),
  );
  return kernel.launch({ decision: `${printDim(rows)} rows of x as bytes, a factor per ${chunk}` });
}

/** Chunks `first` to `first + count - 1` of a row of the result. */
interface RowPart {
  readonly row: KValue;
  readonly first: KValue;
  readonly count: KValue;
  readonly words: Buffer;
  readonly factors: Buffer;
  readonly sums: Buffer;
}

function putRow(
  kernel: GroupKernel,
  routes: Routes,
  { depth, chunk }: ActivationForm,
  to: QuantisedRows,
  part: RowPart,
): void {
  const { k } = kernel;
  const [words, factors, sums] = [to.words, to.factors, to.sums].map((one) => kernel.temporary(one, "write")) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const index = (temporary: Temporary): KValue =>
    k.cast(k.load(kernel.temporary(temporary, "read"), part.row), "index");
  const group = loadGroup(kernel, routes, index(routes.groupOf));
  const stride = blockStride(kernel, group.count);
  const within = k.sub(index(routes.positionOf), group.first);
  const lane = k.rem(within, stride);
  // The last row stands for those that its block lacks.
  const copies = k.select(k.eq(within, k.sub(group.count, 1)), k.sub(stride, lane), k.index(1));
  const block = k.add(k.mul(group.block, MAX_BLOCK_ROWS), k.sub(within, lane));
  const quads = chunk / 4;
  const spread = k.mul(k.iota(k.index(0), quads), k.broadcast(stride, quads));
  k.for({ end: part.count }, (at) => {
    const own = k.add(part.first, at);
    const wordsAt = k.add(k.add(k.mul(block, depth / 4), k.mul(k.mul(own, quads), stride)), lane);
    const chunkAt = k.add(k.add(k.mul(block, depth / chunk), k.mul(own, stride)), lane);
    const packed = k.load(part.words, k.mul(at, quads), { lanes: quads });
    const [factor, sum] = [k.load(part.factors, at), k.load(part.sums, at)];
    k.for({ end: copies }, (copy) => {
      k.store(words, k.add(k.broadcast(k.add(wordsAt, copy), quads), spread), packed);
      k.store(factors, k.add(chunkAt, copy), factor);
      k.store(sums, k.add(chunkAt, copy), sum);
    });
  });
}
