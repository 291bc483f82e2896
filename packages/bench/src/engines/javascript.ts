/**
 * Plain JavaScript: loops over typed arrays on one thread, what a developer would write without any of this.
 *
 * No tricks: no blocking, no unrolling, no workers. The matrix product takes the rows of b in their order, since that is as
 * short as the textbook's order and no strawman. Where a formula fuses several ops, the loop does too. Every call makes
 * its result anew.
 */

import { Tensor, UserError } from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";
import { gemmOf, readCaseGraph, type CaseGraph } from "../cases/onnx-reader.ts";
import type { Engine } from "./engine.ts";

type Values = Readonly<Record<string, Float32Array>>;

interface Sizes {
  readonly rows: number;
  readonly columns: number;
}

type Loop = (values: Values, sizes: Sizes) => Float32Array;

/** y[m, n] = x[m, k] · b[k, n]. */
function multiply(x: Float32Array, b: Float32Array, m: number, k: number, n: number): Float32Array {
  const y = new Float32Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let i = 0; i < k; i++) {
      const factor = x[row * k + i]!;
      for (let column = 0; column < n; column++) {
        y[row * n + column] = y[row * n + column]! + factor * b[i * n + column]!;
      }
    }
  }
  return y;
}

/** Within 1.5e-7: Abramowitz and Stegun, formula 7.1.26, which is what a search for "erf JavaScript" finds. */
function erf(value: number): number {
  const x = Math.abs(value);
  const t = 1 / (1 + 0.3275911 * x);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const y = 1 - series * Math.exp(-x * x);
  return value < 0 ? -y : y;
}

/** One loop for each op case, by its name. */
const LOOPS: Readonly<Record<string, Loop>> = {
  softmax: ({ x }, { rows, columns }) => {
    const y = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) {
      const start = row * columns;
      let top = -Infinity;
      for (let i = 0; i < columns; i++) top = Math.max(top, x![start + i]!);
      let sum = 0;
      for (let i = 0; i < columns; i++) {
        const power = Math.exp(x![start + i]! - top);
        y[start + i] = power;
        sum += power;
      }
      for (let i = 0; i < columns; i++) y[start + i] = y[start + i]! / sum;
    }
    return y;
  },
  gelu: ({ x }) => {
    const y = new Float32Array(x!.length);
    for (let i = 0; i < y.length; i++) y[i] = 0.5 * x![i]! * (1 + erf(x![i]! * Math.SQRT1_2));
    return y;
  },
  layerNorm: ({ x, scale, bias }, { rows, columns }) => {
    const y = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) {
      const start = row * columns;
      let sum = 0;
      for (let i = 0; i < columns; i++) sum += x![start + i]!;
      const mean = sum / columns;
      let squares = 0;
      for (let i = 0; i < columns; i++) squares += (x![start + i]! - mean) ** 2;
      const factor = 1 / Math.sqrt(squares / columns + 1e-5);
      for (let i = 0; i < columns; i++) y[start + i] = (x![start + i]! - mean) * factor * scale![i]! + bias![i]!;
    }
    return y;
  },
  chain4: ({ x, scale, bias }, { rows, columns }) => {
    const y = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < columns; i++) {
        const value = x![row * columns + i]!;
        y[row * columns + i] = Math.max(0, value * scale![i]! + bias![i]!) * value;
      }
    }
    return y;
  },
  gatedChain: ({ x, z }) => {
    const y = new Float32Array(x!.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.tanh(z![i]!) / (1 + Math.exp(-x![i]!)) + x![i]!;
    return y;
  },
  add: ({ x, z }) => {
    const y = new Float32Array(x!.length);
    for (let i = 0; i < y.length; i++) y[i] = x![i]! + z![i]!;
    return y;
  },
  exp: ({ x }) => {
    const y = new Float32Array(x!.length);
    for (let i = 0; i < y.length; i++) y[i] = Math.exp(x![i]!);
    return y;
  },
  reduceMax: ({ x }) => {
    let top = -Infinity;
    for (let i = 0; i < x!.length; i++) top = Math.max(top, x![i]!);
    return Float32Array.of(top);
  },
  transpose: ({ x }, { rows, columns }) => {
    const y = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) y[column * rows + row] = x![row * columns + column]!;
    return y;
  },
};

function loopOf(graph: CaseGraph, path: string): (values: Values) => Float32Array {
  if (graph.name === "gemm") {
    const { m, k, n } = gemmOf(graph);
    return ({ x, b }) => multiply(x!, b!, m, k, n);
  }
  const loop = Object.hasOwn(LOOPS, graph.name) ? LOOPS[graph.name] : undefined;
  if (loop === undefined) throw new UserError(`there is no loop for "${graph.name}"`, { where: path });
  const [rows = 1, columns = 1] = (graph.inputs[0]?.shape ?? []) as number[];
  return (values) => loop(values, { rows, columns });
}

export const javascript: Engine = {
  name: "javascript",
  about: "plain loops over typed arrays, one thread; matrix products and ops",
  precisions: ["highest"],
  keepsKernels: false,
  quantises: false,

  describe: async () => ({
    name: "javascript",
    version: process.versions.v8,
    library: null,
    sha256: null,
    settings: { runtime: `node ${process.versions.node}`, threads: "1", call: "a function", isa: "as V8 compiles" },
  }),

  supports(workload, { threads }) {
    if (workload.kind === "model") return "plain loops are for matrix products and ops";
    if (threads > 1) return "plain loops have one thread";
    return workload.kind === "op" && workload.check.kind === "op" && !Object.hasOwn(LOOPS, workload.check.op)
      ? `there is no loop for "${workload.check.op}"`
      : undefined;
  },

  open: async () => ({
    compile: async (path) => {
      const graph = readCaseGraph(path);
      const run = loopOf(graph, path);
      const output = graph.outputs[0];
      if (output === undefined) throw new UserError("the graph has no output", { where: path });
      return {
        inputs: graph.inputs,
        outputs: graph.outputs,
        async: false,
        bind: (inputs: TensorSet) => ({
          ...graph.initialisers,
          ...Object.fromEntries(Object.entries(inputs).map(([name, { data }]) => [name, data])),
        }),
        call: (feeds) => run(feeds as Values),
        tensors: (fetched) => ({
          [output.name]: new Tensor("f32", output.shape as number[], fetched as Float32Array),
        }),
        release: () => {},
        facts: () => ({ device: "javascript", plannedPeakBytes: null, flops: null }),
        close: async () => {},
      };
    },
    close: async () => {},
  }),
};
