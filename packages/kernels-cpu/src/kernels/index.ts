/** The CPU kernel set: every kernel record, in no particular order (cost decides). */

import { convAmx } from "./amx/conv.ts";
import { matmulBlocksAmx, matmulFloatsAmx } from "./amx/matmul-stored.ts";
import { matmulAmx } from "./amx/matmul.ts";
import { expertMatmulFloats, expertMatmulRows } from "./blocks/expert-matmul-floats.ts";
import { expertMatmulBlocks } from "./blocks/expert-matmul.ts";
import { gatherBlocks } from "./blocks/gather.ts";
import { matmulFloats } from "./blocks/matmul-floats.ts";
import { matmulBlocks } from "./blocks/matmul.ts";
import { attentionAmx, attentionF32 } from "./attention/attention.ts";
import { convDepthwise } from "./conv/depthwise.ts";
import { convTiles } from "./conv/conv-tiles.ts";
import { averagePoolF32, maxPoolF32 } from "./conv/pooling.ts";
import { matmulDynamicF32 } from "./gemm/matmul-dynamic.ts";
import { matmulF32 } from "./gemm/matmul.ts";
import { argExtreme, running } from "./indexing/along-axis.ts";
import { gatherElements, gatherRuns, gatherTuples } from "./indexing/gather.ts";
import { oneHotRows, rangeSteps, triangle } from "./indexing/generators.ts";
import { scatterElements, scatterTuples } from "./indexing/scatter.ts";
import { topKList } from "./indexing/top-k.ts";
import type { CpuKernel } from "./kernel.ts";
import { concatRuns } from "./movement/concat.ts";
import { padCopy } from "./movement/pad.ts";
import { viewCopy } from "./movement/view-copy.ts";
import { recurrentF32 } from "./recurrent/recurrent.ts";
import { resizeTables } from "./resize/resize.ts";

export { readsBlocks } from "./blocks/reads.ts";

export const CPU_KERNELS: readonly CpuKernel[] = [
  matmulAmx,
  matmulBlocksAmx,
  matmulFloatsAmx,
  convAmx,
  matmulF32,
  matmulBlocks,
  matmulFloats,
  matmulDynamicF32,
  expertMatmulBlocks,
  expertMatmulFloats,
  expertMatmulRows,
  convTiles,
  convDepthwise,
  maxPoolF32,
  averagePoolF32,
  recurrentF32,
  attentionAmx,
  attentionF32,
  concatRuns,
  viewCopy,
  padCopy,
  gatherBlocks,
  gatherRuns,
  gatherTuples,
  gatherElements,
  scatterTuples,
  scatterElements,
  argExtreme,
  topKList,
  running,
  oneHotRows,
  triangle,
  rangeSteps,
  resizeTables,
];
