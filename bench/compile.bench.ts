/**
 * From a graph to machine code: choosing kernels, their lowering, register allocation, encoding. The kernels are small: they go
 * through the same compiler as large ones, and it is warm sooner.
 */

import { defineBench, type Bench, type Random } from "@quern/bench/define";
import { graph, type Device, type Graph } from "@quern/core";
import { cpu } from "@quern/kernels-cpu";
import { Given } from "./given.ts";
import { VERY_MUCH_CODE } from "./much-code.ts";

type MakeGraph = (random: Random) => Graph;

const GRAPHS: Readonly<Record<string, MakeGraph>> = {
  matmul() {
    const g = graph("matmul");
    const a = g.input("a", "f32", [8, 64]);
    return g.output("c", a.matmul(g.input("b", "f32", [64, 32]))).build();
  },
  conv(random) {
    const g = graph("conv");
    const weights = g.constant(
      "f32",
      Array.from({ length: 16 * 9 }, () => random.normal()),
      [16, 1, 3, 3],
    );
    const x = g.input("x", "f32", [1, 14, 14, 16]);
    return g.output("y", x.conv(weights, { groups: 16, layout: "nhwc" }).relu()).build();
  },
  softmax() {
    const g = graph("softmax");
    return g.output("y", g.input("x", "f32", [64, 256]).softmax(-1)).build();
  },
};

function compileBench([name, make]: readonly [string, MakeGraph]): Bench<Device, Given<Graph>, number> {
  return defineBench<Device, Given<Graph>, number>({
    id: `compile/${name}`,
    delta: VERY_MUCH_CODE,
    setup: () => cpu({ threads: 1, cache: false }),
    inputs: (random) => new Given(make(random)),
    run(device, { value }) {
      const executable = device.compile(value);
      const { codeBytes } = executable.report;
      executable.dispose();
      return codeBytes;
    },
    check: (_, codeBytes) => (codeBytes > 0 ? 0 : 1),
    teardown: (device) => device.dispose(),
  });
}

export default Object.entries(GRAPHS).map(compileBench);
