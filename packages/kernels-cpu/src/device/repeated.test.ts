/** Products of the same rows share what quantises or packs them; what differs, or was written in between, does not. */

import {
  type Executable,
  type Graph,
  GraphBuilder,
  Tensor,
  type Value,
  blockTypeNamed,
  referenceDevice,
  symbol,
} from "@quern/core";
import { seededRandom } from "@quern/core/kernel";
import { afterAll, expect, test } from "vitest";
import { cpu } from "./cpu.ts";

const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const random = seededRandom(seed);

const DEPTH = 256;
const device = cpu({ threads: 2, cache: false, matmulPrecision: "medium" });
afterAll(() => device.dispose());

function weights(g: GraphBuilder, name: string, columns: number): Value {
  const encoding = blockTypeNamed(name)!;
  const values = Float32Array.from({ length: columns * DEPTH }, () => random() - 0.5);
  const bytes = new Uint8Array((values.length / encoding.blockWeights) * encoding.blockBytes);
  encoding.quantise!(values, bytes);
  return g.constant({ dtype: "f32", shape: [columns, DEPTH], bytes, encoding });
}

function linear(g: GraphBuilder, x: Value, name: string, columns: number): Value {
  return g.apply("matmul", [x, weights(g, name, columns)], { transposeB: true })[0] as Value;
}

/** The kernels of a graph, whose results for so many rows are those of the reference. */
function kernelsOf(graph: Graph, ...counts: readonly number[]): string[] {
  using executable = device.compile(graph);
  for (const rows of counts) compare(graph, executable, rows);
  return executable.report.launches.map(({ kernel }) => kernel);
}

function compare(graph: Graph, executable: Executable, rows: number): void {
  const x = Tensor.from(
    "f32",
    Float32Array.from({ length: rows * DEPTH }, () => random() - 0.5),
    [rows, DEPTH],
  );
  const expected = referenceDevice().compile(graph).runSync({ x });
  const actual = executable.runSync({ x });
  for (const [name, { data }] of Object.entries(expected)) {
    const [wanted, found] = [data as Float32Array, actual[name]!.data as Float32Array];
    const squares = (of: Float32Array): number => of.reduce((sum, value) => sum + value * value, 0);
    const error = Math.sqrt(squares(found.map((value, i) => value - wanted[i]!)) / squares(wanted));
    // Rounding rows to bytes moves a result by less than 1 %.
    expect(error).toBeLessThan(0.02);
  }
}

const quantisations = (kernels: readonly string[]): number =>
  kernels.filter((kernel) => kernel.startsWith("quantise_rows")).length;

test(`products of the same rows quantise them once (seed ${seed})`, () => {
  const g = new GraphBuilder();
  const x = g.input("x", "f32", [symbol("T"), DEPTH]);
  g.output("a", linear(g, x, "Q4_K", 32));
  g.output("b", linear(g, x, "Q4_K", 48));
  g.output("c", linear(g, x, "Q5_K", 16));
  const kernels = kernelsOf(g.build("shared"), 1, 5, 40);
  expect(quantisations(kernels)).toBe(1);
  expect(kernels).toHaveLength(4);
});

test(`other rows, or rows in another form, are quantised for themselves (seed ${seed})`, () => {
  const g = new GraphBuilder();
  const x = g.input("x", "f32", [symbol("T"), DEPTH]);
  const [doubled] = g.apply("add", [x, x]);
  g.output("a", linear(g, x, "Q4_K", 32));
  g.output("b", linear(g, doubled as Value, "Q4_K", 32));
  g.output("c", linear(g, x, "Q6_K", 32));
  expect(quantisations(kernelsOf(g.build("apart"), 3))).toBe(3);
});

test(`products behind products share what is theirs (seed ${seed})`, () => {
  const g = new GraphBuilder();
  let x = g.input("x", "f32", [symbol("T"), DEPTH]);
  for (let layer = 0; layer < 3; layer++) {
    const [gate, up] = [linear(g, x, "Q4_K", DEPTH), linear(g, x, "Q4_K", DEPTH)];
    x = g.apply("add", [gate, up])[0] as Value;
  }
  g.output("y", x);
  expect(quantisations(kernelsOf(g.build("layers"), 7))).toBe(3);
});
