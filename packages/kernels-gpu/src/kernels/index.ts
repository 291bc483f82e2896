/** The GPU kernel set; of several records for one op the first that applies is used. */

import { concat } from "./concat.ts";
import { convTiles } from "./conv-tiles.ts";
import { convDirect } from "./conv.ts";
import type { GpuKernel } from "./kernel.ts";
import { matmulDot, matmulTiles } from "./matmul.ts";
import { averagePool, maxPool } from "./pool.ts";

export const GPU_KERNELS: readonly GpuKernel[] = [
  matmulTiles,
  matmulDot,
  convTiles,
  convDirect,
  maxPool,
  averagePool,
  concat,
];
