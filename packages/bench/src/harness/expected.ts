/** The outputs that models are compared with: what the baseline, unoptimised and on one thread, makes of the same inputs. */

import type { Workload } from "../cases/workload.ts";
import type { EngineOptions } from "../engines/engine.ts";
import { engineNamed } from "../engines/index.ts";
import type { Result } from "../results/schema.ts";
import { IDLE, withProcess } from "./engine-process.ts";
import { reasonOf } from "./failures.ts";
import type { GroupSettings } from "./interleave.ts";

/**
 * Lets `oracle` compute what all engines must give. Out: why it could not, or not for all inputs; undefined where it did, where
 * the case needs none, and where it is not installed. Without its outputs only those beside the model are compared: the case can
 * still be measured.
 */
export async function makeExpected(
  oracle: string,
  workload: Workload,
  settings: GroupSettings,
): Promise<string | undefined> {
  if (workload.check.kind !== "files") return undefined;
  const options: EngineOptions = { threads: 1, precision: "highest", idle: IDLE, optimise: false };
  try {
    await engineNamed(oracle).describe(options);
  } catch {
    return undefined;
  }
  const { seed, sliceMs } = settings;
  const job = { engine: oracle, options, workload, seed, sliceMs, process: 0 };
  try {
    await withProcess("the oracle", (process) => process.ask({ kind: "expect", job }, settings.timeoutMs));
    return undefined;
  } catch (error) {
    settings.signal?.throwIfAborted();
    return reasonOf(error);
  }
}

/** The row, with a note where outputs could not be compared since the oracle failed. */
export function withOracleNote(row: Result, failure: string | undefined): Result {
  if (failure === undefined || row.phase !== "steady") return row;
  const text = `expected outputs could not all be computed: ${failure.split("\n", 1)[0]}`;
  return { ...row, note: row.note === undefined ? text : `${row.note}; ${text}` };
}
