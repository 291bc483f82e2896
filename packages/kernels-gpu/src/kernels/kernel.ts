/**
 * The record of a GPU kernel: for which ops, when it applies, and how it is made.
 *
 * The first record of the list whose `when` holds is lowered.
 */

import type { KernelSite, Launch } from "@quern/core";

export interface GpuKernel {
  readonly name: string;
  /** Ops of anchors that it computes. */
  readonly ops: readonly string[];
  /** `true`, or the reason why it does not apply. */
  when(site: KernelSite): true | string;
  /** The launches, in order. */
  lower(site: KernelSite): readonly Launch[];
}
