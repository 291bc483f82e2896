/** Steps on a device: the compiled step graph, and the tensors of its cache. */

import { type Device, type Executable, InternalError, Tensor, evaluateDim, type TensorSpec } from "@quern/core";
import type { PageCopy } from "./kv-pages.ts";
import type { StepBatch, StepRunner } from "./step.ts";

/** Inputs that change from step to step; all others are the cache. */
const STEP_INPUTS: ReadonlySet<string> = new Set(["tokens", "positions", "runs", "pages", "outputs"]);

/** Symbol of the number of pages in the shapes of the cache. */
const PAGES = "N";

/** Owns the executable and makes the cache, of `pages` pages, on the device. */
export class ExecutableRunner implements StepRunner {
  readonly rowSize: number;
  readonly cacheBytes: number;
  readonly #executable: Executable;
  readonly #output: string;
  readonly #cache: Readonly<Record<string, Tensor>>;
  readonly #pages: number;
  /** The rows of the last step: their memory is given back with the next. */
  #rows: Tensor | undefined;

  constructor(device: Device, executable: Executable, pages: number) {
    const [output] = executable.outputs as readonly [TensorSpec];
    const rowSize = output.shape[1];
    if (typeof rowSize !== "number") throw new InternalError(`step graph: rows of "${output.name}" have no fixed size`);
    this.rowSize = rowSize;
    this.#executable = executable;
    this.#output = output.name;
    this.#pages = pages;
    this.#cache = Object.fromEntries(
      executable.inputs
        .filter(({ name }) => !STEP_INPUTS.has(name))
        .map(({ name, dtype, shape }) => {
          const tensor = device.empty(
            dtype,
            shape.map((dim) => evaluateDim(dim, { [PAGES]: pages })),
          );
          // Kernels read whole pages: what lies behind the last token is multiplied by zero, and must be a number.
          tensor.bytes().fill(0);
          return [name, tensor];
        }),
    );
    this.cacheBytes = Object.values(this.#cache).reduce((sum, tensor) => sum + tensor.byteLength, 0);
  }

  async run({ copies, tokens, positions, runs, pages, pagesPerSequence, outputs }: StepBatch): Promise<Float32Array> {
    this.#rows?.dispose();
    this.#rows = undefined;
    for (const copy of copies) this.#copy(copy);
    const results = await this.#executable.run({
      tokens: new Tensor("i32", [tokens.length], tokens),
      positions: new Tensor("i32", [positions.length], positions),
      runs: new Tensor("i32", [runs.length / 4, 4], runs),
      pages: new Tensor("i32", [pages.length / pagesPerSequence, pagesPerSequence], pages),
      outputs: new Tensor("i32", [outputs.length], outputs),
      ...this.#cache,
    });
    this.#rows = results[this.#output] as Tensor;
    return this.#rows.data as Float32Array;
  }

  dispose(): void {
    this.#rows?.dispose();
    this.#executable.dispose();
    for (const tensor of Object.values(this.#cache)) tensor.dispose();
  }

  /** Pages are the first axis of every cache tensor. */
  #copy({ from, to }: PageCopy): void {
    for (const tensor of Object.values(this.#cache)) {
      const page = tensor.byteLength / this.#pages;
      tensor.bytes().copyWithin(to * page, from * page, (from + 1) * page);
    }
  }
}
