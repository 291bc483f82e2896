/**
 * Inputs of an engine stay what they are: an engine that writes to them gives later calls other work, and one that gives
 * them back as outputs is changed from outside.
 */

import type { TensorSet } from "../cases/inputs.ts";
import { aliases } from "../paired/outputs.ts";
import { checksum } from "../paired/values.ts";
import type { Verification } from "./verify.ts";

const ORACLE = "inputs as they were made";

function fault(message: string): Verification {
  return { ok: false, maxError: null, rmsError: null, tolerance: null, oracle: ORACLE, message };
}

export class InputGuard {
  readonly #sets: readonly TensorSet[];
  readonly #sums: readonly ReadonlyMap<string, number>[];

  /** Remembers what the sets hold now. */
  constructor(sets: readonly TensorSet[]) {
    this.#sets = sets;
    this.#sums = sets.map((set) => new Map(Object.entries(set).map(([name, tensor]) => [name, checksum(tensor.data)])));
  }

  /** What is wrong if an output of set `set` lies in the memory of one of its inputs. */
  shared(set: number, outputs: TensorSet): Verification | undefined {
    for (const [name, { data }] of Object.entries(outputs)) {
      for (const [input, tensor] of Object.entries(this.#sets[set] ?? {})) {
        if (aliases(data, tensor.data)) return fault(`output "${name}" lies in the memory of the input "${input}"`);
      }
    }
    return undefined;
  }

  /** What is wrong if any input is no longer what it was. */
  changed(): Verification | undefined {
    for (const [index, set] of this.#sets.entries()) {
      for (const [name, sum] of this.#sums[index] as ReadonlyMap<string, number>) {
        const tensor = set[name];
        if (tensor !== undefined && checksum(tensor.data) !== sum)
          return fault(`input "${name}" of set ${index} was written to by the engine`);
      }
    }
    return undefined;
  }
}
