/**
 * Max and average pooling: one result per invocation. Any spatial rank and layout.
 */

import {
  DTYPE_INFO,
  GroupKernel,
  type Dim,
  type KernelSite,
  type KValue,
  type Launch,
  type Value,
  computeType,
  isFloat,
  kernelMath,
} from "@quern/core";
import type { GpuKernel } from "./kernel.ts";
import { type Position, type Window, forEachTap, imageAxes, nest, positionOf, windowOf } from "./nest.ts";

interface Pool {
  readonly kernel: GroupKernel;
  readonly window: Window;
  readonly sizes: readonly Dim[];
  /** Calls `body` with each tap and its element (0 outside of the input). */
  forEachElement(body: (element: KValue, position: Position) => void): void;
}

/** One launch whose result elements are computed by `reduce`. */
function lowerPool(site: KernelSite, reduce: (pool: Pool) => KValue): readonly Launch[] {
  const x = site.anchor.inputs[0] as Value;
  const y = site.anchor.outputs[0] as Value;
  const { attrs } = site.anchor;
  const window = windowOf(attrs, attrs["kernel"] as readonly number[]);
  const { spatial } = imageAxes(attrs, x.type.shape.length);
  const kernel = new GroupKernel(`${site.anchor.op}_${window.kernel.join("x")}`, site);
  const pick = <T>(list: readonly T[]): T[] => spatial.map((axis) => list[axis] as T);
  const sizes = pick(x.type.shape);
  nest(kernel.k, y.type.shape, (index) => {
    const forEachElement: Pool["forEachElement"] = (body) =>
      forEachTap(kernel.k, window.kernel, (tap) => {
        const position = positionOf(kernel.k, window, pick(index), tap, { sizes, outSizes: pick(y.type.shape) });
        const from = [...index];
        spatial.forEach((axis, i) => (from[axis] = position.at[i] as KValue));
        body(kernel.element(x, { index: from, mask: position.inside }), position);
      });
    kernel.store(reduce({ kernel, window, sizes, forEachElement }), { index });
  });
  return [kernel.launch({ decision: "one window per invocation" })];
}

export const maxPool: GpuKernel = {
  name: "maxPool",
  ops: ["maxPool"],
  when: () => true,
  lower: (site) =>
    lowerPool(site, ({ kernel: { k }, forEachElement }) => {
      const dtype = computeType((site.anchor.outputs[0] as Value).type.dtype);
      const largest = k.local("largest", dtype, isFloat(dtype) ? -Infinity : DTYPE_INFO[dtype].min);
      forEachElement((element, { inside }) => {
        const next = kernelMath.ieeeMax(k, k.read(largest), element);
        k.assign(largest, inside === undefined ? next : k.select(inside, next, k.read(largest)));
      });
      return k.read(largest);
    }),
};

export const averagePool: GpuKernel = {
  name: "averagePool",
  ops: ["averagePool"],
  when: () => true,
  lower: (site) =>
    lowerPool(site, ({ kernel: { k }, window, sizes, forEachElement }) => {
      const dtype = computeType((site.anchor.outputs[0] as Value).type.dtype);
      const sum = k.local("sum", dtype, 0);
      const count = k.local("count", "index", 0);
      const countPadding = site.anchor.attrs["countIncludePad"] === true;
      forEachElement((element, { inside, at: position }) => {
        k.assign(sum, k.add(k.read(sum), element));
        let counted = inside;
        if (countPadding) {
          // A last window of ceil mode may reach beyond the padding, where nothing counts.
          const within = position.map((at, i) =>
            k.lt(at, k.add(k.index(sizes[i] as Dim), window.padsAfter[i] as number)),
          );
          counted = within.reduce((all, one) => k.and(all, one));
        }
        k.assign(count, k.add(k.read(count), counted === undefined ? 1 : k.select(counted, k.index(1), k.index(0))));
      });
      return k.div(k.read(sum), k.cast(k.read(count), dtype));
    }),
};
