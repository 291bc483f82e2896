/**
 * topK by a list of the best so far: the first k elements start it, and the scan over the rest replaces its worst entry
 * wherever an element is better. Vectors of elements that hold nothing better, which soon are nearly all, cost a
 * comparison. At the end repeated search brings the list into order.
 *
 * Entries are integers that order as element and place together: the key of the element (`order-key.ts`) above the
 * place counted down, so that all differ and the lower place wins among equals.
 */

import {
  type Buffer,
  type Dim,
  type KernelBuilder,
  GroupKernel,
  type KValue,
  type Launch,
  type Local,
  type Value,
} from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { sizeOf } from "../movement/runs.ts";
import { linesOf } from "./along-axis.ts";
import { ORDERED, orderKey } from "./order-key.ts";

/** The list is searched for every entry, so that long ones are better sorted. */
const MAX_ENTRIES = 1024;
const TYPICAL = 64;
const LOW_HALF = 0x7fffffff;
const LOWEST = -(2n ** 63n);
const HIGHEST = 2n ** 63n - 1n;

export const topKList: CpuKernel = {
  name: "topK",
  ops: ["topK"],
  epilogue: false,
  when(site) {
    const { dtype } = (site.anchor.inputs[0] as Value).type;
    if (!ORDERED.has(dtype) || dtype === "i64") return dtype;
    const count = resultSize(site.anchor.outputs[0] as Value, site.anchor.attrs["axis"] as number);
    if (typeof count !== "number") return "k is not known";
    if (count === 0) return "k is 0";
    return count > MAX_ENTRIES ? `k is ${count}` : true;
  },
  cost(site, { threads }) {
    const size = sizeOf((site.anchor.inputs[0] as Value).type.shape);
    return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 2 / threads + 1000;
  },
  lower(site, { target }): readonly Launch[] {
    const { anchor } = site;
    const x = anchor.inputs[0] as Value;
    const { outer, size, inner } = linesOf(site);
    const count = resultSize(anchor.outputs[0] as Value, anchor.attrs["axis"] as number) as number;
    const kernel = new GroupKernel(`top_${count}_${x.type.dtype}`, site);
    const { k } = kernel;
    const [from, values, places] = [kernel.input(x), kernel.output(0), kernel.output(1)];
    k.parallel(outer, (o) =>
      k.parallel(inner, (c) => {
        const first = k.add(k.mul(o, k.index(sizeOf([size, inner]))), c);
        const list = bestOf(k, {
          from,
          place: (i) => k.add(first, k.mul(i, k.index(inner))),
          size,
          count,
          largest: anchor.attrs["largest"] !== false,
          lanes: inner === 1 ? target.vectorBytes / 4 : 1,
        });
        const last = k.local("last", "i64", HIGHEST);
        k.for({ end: count }, (pass) => {
          const boundary = k.read(last);
          const best = k.reduce("max", count, (i) => {
            const entry = k.load(list, i);
            return k.select(k.lt(entry, boundary), entry, k.const("i64", LOWEST));
          });
          k.assign(last, best);
          const place = k.sub(LOW_HALF, k.cast(k.and(best, LOW_HALF), "i32"));
          const to = k.add(k.mul(k.add(k.mul(o, count), pass), k.index(inner)), c);
          k.store(values, to, k.load(from, k.add(first, k.mul(k.cast(place, "index"), k.index(inner)))));
          k.store(places, to, k.cast(place, "i64"));
        });
      }),
    );
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

interface Line {
  readonly from: Buffer;
  /** Element offset of entry i of the line. */
  place(i: KValue): KValue;
  readonly size: Dim;
  readonly count: number;
  readonly largest: boolean;
  /** Elements compared at once; 1 where they do not lie side by side. */
  readonly lanes: number;
}

/** The `count` best entries of a line, in no order. */
function bestOf(k: KernelBuilder, line: Line): Buffer {
  const { from, place, size, count, largest, lanes } = line;
  const list = k.scratch("list", "i64", count);
  const better = (element: KValue): KValue => {
    const key = orderKey(k, element);
    return largest ? key : k.xor(key, -1);
  };
  const entryOf = (key: KValue, i: KValue): KValue =>
    k.or(k.shl(k.cast(key, "i64"), 32), k.cast(k.sub(LOW_HALF, k.cast(i, "i32")), "i64"));
  k.each(count, (i) => k.store(list, i, entryOf(better(k.load(from, place(i))), i)));
  const worst = k.local("worst", "i64");
  const findWorst = (): void =>
    k.assign(
      worst,
      k.reduce("min", count, (i) => k.load(list, i)),
    );
  findWorst();
  const consider = (i: KValue): void => {
    const entry = entryOf(better(k.load(from, place(i))), i);
    k.if(k.gt(entry, k.read(worst)), () => {
      replace(k, list, count, worst, entry);
      findWorst();
    });
  };
  if (lanes === 1) {
    k.for({ start: count, end: size }, consider);
    return list;
  }
  const whole = k.add(count, k.mul(k.div(k.max(k.sub(k.index(size), count), 0), lanes), lanes));
  k.for({ start: count, end: whole, step: lanes }, (at) => {
    const keys = better(k.load(from, place(at), { lanes }));
    const bound = k.cast(k.shr(k.read(worst), 32), "i32");
    // Equal keys stand further back, and lose.
    k.if(k.horizontal("or", k.gt(keys, k.broadcast(bound, lanes))), () =>
      k.for({ start: at, end: k.add(at, lanes) }, consider),
    );
  });
  k.for({ start: whole, end: size }, consider);
  return list;
}

/** `entry` in the place of the worst one. */
function replace(k: KernelBuilder, list: Buffer, count: number, worst: Local, entry: KValue): void {
  const old = k.read(worst);
  const slot = k.reduce("min", count, (i) =>
    k.select(k.eq(k.load(list, i), old), k.cast(i, "i32"), k.const("i32", LOW_HALF)),
  );
  k.store(list, k.cast(slot, "index"), entry);
}

function resultSize({ type }: Value, axis: number): Dim {
  return type.shape[(axis + type.shape.length) % type.shape.length] as Dim;
}
