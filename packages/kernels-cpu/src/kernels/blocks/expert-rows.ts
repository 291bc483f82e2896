/**
 * The left side of a product with block-quantised experts: rows of x as bytes (`activations.ts`), those of an expert side
 * by side in blocks of 1, 2, 4 or 8 as its number of rows asks for. Each group begins a block of 8 of its own.
 */

import { type Buffer, GroupKernel, type KValue, type KernelSite, type Launch, dimMul, printDim } from "@quern/core";
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
const TASK_ELEMENTS = 1024;

export function expertRows(form: ActivationForm, { blocks }: Routes): QuantisedRows {
  return quantisedRows(form, dimMul(blocks, MAX_BLOCK_ROWS));
}

/** A task takes a part of a row at one position. */
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
  const [order, groupOf] = [routes.order, routes.groupOf].map((one) => kernel.temporary(one, "read")) as [
    Buffer,
    Buffer,
  ];
  const [words, factors, sums] = [to.words, to.factors, to.sums].map((one) => kernel.temporary(one, "write")) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const index = (buffer: Buffer, at: KValue): KValue => k.cast(k.load(buffer, at), "index");
  const perTask = Math.min(TASK_ELEMENTS, depth) / chunk;
  k.parallel(Math.ceil(depth / chunk / perTask), (task) =>
    k.parallel(rows, (position) => {
      const group = loadGroup(kernel, routes, index(groupOf, position));
      const row = index(order, position);
      const source = k.mul(shared ? k.div(row, k.index(slots)) : row, depth);
      const stride = blockStride(kernel, group.count);
      const within = k.sub(position, group.first);
      // The last row stands for those that its block lacks.
      const stored = k.mul(k.div(k.add(group.count, k.sub(stride, 1)), stride), stride);
      const end = k.select(k.eq(within, k.sub(group.count, 1)), stored, k.add(within, 1));
      const start = k.mul(group.block, MAX_BLOCK_ROWS);
      const first = k.mul(task, perTask);
      k.for({ start: first, end: k.min(k.add(first, perTask), depth / chunk) }, (at) => {
        const { packed, factor } = quantiseChunk(
          kernel,
          k.load(from, k.add(source, k.mul(at, chunk)), { lanes: chunk }),
        );
        const { lanes } = packed.type;
        const sum = sumOf(kernel, bias, packed, factor);
        const spread = k.mul(k.iota(k.index(0), lanes), k.broadcast(stride, lanes));
        k.for({ start: within, end }, (own) => {
          const lane = k.rem(own, stride);
          const block = k.add(start, k.sub(own, lane));
          const place = (perRow: number, part: KValue): KValue =>
            k.add(k.add(k.mul(block, perRow), k.mul(part, stride)), lane);
          k.store(words, k.add(k.broadcast(place(depth / 4, k.mul(at, lanes)), lanes), spread), packed);
          k.store(factors, place(depth / chunk, at), factor);
          k.store(sums, place(depth / chunk, at), sum);
        });
      });
    }),
  );
  return kernel.launch({ decision: `${printDim(rows)} rows of x as bytes, a factor per ${chunk}` });
}
