/**
 * The passes on kernels, in order: the table of contents of kernel compilation before a target selects instructions.
 *
 * In: a recorded kernel. Out: a kernel for the target: explicit vectors when `vectors` is given (CPUs), the element
 * level otherwise (WGSL). With `verify` the kernel is checked before the first pass and after each.
 */

import { someStatement } from "./finish.ts";
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
  readonly verify?: boolean | undefined;
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
  if (options.verify) verifyKernel(kernel);
  // Kernels written with explicit vectors have nothing to legalise, and selection hoists by itself.
  if (!someStatement(kernel.body, ({ kind }) => kind === "each" || kind === "reduce") && !needsUnrolling(kernel))
    return kernel;
  let current = kernel;
  for (const pass of KERNEL_PASSES) {
    current = pass.run(current, options);
    if (options.verify) verifyKernel(current);
    options.trace?.(pass.name, current);
  }
  return current;
}

function needsUnrolling(kernel: Kernel): boolean {
  return someStatement(kernel.body, (statement) => statement.kind === "for" && statement.unroll > 1);
}
