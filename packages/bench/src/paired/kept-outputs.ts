/**
 * Outputs of timed calls, chosen at random after the call, and verified when all is measured.
 *
 * What is kept is a copy of input and output as the call left them. Between other calls output buffers are poisoned, as
 * often in rounds of which nothing is kept.
 */

import type { Bench } from "../define/bench.ts";
import type { Random } from "../harness/random.ts";
import { aliases, allZero, buffersOf, faultOfNumbers, numbersOf, poison } from "./outputs.ts";
import type { CheckOutcome } from "./protocol.ts";
import { arraysWithin, checksum, copyValue } from "./values.ts";
import { OutputFault } from "./output-fault.ts";

/** Share of timed calls whose output is kept, up to the limits below. */
const KEPT_SHARE = 0.05;
const KEPT_IN_SLICE = 2;
const KEPT_IN_PROCESS = 16;
const KEPT_BYTES = 32 * 2 ** 20;
/** While nothing has been kept, one call in two is. */
const FIRST_SHARE = 0.5;
const POISONED_SHARE = 0.2;
/** Checks may be slower than the bench: at least one is made, and more while this much time has not passed. */
const CHECK_MS = 50;
/** Outputs of at least this many numbers cannot all be the same by chance. */
const TELLING = 8;

interface Kept {
  readonly input: unknown;
  readonly output: unknown;
}

export class KeptOutputs {
  readonly #bench: Bench;
  readonly #random: Random;
  readonly #kept: Kept[] = [];
  #bytes = 0;
  #inSlice = 0;

  constructor(bench: Bench, random: Random) {
    this.#bench = bench;
    this.#random = random;
  }

  startSlice(): void {
    this.#inSlice = 0;
  }

  /** Keeps the output, poisons its buffers, or leaves it. `demandUnchanged` throws if the input was written to. */
  take(input: unknown, output: unknown, demandUnchanged: () => void): void {
    const draw = this.#random.uniform();
    if (draw < (this.#kept.length === 0 ? FIRST_SHARE : KEPT_SHARE)) {
      if (this.#inSlice >= KEPT_IN_SLICE || this.#kept.length >= KEPT_IN_PROCESS) return;
      if (this.#kept.length > 0 && this.#bytes > KEPT_BYTES) return;
      demandUnchanged();
      this.demandApart(input, output);
      const kept = { input: copyValue(input), output: copyValue(output) };
      for (const array of arraysWithin(kept)) this.#bytes += array.byteLength;
      this.#kept.push(kept);
      this.#inSlice++;
    } else if (draw > 1 - POISONED_SHARE) {
      this.demandApart(input, output);
      for (const buffer of buffersOf(output, this.#bench.outputs)) poison(buffer);
    }
  }

  /** Throws if the output lies in the memory of the input. */
  demandApart(input: unknown, output: unknown): void {
    if (aliases(output, input)) throw new OutputFault("the output lies in the memory of the input");
  }

  async verify(state: unknown): Promise<CheckOutcome> {
    const { check, tolerance = 0, outputs } = this.#bench;
    const order = this.#random.shuffle(this.#kept);
    const end = performance.now() + CHECK_MS;
    let checked = 0;
    let maxError: number | null = null;
    for (const { input, output } of order) {
      const fault = faultOfNumbers(numbersOf(output, outputs));
      if (fault !== undefined) return { checked: checked + 1, maxError, fault };
      if (check === undefined) continue;
      if (checked > 0 && performance.now() > end) break;
      checked++;
      let error: number;
      try {
        error = (await check(input, output, state)) ?? 0;
      } catch (thrown) {
        const message = thrown instanceof Error ? thrown.message : String(thrown);
        return { checked, maxError, fault: `wrong output: ${message}` };
      }
      maxError = Math.max(maxError ?? 0, error);
      if (!(error <= tolerance))
        return { checked, maxError, fault: `wrong output: its error is ${error}, the tolerance ${tolerance}` };
    }
    return { checked, maxError, fault: check === undefined ? this.#suspicion() : null };
  }

  /** What outputs betray where the bench has no check of its own. */
  #suspicion(): string | null {
    const numbers = this.#kept.map(({ output }) => numbersOf(output, this.#bench.outputs));
    if (numbers.length === 0) return null;
    if (numbers.every((all) => allZero(all))) return "every output is zero";
    const count = numbers[0]?.reduce<number>((sum, part) => sum + (typeof part === "number" ? 1 : part.length), 0) ?? 0;
    if (count < TELLING || new Set(numbers.map((all) => checksum(all))).size > 1) return null;
    const differ = new Set(this.#kept.map(({ input }) => checksum(input))).size > 1;
    return differ ? "the output is the same whatever the input: it was not computed from it" : null;
  }
}
