/**
 * topK by repeated search: each pass finds the best element behind the last one found, in the order of keys and places.
 *
 * A pass is two vector reductions over the line, so k passes over n elements cost about k · n / lanes steps: less than
 * sorting where k is small against n, which is how models use it. Large k is left to the reference.
 */

import { type Dim, GroupKernel, type KValue, type Launch, type Value } from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { sizeOf } from "../movement/runs.ts";
import { linesOf } from "./along-axis.ts";
import { ORDERED, orderKey } from "./order-key.ts";

/** Passes beyond which sorting is faster. */
const MAX_PASSES = 1024;
const TYPICAL = 64;
const NO_PLACE = 0x7fffffff;

export const topKPasses: CpuKernel = {
  name: "topK",
  ops: ["topK"],
  epilogue: false,
  when(site) {
    const { type } = site.anchor.inputs[0] as Value;
    if (!ORDERED.has(type.dtype)) return type.dtype;
    const count = resultSize(site.anchor.outputs[0] as Value, site.anchor.attrs["axis"] as number);
    if (typeof count !== "number") return "k is not known";
    return count > MAX_PASSES ? `k is ${count}` : true;
  },
  cost(site, { threads }) {
    const size = sizeOf((site.anchor.inputs[0] as Value).type.shape);
    const count = resultSize(site.anchor.outputs[0] as Value, site.anchor.attrs["axis"] as number) as number;
    return ((typeof size === "number" ? size : TYPICAL * TYPICAL) * count) / 4 / threads + 200;
  },
  lower(site): readonly Launch[] {
    const { anchor } = site;
    const x = anchor.inputs[0] as Value;
    const { outer, size, inner } = linesOf(site);
    const count = resultSize(anchor.outputs[0] as Value, anchor.attrs["axis"] as number) as number;
    const largest = anchor.attrs["largest"] !== false;
    const kernel = new GroupKernel(`top_${count}_${x.type.dtype}`, site);
    const { k } = kernel;
    const [from, values, places] = [kernel.input(x), kernel.output(0), kernel.output(1)];
    k.parallel(outer, (o) =>
      k.parallel(inner, (c) => {
        const first = k.add(k.mul(o, k.index(sizeOf([size, inner]))), c);
        const element = (i: KValue): KValue => k.load(from, k.add(first, k.mul(i, k.index(inner))));
        const key = (i: KValue): KValue => orderKey(k, element(i));
        const wide = x.type.dtype === "i64";
        const keyType = wide ? "i64" : "i32";
        const [low, high] = wide ? [-(2n ** 63n), 2n ** 63n - 1n] : [-0x80000000, 0x7fffffff];
        const worst = k.const(keyType, largest ? low : high);
        // Everything comes behind the best key at place -1.
        const lastKey = k.local("lastKey", keyType, k.const(keyType, largest ? high : low));
        const lastPlace = k.local("lastPlace", "i32", -1);
        k.for({ end: count }, (pass) => {
          const [boundary, boundaryPlace] = [k.read(lastKey), k.read(lastPlace)];
          const behind = (i: KValue, own: KValue): KValue => {
            const further = largest ? k.lt(own, boundary) : k.gt(own, boundary);
            return k.or(further, k.and(k.eq(own, boundary), k.gt(k.cast(i, "i32"), boundaryPlace)));
          };
          const best = k.reduce(largest ? "max" : "min", size, (i) => {
            const own = key(i);
            return k.select(behind(i, own), own, worst);
          });
          const place = k.reduce("min", size, (i) => {
            const own = key(i);
            return k.select(k.and(behind(i, own), k.eq(own, best)), k.cast(i, "i32"), k.const("i32", NO_PLACE));
          });
          k.assign(lastKey, best);
          k.assign(lastPlace, place);
          const to = k.add(k.mul(k.add(k.mul(o, count), pass), k.index(inner)), c);
          k.store(values, to, element(k.cast(place, "index")));
          k.store(places, to, k.cast(place, "i64"));
        });
      }),
    );
    return [kernel.launch({ decision: kernel.k.name })];
  },
};

function resultSize({ type }: Value, axis: number): Dim {
  return type.shape[(axis + type.shape.length) % type.shape.length] as Dim;
}
