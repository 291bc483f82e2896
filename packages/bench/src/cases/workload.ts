/**
 * A workload: one model file with its inputs and the way to check its outputs, as plain data.
 *
 * Every case, be it a matrix product, a single op or a user's model, becomes a workload before it is measured, so
 * that all engines get the same file and the same inputs. It crosses process borders, hence no functions: inputs are
 * recipes that every process follows to the same numbers.
 */

import type { DType } from "@quern/core";
import type { CacheState } from "./caches.ts";

/** How the values of one input are made; fresh ones for every set of the pool. */
export type Fill =
  /** Of that root mean square; `draws.ts` has what the sets of a pool are. */
  | { readonly kind: "normal"; readonly scale: number }
  | { readonly kind: "integers"; readonly below: number }
  /** Values of files; in sets beyond them floats get noise of `noise` times their rms, and integers change places. */
  | { readonly kind: "files"; readonly files: readonly string[]; readonly noise: number };

export interface InputRecipe {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly fill: Fill;
}

/** What the outputs are compared with. */
export type Check =
  /** y = x · b in float64 at sampled places and along random projections. */
  | {
      readonly kind: "matmul";
      readonly m: number;
      readonly k: number;
      readonly n: number;
      readonly weightsOffset: number | null;
    }
  /** Float64 formula of the op case of that name. */
  | { readonly kind: "op"; readonly op: string; readonly rows: number; readonly columns: number }
  /** `set-<i>/out-<name>.npy` files; sets without files are not checked. */
  | { readonly kind: "files"; readonly directory: string; readonly oracle: string };

export interface Workload {
  /** For instance "gemm/1024x1024x1024", "op/softmax", "model/mnist-12". */
  readonly id: string;
  readonly kind: "gemm" | "op" | "model";
  readonly dtype: DType;
  /** For people: "1024x1024x1024" or "1x3x240x320". */
  readonly shape: string;
  readonly modelPath: string;
  readonly inputs: readonly InputRecipe[];
  /** Number of input sets in the pool. */
  readonly sets: number;
  /** What the caches hold when a call begins; absent: as with "rotating". */
  readonly cache?: CacheState;
  readonly check: Check;
  /** Arithmetic and memory traffic that the case cannot do without; null where no formula is known. */
  readonly flops: number | null;
  readonly bytes: number | null;
  /** true: products of integers may stand for those that `flops` counts, since the model dequantises their operands. */
  readonly dequantised?: boolean;
}
