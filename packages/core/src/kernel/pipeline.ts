/**
 * The passes on kernels, in order: the table of contents of kernel compilation before a target selects instructions.
 *
 * In: a recorded kernel. Out: a kernel for the target: explicit vectors when `vectors` is given (CPUs), the element
 * level otherwise (WGSL). The kernel is verified before the first pass and after every pass that is asked to be.
 */

import { hoist } from "./hoist.ts";
import type { Kernel, Stmt } from "./ir.ts";
import { simplifyIndex } from "./simplify-index.ts";
import { unrollLoops } from "./unroll.ts";
import { type VectoriseOptions, vectorise } from "./vectorise.ts";
import { verifyKernel } from "./verify.ts";

export interface KernelPipelineOptions {
  /** Turns `each` and `reduce` into vector loops. */
  readonly vectors?: VectoriseOptions | undefined;
  /** Checks the kernel after every pass, not only at the ends. */
  readonly verify?: boolean;
  /** Called with the kernel after each pass. */
  readonly trace?: (pass: string, kernel: Kernel) => void;
  readonly decision?: (statement: Stmt, text: string) => void;
}

export interface KernelPass {
  readonly name: string;
  run(kernel: Kernel, options: KernelPipelineOptions): Kernel;
}

export const KERNEL_PASSES: readonly KernelPass[] = [
  { name: "simplify index", run: simplifyIndex },
  {
    name: "vectorise",
    run: (kernel, { vectors, decision }) => {
      if (vectors === undefined) return kernel;
      return vectorise(kernel, decision === undefined ? vectors : { decision, ...vectors });
    },
  },
  { name: "unroll", run: unrollLoops },
  { name: "simplify index again", run: simplifyIndex },
  { name: "hoist", run: hoist },
];

export function legaliseKernel(kernel: Kernel, options: KernelPipelineOptions = {}): Kernel {
  verifyKernel(kernel);
  let current = kernel;
  for (const pass of KERNEL_PASSES) {
    current = pass.run(current, options);
    if (options.verify) verifyKernel(current);
    options.trace?.(pass.name, current);
  }
  verifyKernel(current);
  return current;
}
