/** What benches of compiled kernels have in common: a graph compiled for one thread, and the reference interpreter as its judge. */

import { defineBench, type Bench, type BenchParams, type Random } from "@quern/bench/define";
import {
  Tensor,
  referenceDevice,
  type Device,
  type Executable,
  type Graph,
  type MatmulPrecision,
  type Tensors,
} from "@quern/core";
import { cpu } from "@quern/kernels-cpu";

export interface KernelBench {
  readonly id: string;
  readonly params?: BenchParams;
  /** The graph has one output. Its weights come from `random`. */
  graph(random: Random): Graph;
  /** Shapes of the f32 inputs that are new in every call. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Inputs that stay: indices, and state that a run updates. */
  fixed?(random: Random): Record<string, Tensor>;
  readonly precision?: MatmulPrecision;
  /** Multiplications and additions of one call. */
  readonly flops?: number;
  /** Largest error that passes, as a share of the root mean square of the output. */
  readonly tolerance: number;
}

interface State {
  readonly device: Device;
  readonly executable: Executable;
  readonly fixed: Tensors;
  readonly reference: Executable;
  readonly referenceFixed: Tensors;
  readonly output: string;
}

type Inputs = Readonly<Record<string, Float32Array>>;

export function kernelBench(kernel: KernelBench): Bench<State, Inputs, Float32Array> {
  const { inputs: shapes, precision, flops } = kernel;
  const tensors = (inputs: Inputs, fixed: Tensors): Tensors => {
    const named: Record<string, Tensor> = { ...fixed };
    for (const name in shapes) {
      named[name] = new Tensor("f32", shapes[name] as readonly number[], inputs[name] as Float32Array);
    }
    return named;
  };
  return defineBench<State, Inputs, Float32Array>({
    id: kernel.id,
    ...(kernel.params === undefined ? {} : { params: kernel.params }),
    // Not `native`, although it is: one thread computes, the main one, so pairs can be pinned to a processor.
    ...(flops === undefined ? {} : { work: { flops } }),
    setup({ random }) {
      const graph = kernel.graph(random("weights"));
      const device = cpu({ threads: 1, cache: false });
      const executable = device.compile(graph, precision === undefined ? {} : { matmulPrecision: precision });
      const fixed = kernel.fixed?.(random("fixed")) ?? {};
      const copies = Object.entries(fixed).map(([name, { dtype, shape, data }]) => [
        name,
        new Tensor(dtype, shape, data.slice()),
      ]);
      return {
        device,
        executable,
        fixed,
        reference: referenceDevice().compile(graph),
        // State of its own, with the same content.
        referenceFixed: Object.fromEntries(copies) as Tensors,
        output: executable.outputs[0]?.name ?? "",
      };
    },
    inputs: (random) =>
      Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => {
          const values = new Float32Array(shape.reduce((size, dim) => size * dim, 1));
          random.fillNormal(values);
          return [name, values];
        }),
      ),
    run: ({ executable, fixed, output }, inputs) =>
      executable.runSync(tensors(inputs, fixed))[output]?.data as Float32Array,
    check(inputs, actual, { reference, referenceFixed, output }) {
      const expected = reference.runSync(tensors(inputs, referenceFixed))[output]?.data as Float32Array;
      let [worst, squares] = [0, 0];
      for (const [i, value] of expected.entries()) {
        worst = Math.max(worst, Math.abs(value - (actual[i] ?? Number.NaN)));
        squares += value * value;
      }
      return worst / Math.sqrt(squares / expected.length);
    },
    tolerance: kernel.tolerance,
    teardown({ device, executable }) {
      executable.dispose();
      device.dispose();
    },
  });
}
