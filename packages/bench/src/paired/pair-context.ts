/** What the steps of one pair of processes share: what was asked for, and what there is so far. */

import type { Random } from "../harness/random.ts";
import type { ArmProcessOptions } from "./arm-process.ts";
import type { BenchGroup } from "./groups.ts";
import type { Order } from "./order.ts";
import type { PairOutcomes } from "./pair-outcomes.ts";
import type { PairProcesses } from "./pair-processes.ts";
import type { MeasureMemory, MeasurePlan } from "./plan.ts";

export interface PairSettings extends MeasurePlan {
  readonly index: number;
  /** Place in the balanced sequence of orders. */
  readonly orderIndex: number;
  readonly processOptions: ArmProcessOptions;
  readonly modes: MeasureMemory["modes"];
  /** Ask which files were loaded. */
  readonly listFiles: boolean;
}

export interface PairContext {
  readonly group: BenchGroup;
  readonly settings: PairSettings;
  readonly orders: { readonly spawn: Order; readonly warmUp: Order };
  /** One stream for all that is drawn, in the order of the steps. */
  readonly random: Random;
  readonly processes: PairProcesses;
  readonly outcomes: PairOutcomes;
}
