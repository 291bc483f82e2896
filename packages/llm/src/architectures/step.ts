/**
 * The frame of a step graph: its inputs, and attention over the cache.
 *
 * A step takes T tokens of any sequences: whole prompts, pieces of them, single tokens, mixed. Inputs, all i32 but for the
 * cache:
 *
 *   tokens, positions [T]   ids, and their positions in their sequences
 *   runs [R, 4], pages [S, P]   see the op `attention`
 *   outputs [O]             which of the T rows a result is wanted for
 *   keys.<layer>, values.<layer>, for q8_0 keyScales.<layer> and valueScales.<layer>   the cache, updated by the run
 */

import { type AttentionCache, type DType, type GraphScope, UserError, type Var } from "@quern/core";
import type { Hyperparameters } from "./hyperparameters.ts";

/** How keys and values are kept: as floats, or as bytes with an f16 scale for 32 elements of a head. */
export type CacheFormat = "f32" | "f16" | "bf16" | "q8_0";

const SCALED_BLOCK = 32;
const PAGE_QUANTUM = 16;
const MAX_PAGE = 2 ** 16;

const DTYPES: Readonly<Record<CacheFormat, DType>> = { f32: "f32", f16: "f16", bf16: "bf16", q8_0: "i8" };

export interface CacheOptions {
  readonly format: CacheFormat;
  /** Tokens of a page, a multiple of 16. */
  readonly pageSize: number;
}

export class Step {
  readonly scope: GraphScope;
  readonly tokens: Var;
  /** i32 `[T]`. */
  readonly positions: Var;
  readonly #hyper: Hyperparameters;
  readonly #outputs: Var;
  readonly #caches: readonly AttentionCache[];

  constructor(scope: GraphScope, hyper: Hyperparameters, options: CacheOptions) {
    checkCache(hyper, options);
    this.scope = scope;
    this.#hyper = hyper;
    this.tokens = scope.input("tokens", "i32", ["T"]);
    this.positions = scope.input("positions", "i32", ["T"]);
    const runs = scope.input("runs", "i32", ["R", 4]);
    const pages = scope.input("pages", "i32", ["S", "P"]);
    this.#outputs = scope.input("outputs", "i32", ["O"]);
    this.#caches = hyper.windows.map((_, layer) => ({ runs, pages, ...cacheInputs(scope, hyper, options, layer) }));
  }

  /**
   * Attention of one layer: q `[T, heads, headDim]`, k and v `[T, kvHeads, headDim]`, to `[T, heads · headDim]`. In the last
   * layer only the rows that `outputs` asks for come back, as from `kept`.
   */
  attend(layer: number, q: Var, k: Var, v: Var): Var {
    const { attentionScale, attentionSoftcap, windows, heads, headDim } = this.#hyper;
    const mixed = this.scope.attention(q, k, v, this.#caches[layer] as AttentionCache, {
      scale: attentionScale,
      ...(attentionSoftcap > 0 ? { softcap: attentionSoftcap } : {}),
      ...((windows[layer] as number) > 0 ? { window: windows[layer] as number } : {}),
    });
    return this.kept(layer, mixed.reshape([mixed.shape[0]!, heads * headDim]));
  }

  /**
   * The rows of `x` that go on behind the attention of `layer`: in the last one, `[O, …]`. Nothing reads the others any more,
   * so a prompt costs no feed-forward there.
   */
  kept(layer: number, x: Var): Var {
    return layer === this.#hyper.layers - 1 ? x.gather(this.#outputs) : x;
  }
}

function cacheInputs(
  scope: GraphScope,
  { kvHeads, headDim }: Hyperparameters,
  { format, pageSize }: CacheOptions,
  layer: number,
): Pick<AttentionCache, "keys" | "values" | "keyScales" | "valueScales"> {
  const dtype = DTYPES[format];
  const input = (name: string, type: DType, shape: readonly number[]): Var =>
    scope.input(`${name}.${layer}`, type, ["N", kvHeads, ...shape]);
  const keys = input("keys", dtype, [headDim, pageSize]);
  const values = input("values", dtype, [pageSize, headDim]);
  if (format !== "q8_0") return { keys, values };
  const blocks = headDim / SCALED_BLOCK;
  return {
    keys,
    values,
    keyScales: input("keyScales", "f16", [blocks, pageSize]),
    valueScales: input("valueScales", "f16", [pageSize, blocks]),
  };
}

function checkCache({ headDim }: Hyperparameters, { format, pageSize }: CacheOptions): void {
  if (!Object.hasOwn(DTYPES, format))
    throw new UserError(`cache format "${String(format)}" is unknown`, {
      hint: `one of ${Object.keys(DTYPES).join(", ")}`,
    });
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > MAX_PAGE || pageSize % PAGE_QUANTUM !== 0)
    throw new UserError(`a page of ${pageSize} tokens`, {
      hint: `give a multiple of ${PAGE_QUANTUM}, up to ${MAX_PAGE}`,
    });
  if (format === "q8_0" && headDim % SCALED_BLOCK !== 0)
    throw new UserError(
      `a q8_0 cache needs heads of a multiple of ${SCALED_BLOCK} elements, this model has ${headDim}`,
      {
        hint: "take an f16 cache",
      },
    );
}
