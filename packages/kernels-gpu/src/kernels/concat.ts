/**
 * concat: one launch per input copies it to its place along the axis, an element per invocation.
 */

import { type Dim, GroupKernel, type KValue, type Value, dimAdd, flatten, storeAs } from "@quern/core";
import type { GpuKernel } from "./kernel.ts";
import { nest } from "./nest.ts";

export const concat: GpuKernel = {
  name: "concat",
  ops: ["concat"],
  when: () => true,
  lower: (site) => {
    const axis = site.anchor.attrs["axis"] as number;
    const y = site.anchor.outputs[0] as Value;
    let start: Dim = 0;
    return (site.anchor.inputs as readonly Value[]).map((x, at) => {
      const kernel = new GroupKernel(`concat_${at}`, site);
      const { k } = kernel;
      const first = k.index(start);
      nest(k, x.type.shape, (index) => {
        const place = index.with(axis, k.add(index[axis] as KValue, first));
        const element = kernel.element(x, { index });
        // Behind the work that was fused onto the result.
        const result = kernel.epilogue(element, { index: place });
        storeAs(k, kernel.output(), flatten(k, place, y.type.shape), result);
      });
      start = dimAdd(start, x.type.shape[axis] as Dim);
      return kernel.launch({ decision: "one copy per input" });
    });
  },
};
