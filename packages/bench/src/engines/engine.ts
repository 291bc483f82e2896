/**
 * What the harness needs of an engine: one record each.
 *
 * The cold phases are apart on purpose: `open` loads the engine's code (phase "load"; of Quern all but its core, which is
 * loaded and timed before), `compile` makes a model ready to run (phase "compile", and "compile-cached" in a later process
 * that finds kept kernels), the first `call` is phase "first-run", later ones "steady". Everything that is not the engine's own
 * work (making feeds, reading outputs) has a method of its own and is never timed.
 */

import type { MatmulPrecision } from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";
import type { ModelValue } from "../cases/model.ts";
import type { Workload } from "../cases/workload.ts";
import type { EngineRecord } from "../results/schema.ts";

export interface EngineOptions {
  readonly threads: number;
  readonly precision: MatmulPrecision;
  /** Target features, for instance "avx2"; undefined: all that the machine has. */
  readonly features?: string | undefined;
  /** What idle engines do: "stopped" ones may spin between calls, since they are stopped while others are timed. */
  readonly idle: "stopped" | "blocked";
  /** Folder where compiled kernels are kept for later processes; absent: nowhere. */
  readonly kernels?: string | undefined;
  /** Encoding that weights are quantised to when a model is loaded, for engines that do that. */
  readonly quantize?: string | undefined;
  /** For the oracle: as plain as the engine can. */
  readonly optimise?: boolean;
}

export interface Engine {
  readonly name: string;
  /** One line for `quern doctor`. */
  readonly about: string;
  /**
   * Of a record of an engine's default settings: the record of its best ones. Its thread budget is the engine's own; the row
   * says how many it used.
   */
  readonly variantOf?: string;
  /** The number of threads in the options does not bound it, as with the driver of a device. */
  readonly ownThreads?: boolean;
  /** It is made with `@quern/core`, whose loading is a part of loading the engine. */
  readonly madeWithCore?: boolean;
  readonly precisions: readonly MatmulPrecision[];
  /** Whether the engine keeps compiled kernels in the folder `kernels` of the options. */
  readonly keepsKernels: boolean;
  /** Whether the engine takes `quantize` of the options; others compute with the weights of the file. */
  readonly quantises: boolean;
  /** Whether the engine keeps to `features` of the options; others use what the machine has. */
  readonly takesFeatures?: boolean;
  /** Identity and settings; throws a `UserError` saying how to get the engine where it is missing. */
  describe(options: EngineOptions): Promise<EngineRecord>;
  /** Why the engine cannot run the workload; undefined when it can try. */
  supports(workload: Workload, options: EngineOptions): string | undefined;
  open(options: EngineOptions): Promise<OpenEngine>;
}

export interface OpenEngine {
  /**
   * All that the engine does before it can run, what goes on in the background included. `inputs`, where they are known: an
   * engine that compiles for sizes makes ready for theirs, instead of doing it in the first run.
   */
  compile(modelPath: string, inputs?: TensorSet): Promise<CompiledModel>;
  close(): Promise<void>;
}

/** What `bind` made of an input set, and what `call` returned: opaque to the harness. */
export type Feeds = unknown;
export type Fetched = unknown;

export interface CompiledModel {
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** Whether `call` returns a promise. */
  readonly async: boolean;
  bind(inputs: TensorSet): Feeds;
  call(feeds: Feeds): Fetched | Promise<Fetched>;
  /** Outputs as tensors; valid until `release`. */
  tensors(fetched: Fetched): TensorSet;
  /** Gives the memory of outputs back; part of the timed call, as it is part of every use. */
  release(fetched: Fetched): void;
  facts(): CompiledFacts;
  /** Time of each part of the program, where the engine measures it. Runs the program a few times. */
  profile?(inputs: TensorSet): readonly { readonly name: string; readonly ms: number }[] | undefined;
  close(): Promise<void>;
}

export interface CompiledFacts {
  /** What it runs on, in the engine's words. */
  readonly device: string | null;
  readonly plannedPeakBytes: number | null;
  /** Of the model's products, convolutions and recurrent layers; null where the engine does not count. */
  readonly flops: number | null;
  /** true: operands of these are integers that the model dequantises, so that another engine may multiply the integers. */
  readonly dequantised?: boolean;
  /** At which precisions f32 products are computed, where the engine says: what was asked for, or a higher one. */
  readonly precisions?: readonly MatmulPrecision[];
}
