/** What a program needs to know of a kernel beside its code: enough to be kept on disk with it. */

import { type Dim, type DType, taskDim } from "@quern/core";
import type { Access, Kernel, ScalarParam } from "@quern/core/kernel";

export interface KernelFace {
  readonly name: string;
  /** How each buffer is used, in the order of the operands. */
  readonly buffers: readonly Access[];
  readonly scalars: readonly ScalarParam[];
  /** Dimension symbols, passed behind the scalars. */
  readonly symbols: readonly string[];
  readonly scratch: readonly { readonly dtype: DType; readonly size: Dim }[];
  readonly tasks: Dim;
}

export function faceOf(kernel: Kernel): KernelFace {
  const { name, buffers, scalars, symbols, scratch } = kernel;
  return {
    name,
    buffers: buffers.map(({ access }) => access),
    scalars,
    symbols,
    scratch: scratch.map(({ dtype, size }) => ({ dtype, size })),
    tasks: taskDim(kernel),
  };
}
