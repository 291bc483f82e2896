/**
 * Chooses how each site of the fused graph is computed: the cheapest kernel that applies, the generic lowering, or the
 * reference implementation on the host for ops that have no kernel.
 */

import { type KernelSite, type Launch, UnsupportedError, debug, findOp, lowerGeneric } from "@quern/core";
import { CPU_KERNELS } from "../kernels/index.ts";
import type { CpuKernel, KernelEnvironment } from "../kernels/kernel.ts";

export interface Candidate {
  readonly kernel: string;
  /** Estimated nanoseconds, or why the kernel does not apply. */
  readonly verdict: number | string;
}

export type Choice =
  | { readonly kind: "kernels"; readonly launches: readonly Launch[]; readonly candidates: readonly Candidate[] }
  | { readonly kind: "host"; readonly reason: string; readonly candidates: readonly Candidate[] };

/** Throws an `UnsupportedError` where not even the host can compute the site. */
export function chooseKernel(site: KernelSite, environment: KernelEnvironment): Choice {
  const candidates: Candidate[] = [];
  let best: CpuKernel | undefined;
  let lowest = Infinity;
  for (const kernel of CPU_KERNELS) {
    if (!kernel.ops.includes(site.anchor.op)) continue;
    const applies = kernel.when(site, environment);
    const verdict = applies === true ? kernel.cost(site, environment) : applies;
    candidates.push({ kernel: kernel.name, verdict });
    if (typeof verdict === "number" && verdict < lowest) [best, lowest] = [kernel, verdict];
  }
  const generic = best === undefined ? (unsupportedTypes(site) ?? generate(site)) : undefined;
  const launches = best?.lower(site, environment) ?? (typeof generic === "object" ? [generic] : []);
  debug(
    3,
    () => `${site.node.name ?? site.anchor.op}: ${printCandidates(candidates) || "no kernel of its own"}`,
    launches.map(({ kernel }) => kernel.name),
  );
  if (launches.length > 0) return { kind: "kernels", launches, candidates };
  if (findOp(site.anchor.op).reference === undefined) {
    throw new UnsupportedError({
      op: site.anchor.op,
      target: "cpu",
      where: site.node.name,
      reason: "no kernel and no reference implementation",
    });
  }
  return { kind: "host", reason: (generic as string | undefined) ?? `no kernel for ${site.anchor.op}`, candidates };
}

/** The generic lowering, or why it cannot compute the site, such as math functions that no target has in f64. */
function generate(site: KernelSite): Launch | string | undefined {
  try {
    return lowerGeneric(site, site.body.name.slice(0, 60));
  } catch (error) {
    if (error instanceof UnsupportedError) return error.message;
    throw error;
  }
}

export function printCandidates(candidates: readonly Candidate[]): string {
  return candidates
    .map(({ kernel, verdict }) =>
      typeof verdict === "number" ? `${kernel}: ${Math.round(verdict)} ns` : `${kernel}: no, ${verdict}`,
    )
    .join("; ");
}

/** Types that generated pointwise code does not compute exactly as the reference does. */
function unsupportedTypes(site: KernelSite): string | undefined {
  for (const node of site.body.nodes) {
    for (const { type } of node.outputs) if (type.dtype === "u64") return "u64 arithmetic";
  }
  return undefined;
}
