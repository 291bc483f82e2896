/** The sizes of a model, and how they may be changed. */

import { UserError } from "@quern/core";

/** What a model's tensors and metadata follow from. All sizes are numbers of elements. */
export interface ModelShape {
  /** `general.architecture`. */
  readonly architecture: string;
  readonly name: string;
  readonly layers: number;
  /** Of a token's state. */
  readonly width: number;
  readonly heads: number;
  /** Key/value heads: a divisor of `heads`. */
  readonly kvHeads: number;
  /** Of a query, key and value. */
  readonly headSize: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  /** Longest context in tokens. */
  readonly context: number;
  /** The embedding is the output head too. */
  readonly tied: boolean;
  readonly epsilon: number;
  /** Base of rotary position frequencies; absent where positions are learned. */
  readonly ropeBase?: number;
  /** How Llama 3.1 and later stretch their frequencies: `factor` times beyond `context` tokens. */
  readonly ropeScaling?: { readonly factor: number; readonly context: number };
  /** Tokens that a layer with a sliding window sees. */
  readonly window?: number;
  readonly experts?: { readonly count: number; readonly used: number; readonly feedForward: number };
}

/** Sizes given in place of those of a preset. */
export interface ShapeChanges {
  readonly layers?: number | undefined;
  readonly width?: number | undefined;
  readonly heads?: number | undefined;
  readonly kvHeads?: number | undefined;
  readonly headSize?: number | undefined;
  readonly feedForward?: number | undefined;
  readonly vocabulary?: number | undefined;
  readonly context?: number | undefined;
  readonly experts?: number | undefined;
}

const MULTIPLE = 32;

const rounded = (size: number): number => Math.max(MULTIPLE, Math.round(size / MULTIPLE) * MULTIPLE);

/**
 * A shape with changes. What is not given follows: heads of the same size, as many query heads per key/value head where
 * that divides, the same ratio of feed-forward size to width. `freeHeads`: the size of heads need not be width / heads.
 * Throws a `UserError` where sizes do not fit together.
 */
export function changeShape(shape: ModelShape, changes: ShapeChanges, freeHeads: boolean): ModelShape {
  const width = changes.width ?? shape.width;
  const heads = changes.heads ?? Math.max(1, Math.round((shape.heads * width) / shape.width));
  const perKv = shape.heads / shape.kvHeads;
  const kvHeads = changes.kvHeads ?? (heads % perKv === 0 ? heads / perKv : heads);
  const headSize = changes.headSize ?? (freeHeads ? shape.headSize : width / heads);
  const { experts } = shape;
  const changed: ModelShape = {
    ...shape,
    layers: changes.layers ?? shape.layers,
    width,
    heads,
    kvHeads,
    headSize,
    feedForward: changes.feedForward ?? scaled(shape.feedForward, width, shape.width),
    vocabulary: changes.vocabulary ?? shape.vocabulary,
    context: changes.context ?? shape.context,
    ...(experts === undefined
      ? {}
      : {
          experts: {
            count: changes.experts ?? experts.count,
            used: Math.min(experts.used, changes.experts ?? experts.count),
            feedForward: changes.feedForward ?? scaled(experts.feedForward, width, shape.width),
          },
        }),
  };
  checkShape(changed, freeHeads);
  return changed;
}

function scaled(size: number, width: number, from: number): number {
  return width === from ? size : rounded((size * width) / from);
}

function checkShape({ width, heads, kvHeads, headSize }: ModelShape, freeHeads: boolean): void {
  const hint = "Change --width, --heads or --kv-heads.";
  if (width % MULTIPLE !== 0) throw new UserError(`the width ${width} is no multiple of ${MULTIPLE}`, { hint });
  if (heads % kvHeads !== 0) throw new UserError(`${heads} heads cannot share ${kvHeads} key/value heads`, { hint });
  if (!freeHeads && (!Number.isInteger(headSize) || headSize * heads !== width)) {
    throw new UserError(`${heads} heads do not divide the width ${width}`, { hint });
  }
  if (!Number.isInteger(headSize) || headSize % 2 !== 0) {
    throw new UserError(`heads have the size ${headSize}, an even number is needed`, { hint });
  }
}
