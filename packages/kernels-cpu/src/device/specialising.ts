/**
 * Executables of graphs whose kernels want known sizes: convolutions over images or signals of symbolic extent.
 *
 * The first run with new values of the symbols that decide those extents compiles a program for them; later runs with the
 * same values reuse it. Symbols that no convolution depends on (batch, sequence length of attention) stay dynamic.
 */

import {
  type CompileReport,
  type DimBindings,
  type DumpStage,
  type Executable,
  type Graph,
  type ShapeCheck,
  type Tensor,
  type TensorSpec,
  type Tensors,
  type Value,
  UserError,
  bindInputs,
  collectSymbols,
  shapeChecks,
} from "@quern/core";

const MAX_PROGRAMS = 8;
const WINDOWED = new Set(["conv", "convTranspose", "maxPool", "averagePool"]);

/** Symbols that decide the spatial extents of convolutions and pooling, in this graph (not in its sub-graphs). */
export function spatialSymbols(graph: Graph): Set<string> {
  const names = new Set<string>();
  for (const node of graph.nodes) {
    if (!WINDOWED.has(node.op)) continue;
    const { shape } = (node.inputs[0] as Value).type;
    const spatial = node.attrs["layout"] === "nhwc" ? shape.slice(1, -1) : shape.slice(2);
    for (const dim of spatial) collectSymbols(dim, names);
  }
  const declared = new Set<string>();
  for (const { value } of graph.inputs) for (const dim of value.type.shape) collectSymbols(dim, declared);
  // Sizes that are known only while running cannot be given before.
  return new Set([...names].filter((name) => declared.has(name)));
}

export class SpecialisingExecutable implements Executable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #symbols: ReadonlySet<string>;
  readonly #fixed: DimBindings;
  readonly #checkShapes: ShapeCheck;
  readonly #compile: (bindings: DimBindings) => Executable;
  readonly #programs = new Map<string, Executable>();
  #latest: Executable | undefined;
  #disposed = false;

  constructor(
    graph: Graph,
    symbols: ReadonlySet<string>,
    fixed: DimBindings,
    compile: (bindings: DimBindings) => Executable,
  ) {
    const spec = ({ name, value }: { name: string; value: Value }): TensorSpec => ({
      name,
      dtype: value.type.dtype,
      shape: value.type.shape,
    });
    this.inputs = graph.inputs.map(spec);
    this.outputs = graph.outputs.map(spec);
    this.#symbols = symbols;
    this.#fixed = fixed;
    this.#checkShapes = shapeChecks(graph);
    this.#compile = compile;
  }

  /** Of the program that ran last; empty before the first run. */
  get report(): CompileReport {
    return (
      this.#latest?.report ?? {
        compileMs: 0,
        passes: [],
        launches: [],
        plannedPeakBytes: 0,
        weightBytes: 0,
        codeBytes: 0,
      }
    );
  }

  /** Compiles now what a run with inputs of these sizes would compile first. */
  specialise(inputs: Tensors): void {
    this.#programFor(inputs);
  }

  runSync(inputs: Tensors): Record<string, Tensor> {
    return this.#programFor(inputs).runSync(inputs);
  }

  async run(inputs: Tensors): Promise<Record<string, Tensor>> {
    return this.#programFor(inputs).run(inputs);
  }

  dump(stage: DumpStage): string {
    if (this.#latest === undefined)
      throw new UserError("the program depends on input sizes and is compiled at the first run", {
        hint: "fix the sizes when compiling (option bindings), or run once",
      });
    return this.#latest.dump(stage);
  }

  dispose(): void {
    this.#disposed = true;
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #programFor(inputs: Tensors): Executable {
    if (this.#disposed) throw new UserError("executable: used after dispose");
    const { bindings } = bindInputs(this.inputs, inputs, this.#fixed);
    const chosen = Object.fromEntries([...this.#symbols].map((name) => [name, bindings[name] as number]));
    const key = JSON.stringify(chosen);
    let program = this.#programs.get(key);
    if (program === undefined) {
      // Sizes that do not fit are the user's error; the compiler takes them for granted.
      this.#checkShapes(bindings);
      if (this.#programs.size >= MAX_PROGRAMS) {
        const [oldest, unused] = this.#programs.entries().next().value as [string, Executable];
        this.#programs.delete(oldest);
        unused.dispose();
      }
      this.#programs.set(key, (program = this.#compile({ ...this.#fixed, ...chosen })));
    }
    this.#latest = program;
    return program;
  }
}
