/** Machine code of our own on one thread: the kernels that models spend their time in, and a small model whole. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineBench } from "@quern/bench/define";
import { Tensor, encodeWeights, graph, weightEncodingNamed, type Device, type Executable, type Var } from "@quern/core";
import { importOnnx } from "@quern/importers/onnx";
import { cpu } from "@quern/kernels-cpu";
import { kernelBench } from "./kernel-bench.ts";

const SIZE = 128;

interface Compiled {
  readonly device: Device;
  readonly executable: Executable;
}

type Operands = Readonly<Record<"a" | "b", Tensor>>;

const matmul = defineBench<Compiled, Operands, Float32Array>({
  id: "compiled/matmul",
  params: { m: SIZE, k: SIZE, n: SIZE, dtype: "f32" },
  work: { flops: 2 * SIZE ** 3 },
  setup() {
    const device = cpu({ threads: 1, cache: false });
    const g = graph("product");
    const a = g.input("a", "f32", [SIZE, SIZE]);
    const b = g.input("b", "f32", [SIZE, SIZE]);
    return { device, executable: device.compile(g.output("c", a.matmul(b)).build()) };
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

const WIDTH = 512;
/** Rows of weights that differ: encoding takes longer than all the rest. */
const ENCODED_ROWS = 64;

/** What a language model does for each of a few sequences: rows that are rounded to bytes, weights that stay in blocks. */
const fewRows = kernelBench({
  id: "compiled/matmul-few-rows",
  params: { m: 4, k: WIDTH, n: WIDTH, weights: "Q4_K" },
  graph(random) {
    const encoding = weightEncodingNamed("Q4_K");
    const values = new Float32Array(ENCODED_ROWS * WIDTH);
    random.fillNormal(values);
    const some = encodeWeights(encoding, values).bytes;
    const bytes = new Uint8Array((WIDTH / ENCODED_ROWS) * some.length);
    for (let at = 0; at < bytes.length; at += some.length) bytes.set(some, at);
    const g = graph("few-rows");
    const weights = g.weights({ dtype: "f32", shape: [WIDTH, WIDTH], bytes, encoding });
    const x = g.input("x", "f32", [4, WIDTH]);
    return g.output("y", x.matmul(weights, { transposeB: true })).build();
  },
  inputs: { x: [4, WIDTH] },
  precision: "medium",
  flops: 2 * 4 * WIDTH * WIDTH,
  tolerance: 0.05,
});

const softmax = kernelBench({
  id: "compiled/softmax",
  params: { rows: 32, columns: 256 },
  graph() {
    const g = graph("softmax");
    return g.output("y", g.input("x", "f32", [32, 256]).softmax(-1)).build();
  },
  inputs: { x: [32, 256] },
  tolerance: 1e-4,
});

const layerNorm = kernelBench({
  id: "compiled/layer-norm",
  params: { rows: 32, columns: 256 },
  graph(random) {
    const g = graph("layer-norm");
    const vector = (): Var =>
      g.constant(
        "f32",
        Array.from({ length: 256 }, () => random.normal()),
      );
    const x = g.input("x", "f32", [32, 256]);
    return g.output("y", x.layerNorm({ scale: vector(), bias: vector() })).build();
  },
  inputs: { x: [32, 256] },
  tolerance: 1e-4,
});

/** With bias and activation, as models have them: the epilogue of the kernel is part of it. */
const conv = kernelBench({
  id: "compiled/conv",
  params: { channels: 16, filters: 32, size: 14, kernel: 3, layout: "nhwc" },
  graph(random) {
    const g = graph("conv");
    const values = (count: number): number[] => Array.from({ length: count }, () => random.normal());
    const weights = g.constant("f32", values(32 * 16 * 9), [32, 16, 3, 3]);
    const x = g.input("x", "f32", [1, 14, 14, 16]);
    return g.output("y", x.conv(weights, { bias: g.constant("f32", values(32)), layout: "nhwc" }).relu()).build();
  },
  inputs: { x: [1, 14, 14, 16] },
  flops: 2 * 32 * 16 * 9 * 12 * 12,
  tolerance: 1e-4,
});

const HEADS = { queries: 8, keys: 2, size: 64 } as const;
const PAGE = 64;
const PAGES = 4;

/** A token at the end of four pages; every call writes its key and value to the same place. */
const attention = kernelBench({
  id: "compiled/attention",
  params: { heads: HEADS.queries, keyHeads: HEADS.keys, size: HEADS.size, tokens: PAGE * PAGES, cache: "f16" },
  graph() {
    const g = graph("attention");
    const { queries, keys: heads, size } = HEADS;
    const q = g.input("q", "f32", [1, queries, size]);
    const k = g.input("k", "f32", [1, heads, size]);
    const v = g.input("v", "f32", [1, heads, size]);
    const runs = g.input("runs", "i32", [1, 4]);
    const pages = g.input("pages", "i32", [1, PAGES]);
    const keys = g.input("keys", "f16", [PAGES, heads, size, PAGE]);
    const values = g.input("values", "f16", [PAGES, heads, PAGE, size]);
    return g.output("y", q.attention(k, v, { keys, values, runs, pages })).build();
  },
  inputs: {
    q: [1, HEADS.queries, HEADS.size],
    k: [1, HEADS.keys, HEADS.size],
    v: [1, HEADS.keys, HEADS.size],
  },
  fixed(random) {
    const { keys: heads, size } = HEADS;
    const cache = (shape: readonly number[]): Tensor => {
      const values = new Float16Array(PAGES * heads * size * PAGE);
      random.fillNormal(values);
      return new Tensor("f16", shape, values);
    };
    return {
      runs: Tensor.from("i32", [0, 1, 0, PAGE * PAGES - 1], [1, 4]),
      pages: Tensor.from("i32", [2, 0, 3, 1], [1, PAGES]),
      keys: cache([PAGES, heads, size, PAGE]),
      values: cache([PAGES, heads, PAGE, size]),
    };
  },
  tolerance: 1e-2,
});

/** A few microseconds of kernels: what a run costs beside them shows here. */
const model = kernelBench({
  id: "compiled/model",
  params: { model: "mnist" },
  graph: () =>
    importOnnx(readFileSync(fileURLToPath(import.meta.resolve("@quern/bench-models/mnist/model.onnx")))).graph,
  inputs: { Input3: [1, 1, 28, 28] },
  tolerance: 1e-4,
});

export default [matmul, fewRows, softmax, layerNorm, conv, attention, model];
