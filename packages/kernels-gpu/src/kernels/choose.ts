/**
 * Chooses how each site of the fused graph is computed: a kernel of the set, or the generic lowering.
 */

import { type KernelSite, type Launch, UnsupportedError, debug, lowerGeneric } from "@quern/core";
import { GPU_KERNELS } from "./index.ts";

/** The launches of a site. Throws an `UnsupportedError` where there is no kernel. */
export function choose(site: KernelSite): readonly Launch[] {
  const { op } = site.anchor;
  for (const type of site.body.nodes.flatMap((node) => node.outputs.map((output) => output.type))) {
    if (type.dtype === "i64" || type.dtype === "u64" || type.dtype === "f64") {
      throw new UnsupportedError({ op, dtype: type.dtype, target: "gpu", reason: "WGSL has no 64-bit types" });
    }
  }
  for (const kernel of GPU_KERNELS) {
    if (!kernel.ops.includes(op)) continue;
    const applies = kernel.when(site);
    debug(3, () => `${site.node.name ?? op}: ${kernel.name}${applies === true ? "" : `: no, ${applies}`}`, [
      kernel.name,
    ]);
    if (applies === true) return kernel.lower(site);
  }
  const launch = lowerGeneric(site, site.body.name.slice(0, 60));
  if (launch === undefined) throw new UnsupportedError({ op, target: "gpu", reason: "no kernel for it" });
  return [launch];
}
