/** Runs step graphs as an engine would: a cache with pages in any order, prompts in pieces, several sequences at once. */

import { type Executable, Tensor, referenceDevice } from "@quern/core";
import type { StepGraph } from "./build.ts";

const SEQUENCES = 3;
const PAGES_EACH = 4;
/** Longest run, so that a prompt has several. */
const LONGEST_RUN = 7;

export interface Piece {
  readonly sequence: number;
  readonly ids: readonly number[];
}

export class StepRunner {
  readonly #executable: Executable;
  readonly #output: string;
  readonly #cache: Readonly<Record<string, Tensor>>;
  readonly #pages: Tensor;
  readonly #lengths = new Array<number>(SEQUENCES).fill(0);

  constructor({ graph }: StepGraph) {
    this.#executable = referenceDevice().compile(graph);
    this.#output = graph.outputs[0]!.name;
    this.#cache = Object.fromEntries(
      graph.inputs.flatMap(({ name, value: { type } }) => {
        if (!/^(keys|values|keyScales|valueScales)\./.test(name)) return [];
        const shape = [SEQUENCES * PAGES_EACH, ...(type.shape.slice(1) as number[])];
        // What lies in pages that nobody wrote must not matter.
        const count = shape.reduce((product, size) => product * size, 1);
        return [[name, Tensor.from(type.dtype, new Array<number>(count).fill(3), shape)]];
      }),
    );
    // Pages of the sequences alternate, from the end of the pool.
    const pages = Array.from({ length: SEQUENCES * PAGES_EACH }, (_, i) => {
      const [sequence, page] = [Math.floor(i / PAGES_EACH), i % PAGES_EACH];
      return SEQUENCES * PAGES_EACH - 1 - (page * SEQUENCES + sequence);
    });
    this.#pages = Tensor.from("i32", pages, [SEQUENCES, PAGES_EACH]);
  }

  /** One step. The rows of the output for the tokens `wanted` (all by default), counted over the pieces. */
  step(pieces: readonly Piece[], wanted?: readonly number[]): Float32Array[] {
    const [ids, positions, runs]: [number[], number[], number[]] = [[], [], []];
    for (const piece of pieces) {
      const start = this.#lengths[piece.sequence]!;
      for (let at = 0; at < piece.ids.length; at += LONGEST_RUN) {
        const count = Math.min(LONGEST_RUN, piece.ids.length - at);
        runs.push(ids.length + at, count, piece.sequence, start + at);
      }
      ids.push(...piece.ids);
      positions.push(...piece.ids.map((_, i) => start + i));
      this.#lengths[piece.sequence] = start + piece.ids.length;
    }
    const rows = wanted ?? ids.map((_, i) => i);
    const results = this.#executable.runSync({
      tokens: list(ids),
      positions: list(positions),
      runs: Tensor.from("i32", runs, [runs.length / 4, 4]),
      pages: this.#pages,
      outputs: list(rows),
      ...this.#cache,
    });
    const tensor = results[this.#output]!;
    const [, columns] = tensor.shape as [number, number];
    const data = tensor.data as Float32Array;
    return rows.map((_, row) => data.slice(row * columns, (row + 1) * columns));
  }
}

function list(values: readonly number[]): Tensor {
  return Tensor.from("i32", values, [values.length]);
}

/** Largest difference of two lists of rows, over the largest element of `expected`. */
export function difference(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} rows, ${expected.length} are expected`);
  let [worst, largest] = [0, 0];
  expected.forEach((row, r) => {
    if (actual[r]!.length !== row.length) throw new Error(`rows of ${actual[r]!.length}, ${row.length} are expected`);
    for (let i = 0; i < row.length; i++) {
      const apart = Math.abs(actual[r]![i]! - row[i]!);
      // NaN counts as far apart.
      worst = apart <= worst ? worst : Number.isNaN(apart) ? Infinity : apart;
      largest = Math.max(largest, Math.abs(row[i]!));
    }
  });
  return worst / largest;
}
