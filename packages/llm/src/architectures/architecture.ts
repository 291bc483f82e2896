/** What an architecture is: how its metadata is read, and how a step of it is computed. One file beside this one for each. */

import type { Var } from "@quern/core";
import type { Hyperparameters } from "./hyperparameters.ts";
import type { ArchitectureKeys } from "./keys.ts";
import type { Step } from "./step.ts";
import type { Weights } from "./weights.ts";

export interface Model {
  readonly hyper: Hyperparameters;
  readonly weights: Weights;
  readonly step: Step;
  /** Longest sequence that the graph will see, in tokens: some models choose constants by it. */
  readonly contextLength: number;
}

export interface Architecture {
  /** As `general.architecture` names it. */
  readonly name: string;
  /** Throws a `UserError` where keys are missing or contradict each other. */
  readonly read: (keys: ArchitectureKeys) => Hyperparameters;
  /** The state behind the last norm, `[O, width]` for the rows that `outputs` asks for. Logits follow from it. */
  readonly build: (model: Model) => Var;
}
