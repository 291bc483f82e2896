/**
 * Writes keys and values of the tokens of a step to their places in the cache.
 *
 * Tasks: runs × heads, page by page. A page of keys has its tokens side by side, so keys are transposed: in squares of
 * registers as long as there are enough tokens, one by one behind that.
 */

import { type Buffer, type KValue, type KernelSite, type Launch, SCALED_BLOCK } from "@quern/core";
import type { CpuTarget } from "../../host/cpu-target.ts";
import { transposeTile } from "../movement/transpose-tile.ts";
import { AttentionKernel, type CachePage, problemOf } from "./layout.ts";
import { pagesOf } from "./parts.ts";

export function appendLaunch(site: KernelSite, target: CpuTarget): Launch {
  const { cache, head, pageSize, kvHeads, runs } = problemOf(site);
  const attention = new AttentionKernel(`attention_append_${cache}_d${head}p${pageSize}`, site, "readwrite");
  const { k } = attention;
  const lanes = target.vectorBytes / 4;
  const put = cache === "i8" ? putQuantised : putConverted;
  k.parallel(runs, (row) =>
    k.parallel(kvHeads, (h) => {
      const { first, count, sequence, position } = attention.run(row);
      const end = k.add(position, count);
      const pages = pagesOf(k, position, end, pageSize);
      k.if(k.gt(count, 0), () =>
        k.for({ start: pages.first, end: pages.end }, (index) => {
          const start = k.mul(index, pageSize);
          put(attention, lanes, {
            page: attention.page(sequence, index, h),
            from: k.max(0, k.sub(position, start)),
            to: k.min(pageSize, k.sub(end, start)),
            source: (slot) => {
              const token = k.add(first, k.sub(k.add(start, slot), position));
              return k.mul(k.add(k.mul(token, kvHeads), h), head);
            },
          });
        }),
      );
    }),
  );
  return attention.kernel.launch({ decision: `append to a cache of ${cache}` });
}

/** The tokens of a run that belong to one page: to the slots `from`..`to` - 1. */
interface Tokens {
  readonly page: CachePage;
  readonly from: KValue;
  readonly to: KValue;
  /** Where k and v have the first element of the token for a slot. */
  source(slot: KValue): KValue;
}

function putConverted(attention: AttentionKernel, lanes: number, { page, from, to, source }: Tokens): void {
  const { k, problem } = attention;
  const { cache, head, pageSize, kvHeads } = problem;
  const stored = (x: KValue): KValue => (cache === "f32" ? x : k.cast(x, cache));
  const [newKeys, newValues] = [attention.buffer("k"), attention.buffer("v")];
  const [keys, values] = [attention.buffer("keys"), attention.buffer("values")];
  k.for({ start: from, end: to }, (slot) => {
    const [read, write] = [source(slot), k.add(page.elements, k.mul(slot, head))];
    k.each(head, (d) => k.store(values, k.add(write, d), stored(k.load(newValues, k.add(read, d)))));
  });
  const keyAt = (d: KValue, slot: KValue): KValue => k.add(page.elements, k.add(k.mul(d, pageSize), slot));
  const one = (slot: KValue, firstElement: number): void => {
    const read = source(slot);
    k.for({ start: firstElement, end: head }, (d) =>
      k.store(keys, keyAt(d, slot), stored(k.load(newKeys, k.add(read, d)))),
    );
  };
  const whole = head - (head % lanes);
  const squares = k.add(from, k.mul(k.div(k.sub(to, from), lanes), lanes));
  k.for({ start: from, end: squares, step: lanes }, (slot) => {
    const read = source(slot);
    k.for({ end: whole, step: lanes }, (d) => {
      const rows = Array.from({ length: lanes }, (_, i) =>
        k.load(newKeys, k.add(k.add(read, d), i * kvHeads * head), { lanes }),
      );
      transposeTile(k, rows, 4).forEach((x, i) => k.store(keys, keyAt(k.add(d, i), slot), stored(x)));
    });
    if (whole < head) k.for({ end: lanes }, (i) => one(k.add(slot, i), whole));
  });
  k.for({ start: squares, end: to }, (slot) => one(slot, 0));
}

/** Blocks of 32 in -127..127 with a scale of f16: the operations of the reference, in its order. */
function putQuantised(attention: AttentionKernel, lanes: number, { page, from, to, source }: Tokens): void {
  const { k, problem } = attention;
  const { head, pageSize } = problem;
  const blocks = head / SCALED_BLOCK;
  const put = (read: KValue, side: Side): void => {
    k.for({ end: blocks }, (block) => {
      const start = k.mul(block, SCALED_BLOCK);
      const parts = Array.from({ length: SCALED_BLOCK / lanes }, (_, v) =>
        k.load(side.source, k.add(k.add(read, start), v * lanes), { lanes }),
      );
      const most = parts.map((part) => k.abs(part)).reduce((a, b) => k.max(a, b));
      const scale = k.cast(k.mul(k.horizontal("max", most), Math.fround(1 / 127)), "f16");
      k.store(side.scales, k.add(side.scaleAt, k.mul(block, side.stride)), scale);
      const held = k.cast(scale, "f32");
      const inverse = k.select(k.gt(held, 0), k.div(1, held), k.const("f32", 0));
      parts.forEach((part, v) => {
        const bytes = k.cast(k.max(-127, k.min(127, k.round(k.mul(part, inverse)))), "i8");
        const at = k.add(side.elementAt, k.mul(k.add(start, v * lanes), side.stride));
        if (side.stride === 1) return k.store(side.elements, at, bytes);
        for (let i = 0; i < lanes; i++) k.store(side.elements, k.add(at, i * side.stride), k.extract(bytes, i));
      });
    });
  };
  const buffers = {
    keys: { source: attention.buffer("k"), elements: attention.buffer("keys"), scales: attention.buffer("keyScales") },
    values: {
      source: attention.buffer("v"),
      elements: attention.buffer("values"),
      scales: attention.buffer("valueScales"),
    },
  };
  k.for({ start: from, end: to }, (slot) => {
    const read = source(slot);
    put(read, {
      ...buffers.keys,
      elementAt: k.add(page.elements, slot),
      scaleAt: k.add(page.scales, slot),
      stride: pageSize,
    });
    put(read, {
      ...buffers.values,
      elementAt: k.add(page.elements, k.mul(slot, head)),
      scaleAt: k.add(page.scales, k.mul(slot, blocks)),
      stride: 1,
    });
  });
}

/** Where keys or values of one token come from and go to; `stride` is the distance of their elements and of their scales. */
interface Side {
  readonly source: Buffer;
  readonly elements: Buffer;
  readonly scales: Buffer;
  readonly elementAt: KValue;
  readonly scaleAt: KValue;
  readonly stride: number;
}
