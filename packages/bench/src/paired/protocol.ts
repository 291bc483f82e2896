/** Messages between the orchestrator of a pair and the process of one arm. */

import type { LoadedFile } from "./arms/arm.ts";
import type { LoopMode, Timed } from "./loops.ts";

/** A full collection takes longer than a slice, a minor one of young objects a fraction of it. */
export type Collection = "none" | "minor" | "full";

export interface Opened {
  /** Rough time of a call, ns. */
  readonly callNs: number;
  /** Time to make one input set, ms; 0: the bench has no inputs. */
  readonly makeMs: number;
  /** Time of a reading of the clock, ns. */
  readonly timerNs: number;
  /** Time of an empty call, ns; null where the bench is far slower. */
  readonly emptyNs: number | null;
}

export interface Warmed {
  readonly callNs: number;
  /** False: the speed still changed when the warm-up had been extended as often as allowed. */
  readonly steady: boolean;
  readonly slices: number;
}

export interface CheckOutcome {
  /** Kept outputs of timed calls that were compared. */
  readonly checked: number;
  readonly maxError: number | null;
  /** What is wrong, or null. */
  readonly fault: string | null;
}

export type PairedRequest =
  | { readonly kind: "load"; readonly file: string; readonly reserved: boolean }
  | {
      readonly kind: "open";
      readonly id: string;
      /** Of the pair: every pair gets inputs of its own. */
      readonly index: number;
      readonly seed: number;
      readonly directory: string;
      /** Garbage collected after: what all benches of a process have left is collected once. */
      readonly collect: Collection;
    }
  | {
      readonly kind: "warm";
      readonly id: string;
      readonly mode: LoopMode;
      readonly warmUpMs: number;
      readonly sliceMs: number;
    }
  | {
      readonly kind: "slice";
      readonly id: string;
      /** Input set that the first timed call gets: the same in both arms. */
      readonly first: number;
      /** How many input sets are renewed before. */
      readonly renew: number;
      /** Garbage collected before. */
      readonly collect: Collection;
    }
  | { readonly kind: "finish"; readonly id: string }
  | { readonly kind: "files" }
  /** Tears down what is still open. */
  | { readonly kind: "close" };

export type PairedResponse =
  | { readonly kind: "load"; readonly ids: readonly string[] }
  | { readonly kind: "open"; readonly opened: Opened }
  | { readonly kind: "warm"; readonly warmed: Warmed }
  | ({ readonly kind: "slice" } & Timed)
  | { readonly kind: "finish"; readonly check: CheckOutcome }
  | { readonly kind: "files"; readonly files: readonly LoadedFile[] }
  | { readonly kind: "close" };
