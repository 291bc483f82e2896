/** How many tensors of a model are stored in which type. */

import type { BlockType } from "@quern/core";
import { tensorBytes } from "@quern/importers/gguf";

export interface TypeRow {
  readonly type: string;
  readonly tensors: number;
  readonly weights: number;
  readonly bytes: number;
}

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** One row per type, those with most bytes first. */
export function typeSummary(
  tensors: readonly { readonly name: string; readonly shape: readonly number[]; readonly type: BlockType }[],
): TypeRow[] {
  const rows = new Map<string, TypeRow>();
  for (const tensor of tensors) {
    const type = tensor.type.name;
    const { tensors: count, weights, bytes } = rows.get(type) ?? { tensors: 0, weights: 0, bytes: 0 };
    rows.set(type, {
      type,
      tensors: count + 1,
      weights: weights + elementsOf(tensor.shape),
      bytes: bytes + tensorBytes(tensor),
    });
  }
  return [...rows.values()].sort((a, b) => b.bytes - a.bytes);
}
