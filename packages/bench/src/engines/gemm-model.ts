/** A matrix product as a compiled model, for engines that have nothing else: libraries of linear algebra. */

import { InternalError, Tensor } from "@quern/core";
import type { TensorSet } from "../cases/inputs.ts";
import { gemmOf, readCaseGraph } from "../cases/onnx-reader.ts";
import type { Workload } from "../cases/workload.ts";
import type { CompiledModel } from "./engine.ts";

/** Sizes of y[m, n] = x[m, k] · b[k, n], all in rows. */
export interface GemmSizes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** What a library makes of one matrix: memory that it computes on. */
export interface GemmLibrary<Matrix> {
  readonly device: string;
  /** A matrix of these values, not to be written to. */
  load(values: Float32Array): Matrix;
  /** A matrix of `count` undefined values. */
  allocate(count: number): Matrix;
  /** y = x · b; returns when y is there. */
  multiply(x: Matrix, b: Matrix, y: Matrix, sizes: GemmSizes): void;
  /** The values of a matrix. */
  read(matrix: Matrix, count: number): Float32Array;
  free(matrix: Matrix): void;
}

/** Why a library of linear algebra cannot run a workload. */
export function gemmOnly(workload: Workload): string | undefined {
  return workload.kind === "gemm" ? undefined : "it has matrix products only";
}

/** Outputs are taken from those given back, as a caller of such a library keeps its result's memory. */
export function compileGemm<Matrix>(path: string, library: GemmLibrary<Matrix>): CompiledModel {
  const graph = readCaseGraph(path);
  const { m, k, n, weights } = gemmOf(graph);
  const sizes = { m, k, n };
  const constant = weights === undefined ? undefined : library.load(weights);
  const bound: Matrix[] = [];
  const free: Matrix[] = [];
  const load = (inputs: TensorSet, name: string): Matrix => {
    const tensor = inputs[name];
    if (tensor === undefined) throw new InternalError(`bench: the input ${name} of a matrix product is missing`);
    const matrix = library.load(tensor.data as Float32Array);
    bound.push(matrix);
    return matrix;
  };
  return {
    inputs: graph.inputs,
    outputs: graph.outputs,
    async: false,
    bind: (inputs) => [load(inputs, "x"), constant ?? load(inputs, "b")],
    call(feeds) {
      const [x, b] = feeds as readonly [Matrix, Matrix];
      const y = free.pop() ?? library.allocate(m * n);
      library.multiply(x, b, y, sizes);
      return y;
    },
    tensors: (fetched) => ({ y: new Tensor("f32", [m, n], library.read(fetched as Matrix, m * n)) }),
    release: (fetched) => free.push(fetched as Matrix),
    facts: () => ({ device: library.device, plannedPeakBytes: null, flops: null }),
    close: async () => {
      for (const matrix of [...bound, ...free, ...(constant === undefined ? [] : [constant])]) library.free(matrix);
    },
  };
}
