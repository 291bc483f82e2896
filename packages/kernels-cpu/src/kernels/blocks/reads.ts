/** Which operands this package's kernels read in the blocks they are stored in; the others become f32 before they are used. */

import type { ConstantData, MatmulPrecision, Node } from "@quern/core";
import { FLOAT_ENCODINGS } from "./float-panels.ts";
import { formatOf } from "./formats.ts";

/** True for rows that are gathered, and for the weights of a linear layer, `matmul(x, W, { transposeB: true })`, at precision "medium". */
export function readsBlocks(
  node: Node,
  at: number,
  { encoding, shape }: ConstantData,
  precision: MatmulPrecision,
): boolean {
  if (encoding === undefined || shape.length !== 2 || shape.includes(0)) return false;
  const [blocks, floats] = [formatOf(encoding.name) !== undefined, FLOAT_ENCODINGS.has(encoding.name)];
  if (node.op === "gather") return (blocks || floats) && at === 0 && (node.attrs["axis"] ?? 0) === 0;
  if (node.op !== "matmul" || at !== 1 || !(floats || (blocks && precision === "medium"))) return false;
  const [left] = node.inputs;
  return node.attrs["transposeB"] === true && node.attrs["transposeA"] !== true && (left?.type.shape.length ?? 0) >= 2;
}
