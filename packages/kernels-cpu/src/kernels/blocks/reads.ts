/** Which operands this package's kernels read in the blocks they are stored in; the others become f32 before they are used. */

import type { ConstantData, MatmulPrecision, Node } from "@quern/core";
import { FLOAT_ENCODINGS } from "./float-panels.ts";
import { PANEL_ROWS } from "./format.ts";
import { formatOf } from "./formats.ts";

/**
 * True for rows that are gathered, and, blocks at precision "medium" only, for the weights of linear layers: those of
 * `matmul(x, W, { transposeB: true })`, and those of experts whose rows fill panels.
 */
export function readsBlocks(
  node: Node,
  at: number,
  { encoding, shape }: ConstantData,
  precision: MatmulPrecision,
): boolean {
  if (encoding === undefined || shape.includes(0)) return false;
  const [blocks, floats] = [formatOf(encoding.name) !== undefined, FLOAT_ENCODINGS.has(encoding.name)];
  const multiplied = floats || (blocks && precision === "medium");
  if (node.op === "expertMatmul") return at === 2 && multiplied && (shape[1] as number) % PANEL_ROWS === 0;
  if (shape.length !== 2) return false;
  if (node.op === "gather") return (blocks || floats) && at === 0 && (node.attrs["axis"] ?? 0) === 0;
  if (node.op !== "matmul" || at !== 1 || !multiplied) return false;
  const [left] = node.inputs;
  return node.attrs["transposeB"] === true && node.attrs["transposeA"] !== true && (left?.type.shape.length ?? 0) >= 2;
}
