/**
 * Direct convolution: one result per invocation, loops over input channels and taps. Any spatial rank, layout, groups.
 */

import {
  GroupKernel,
  type Dim,
  type KernelSite,
  type KValue,
  type Value,
  computeType,
  dimMul,
  shapeSize,
} from "@quern/core";
import type { GpuKernel } from "./kernel.ts";
import { forEachTap, imageAxes, nest, positionOf, windowOf } from "./nest.ts";

export const convDirect: GpuKernel = {
  name: "conv_direct",
  ops: ["conv"],
  when: () => true,
  lower: (site: KernelSite) => {
    const [x, w, bias] = site.anchor.inputs as [Value, Value, Value | undefined];
    const y = site.anchor.outputs[0] as Value;
    const { attrs } = site.anchor;
    const window = windowOf(attrs, w.type.shape.slice(2) as number[]);
    const { channel, spatial } = imageAxes(attrs, x.type.shape.length);
    const groups = (attrs["groups"] as number | undefined) ?? 1;
    const inPerGroup = w.type.shape[1] as Dim;
    const kernel = new GroupKernel(`conv_direct_${window.kernel.join("x")}`, site);
    const { k } = kernel;
    const pick = <T>(list: readonly T[]): T[] => spatial.map((axis) => list[axis] as T);
    const extents = { sizes: pick(x.type.shape), outSizes: pick(y.type.shape) };
    nest(k, y.type.shape, (index) => {
      const out = index[channel] as KValue;
      const dtype = computeType(y.type.dtype);
      const sum = k.local("sum", dtype, 0);
      const firstIn =
        groups === 1
          ? k.index(0)
          : k.mul(k.div(out, k.div(k.index(w.type.shape[0] as Dim), groups)), k.index(inPerGroup));
      k.for({ end: inPerGroup }, (c) => {
        forEachTap(k, window.kernel, (tap) => {
          const { at, inside } = positionOf(k, window, pick(index), tap, extents);
          const from = [...index];
          from[channel] = k.add(firstIn, c);
          spatial.forEach((axis, i) => (from[axis] = at[i] as KValue));
          const element = kernel.element(x, { index: from, mask: inside });
          const weight = kernel.element(w, { index: [out, c, ...tap] });
          k.assign(sum, k.fma(element, weight, k.read(sum)));
        });
      });
      const total = bias === undefined ? k.read(sum) : k.add(k.read(sum), kernel.element(bias, { index: [out] }));
      kernel.store(total, { index });
    });
    const flops = dimMul(shapeSize(y.type.shape), dimMul(shapeSize(w.type.shape.slice(1)), 2));
    return [kernel.launch({ decision: "direct convolution", flops })];
  },
};
