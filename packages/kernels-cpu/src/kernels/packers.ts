/** All layouts of weights that kernels of this package read, by name. */

import type { Packer } from "@quern/core";
import { windowPacker } from "./amx/conv.ts";
import { termPanelPacker } from "./amx/gemm.ts";
import { floatPanelPacker } from "./blocks/float-panels.ts";
import { interleavePacker } from "./blocks/interleave.ts";
import { convWeightPacker } from "./conv/conv-tiles.ts";
import { tapPacker } from "./conv/depthwise.ts";
import { panelPacker } from "./gemm/pack.ts";
import { gatePacker } from "./recurrent/packing.ts";

// A packer reads the arguments that its kernel gave; a list of them forgets which.
export const PACKERS: readonly Packer[] = [
  panelPacker,
  termPanelPacker,
  convWeightPacker,
  windowPacker,
  tapPacker,
  gatePacker,
  interleavePacker,
  floatPanelPacker,
] as unknown as readonly Packer[];
