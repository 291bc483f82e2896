/**
 * Graphs whose weights are quantised when they are loaded, on the CPU against the float64 reference of the same graph: every
 * encoding that kernels read, sizes that fill no panel, an embedding, and layers in a branch.
 */

import { type Graph, GraphBuilder, Tensor, type Value, graph, quantiseWeights, referenceDevice } from "@quern/core";
import { seededRandom } from "@quern/core/kernel";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "../../device/cpu.ts";
import { FLOAT_ENCODINGS } from "./float-panels.ts";
import { BLOCK_FORMATS, formatOf } from "./formats.ts";

const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const random = seededRandom(seed);
const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => (random() - 0.5) * 0.4);

const FLOATS = [...FLOAT_ENCODINGS.keys()].filter((name) => name !== "F32");
const NAMES = [...FLOATS, ...BLOCK_FORMATS.map(({ name }) => name)];

/** Rms of the differences over that of the expected values. Rounding activations to bytes moves the result of a layer by less than 1 %. */
const LIMIT = 0.02;

const device = cpu({ threads: 2, cache: false, matmulPrecision: "medium" });
afterAll(() => device.dispose());

function errorOf(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual).toHaveLength(expected.length);
  let [differences, squares] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    differences += ((actual[i] as number) - (expected[i] as number)) ** 2;
    squares += (expected[i] as number) ** 2;
  }
  return Math.sqrt(differences / squares);
}

/** Errors for each set of inputs, and the kernels that computed. */
function compare(
  quantised: Graph,
  ...sets: readonly Readonly<Record<string, Tensor>>[]
): { errors: number[]; kernels: string[] } {
  using executable = device.compile(quantised);
  const reference = referenceDevice().compile(quantised);
  const errors = sets.map((inputs) => {
    const [actual, expected] = [executable, reference].map((each) => each.runSync(inputs)["y"] as Tensor);
    expect(actual!.shape).toEqual(expected!.shape);
    return errorOf(actual!.data as Float32Array, expected!.data as Float32Array);
  });
  return { errors, kernels: executable.report.launches.map(({ kernel }) => kernel) };
}

function tokens(...shape: readonly [number, number]): Record<string, Tensor> {
  const ids = Array.from({ length: shape[0] * shape[1] }, () => Math.floor(random() * 41));
  return { ids: Tensor.from("i64", ids, shape) };
}

/** An embedding, a layer of each layout with bias and activation, and the embedding as the head, for any number of tokens. */
function network(width: number, hidden: number): Graph {
  const g = graph("network");
  const ids = g.input("ids", "i64", ["batch", "tokens"]);
  const table = g.constant("f32", values(41 * width), [41, width]);
  const x = table.gather(ids);
  const up = x
    .matmul(g.constant("f32", values(width * hidden), [width, hidden]))
    .add(g.constant("f32", values(hidden)));
  const down = up.gelu().matmul(g.constant("f32", values(width * hidden), [width, hidden]), { transposeB: true });
  return g.output("y", down.add(x).matmul(table.transpose([1, 0]))).build();
}

describe(`networks (seed ${seed})`, () => {
  test.each(NAMES)("%s", (name) => {
    const block = formatOf(name)?.blockWeights ?? 1;
    const [width, hidden] = block === 1 ? [45, 77] : [block, 2 * block];
    const { graph: quantised, report } = quantiseWeights(network(width, hidden), name, { minWeights: 0 });
    expect(report.kept).toEqual([]);
    expect(new Set(report.quantised.map(({ encoding }) => encoding))).toEqual(new Set([name]));
    const { errors, kernels } = compare(quantised, tokens(1, 1), tokens(3, 7));
    expect(Math.max(...errors)).toBeLessThan(LIMIT);
    // The head included: no constant was decoded on the way.
    expect(kernels.filter((kernel) => kernel.startsWith(`matmul_${name}_`))).toHaveLength(3);
  });
});

test(`rows of 96 weights get smaller blocks (seed ${seed})`, () => {
  for (const name of ["Q2_K", "Q4_K", "Q5_K", "Q6_K"]) {
    const { graph: quantised, report } = quantiseWeights(network(96, 100), name, { minWeights: 0 });
    const [encoding] = report.quantised.map((weight) => weight.encoding);
    // The second layer has rows of 100 weights, which nothing fills.
    expect(report.kept.map(({ columns }) => columns)).toEqual([100]);
    const { errors, kernels } = compare(quantised, tokens(1, 3));
    expect(errors[0], name).toBeLessThan(LIMIT);
    expect(kernels.filter((kernel) => kernel.startsWith(`matmul_${encoding}_`))).toHaveLength(2);
  }
});

test(`layers in branches (seed ${seed})`, () => {
  const branch = (): Graph => {
    const g = graph("branch");
    const x = g.input("x", "f32", [3, 256]);
    return g.output("y", x.matmul(g.constant("f32", values(256 * 20), [256, 20]))).build();
  };
  const b = new GraphBuilder();
  const inputs = [b.input("condition", "bool", []), b.input("x", "f32", [3, 256])];
  b.output("y", b.apply("if", inputs, { then: branch(), else: branch() })[0] as Value);
  const { graph: quantised, report } = quantiseWeights(b.build("if"), "Q4_K", { minWeights: 0 });
  expect(report.quantised).toHaveLength(2);
  for (const condition of [0, 1]) {
    const x = Tensor.from("f32", values(3 * 256), [3, 256]);
    const { errors } = compare(quantised, { condition: Tensor.from("bool", [condition], []), x });
    expect(errors[0]).toBeLessThan(LIMIT);
  }
});

test(`at the highest precision blocks become f32 weights (seed ${seed})`, () => {
  const { graph: quantised } = quantiseWeights(network(256, 64), "Q4_K", { minWeights: 0 });
  using executable = device.compile(quantised, { matmulPrecision: "highest" });
  const inputs = tokens(1, 2);
  const actual = (executable.runSync(inputs)["y"] as Tensor).data as Float32Array;
  const expected = referenceDevice().compile(quantised).runSync(inputs)["y"] as Tensor;
  expect(errorOf(actual, expected.data as Float32Array)).toBeLessThan(1e-5);
});
