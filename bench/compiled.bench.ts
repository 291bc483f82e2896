/** Machine code of our own: a product of matrices and what it takes to compile it. */

import { defineBench } from "@quern/bench/define";
import { Tensor, graph, type Device, type Executable, type Graph } from "@quern/core";
import { cpu } from "@quern/kernels-cpu";

const SIZE = 128;

function product(): Graph {
  const g = graph("product");
  const a = g.input("a", "f32", [SIZE, SIZE]);
  const b = g.input("b", "f32", [SIZE, SIZE]);
  return g.output("c", a.matmul(b)).build();
}

interface Compiled {
  readonly device: Device;
  readonly executable: Executable;
}

type Operands = Readonly<Record<"a" | "b", Tensor>>;

const matmul = defineBench<Compiled, Operands, Float32Array>({
  id: "compiled/matmul",
  params: { m: SIZE, k: SIZE, n: SIZE, dtype: "f32" },
  native: true,
  work: { flops: 2 * SIZE ** 3 },
  setup() {
    const device = cpu({ threads: 1, cache: false });
    return { device, executable: device.compile(product()) };
  },
  inputs(random) {
    const matrix = (): Tensor =>
      Tensor.from(
        "f32",
        Array.from({ length: SIZE * SIZE }, () => random.normal()),
        [SIZE, SIZE],
      );
    return { a: matrix(), b: matrix() };
  },
  run: ({ executable }, operands) => executable.runSync(operands)["c"]?.data as Float32Array,
  check({ a, b }, c) {
    // One row and one column say enough: a wrong tile shows in them.
    const error = (i: number, j: number): number => {
      let sum = 0;
      for (let k = 0; k < SIZE; k++) sum += Number(a.data[i * SIZE + k]) * Number(b.data[k * SIZE + j]);
      return Math.abs(sum - (c[i * SIZE + j] ?? Number.NaN));
    };
    return Math.max(...Array.from({ length: SIZE }, (_, i) => Math.max(error(i, 17), error(93, i))));
  },
  tolerance: 1e-4,
  teardown({ device, executable }) {
    executable.dispose();
    device.dispose();
  },
});

const compile = defineBench<Device, Graph, number>({
  id: "compiled/compile",
  params: { m: SIZE, k: SIZE, n: SIZE, dtype: "f32" },
  setup: () => cpu({ threads: 1, cache: false }),
  inputs: product,
  run(device, work) {
    const executable = device.compile(work);
    const { length } = executable.report.launches;
    executable.dispose();
    return length;
  },
  teardown: (device) => device.dispose(),
});

export default [matmul, compile];
