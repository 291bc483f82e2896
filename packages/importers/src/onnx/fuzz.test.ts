/**
 * Mutated model files: whatever is in the bytes, the importer gives a graph or a `UserError`, soon and in little memory.
 *
 * Two kinds of mutation: of bytes (flips, cuts, huge varints, splices), and of decoded messages (extreme numbers,
 * exchanged names, ops and types), which reach the op functions. `QUERN_FUZZ` sets the number of files, `QUERN_SEED`
 * the seed; a failure prints the seed and the number of the file.
 */

import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError, referenceDevice } from "@quern/core";
import { importOnnx } from "./import.ts";
import { importableOps } from "./ops/registry.ts";
import { decodeMessage } from "./proto/decode.ts";
import { encodeMessage } from "./proto/encode.ts";
import { type AttributeProto, type GraphProto, type ModelProto, type TensorProto, modelSpec } from "./proto/schema.ts";

const COUNT = Number(process.env["QUERN_FUZZ"] ?? 2000);
const SEED = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const SUITE = resolve(import.meta.dirname, "../../../../../shared/data/onnx-conformance/node");
const SMALL = resolve(import.meta.dirname, "../../../../../shared/data/onnx-small");

/** Seeded random numbers (mulberry32). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

const f32Input = (name: string, ...dims: (number | string)[]): object => ({
  name,
  type: {
    tensorType: {
      elemType: 1,
      shape: { dim: dims.map((dim) => (typeof dim === "number" ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});
const i64s = (name: string, ...values: number[]): object => ({
  name,
  dims: [values.length],
  dataType: 7,
  int64Data: values,
});
const node = (opType: string, input: string[], output: string[], attribute: object[] = []): object => ({
  name: `${opType}_${output[0]}`,
  opType,
  input,
  output,
  attribute,
});
const ints = (name: string, ...values: number[]): object => ({ name, type: 7, ints: values });

/** Models that need no data folder: shapes, control flow, functions, old opsets. */
function ownModels(): Uint8Array[] {
  const branch = (op: string): object => ({
    name: op,
    node: [node(op, ["x"], [`${op}_y`])],
    output: [{ name: `${op}_y` }],
  });
  const body = {
    name: "body",
    node: [node("Add", ["state", "x"], ["next"]), node("Identity", ["cond"], ["going"])],
    input: [{ name: "i" }, { name: "cond" }, { name: "state" }],
    output: [{ name: "going" }, { name: "next" }],
  };
  const models = [
    {
      irVersion: 8,
      opsetImport: [{ domain: "", version: 17 }],
      graph: {
        name: "shapes",
        node: [
          node("Shape", ["x"], ["s"]),
          node("Gather", ["s", "zero"], ["n"]),
          node("Concat", ["n", "minus"], ["to"], [{ name: "axis", type: 2, i: 0 }]),
          node("Reshape", ["x", "to"], ["y"]),
          node("Slice", ["y", "zero", "minus", "zero"], ["z"]),
          node("ReduceMean", ["z"], ["m"], [ints("axes", 1)]),
          node("Conv", ["image", "w"], ["c"], [ints("pads", 1, 1, 1, 1)]),
          node("Pad", ["c", "pads"], ["p"]),
          node("Softmax", ["p"], ["out"]),
        ],
        initializer: [
          i64s("zero", 0),
          i64s("minus", -1),
          i64s("pads", 0, 0, 1, 1, 0, 0, 1, 1),
          { name: "w", dims: [2, 3, 3, 3], dataType: 1, rawData: new Uint8Array(216) },
        ],
        input: [f32Input("x", "batch", 3, 4), f32Input("image", 1, 3, 8, 8)],
        output: [{ name: "m" }, { name: "out" }],
      },
    },
    {
      irVersion: 8,
      opsetImport: [{ domain: "", version: 16 }],
      graph: {
        name: "flow",
        node: [
          node(
            "If",
            ["c"],
            ["a"],
            [
              { name: "then_branch", type: 5, g: branch("Relu") },
              { name: "else_branch", type: 5, g: branch("Neg") },
            ],
          ),
          node("Loop", ["count", "", "a"], ["b"], [{ name: "body", type: 5, g: body }]),
        ],
        initializer: [i64s("count", 3)],
        input: [{ name: "c", type: { tensorType: { elemType: 9, shape: { dim: [] } } } }, f32Input("x", 2, 2)],
        output: [{ name: "b" }],
      },
    },
    {
      irVersion: 8,
      opsetImport: [
        { domain: "", version: 18 },
        { domain: "own", version: 1 },
      ],
      functions: [
        {
          name: "Twice",
          domain: "own",
          input: ["a"],
          output: ["b"],
          attribute: ["alpha"],
          opsetImport: [{ domain: "", version: 18 }],
          node: [
            node("LeakyRelu", ["a"], ["t"], [{ name: "alpha", type: 1, refAttrName: "alpha" }]),
            node("Add", ["t", "t"], ["b"]),
          ],
        },
      ],
      graph: {
        name: "function",
        node: [
          { ...node("Twice", ["x"], ["y"], [{ name: "alpha", type: 1, f: 0.5 }]), domain: "own" },
          node("Split", ["y"], ["p", "q"], [{ name: "axis", type: 2, i: 1 }]),
        ],
        input: [f32Input("x", 2, 4)],
        output: [{ name: "p" }, { name: "q" }],
      },
    },
  ];
  return models.map((model) => encodeMessage(modelSpec, model as never));
}

/** Own models and, where the data folder is there, the small files of the conformance suite. */
function corpus(): Uint8Array[] {
  const files = [SUITE, SMALL]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith("model.onnx"))
        .map((file) => join(folder, file)),
    );
  const small = files.filter((file) => statSync(file).size < 8192).sort((a, c) => (a < c ? -1 : 1));
  // Every fourth file is enough variety for one run.
  return [...ownModels(), ...small.filter((_, i) => i % 4 === 0).map((file) => new Uint8Array(readFileSync(file)))];
}

const HUGE_VARINT = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);

function mutateBytes(random: Random, source: Uint8Array, other: Uint8Array): Uint8Array {
  const at = random.below(source.length);
  const count = 1 + random.below(16);
  const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
  switch (random.below(7)) {
    case 0:
      return source.slice(0, at);
    case 1:
      return join(source.subarray(0, at), source.subarray(at + count));
    case 2:
      return join(
        source.subarray(0, at),
        other.subarray(random.below(other.length)).subarray(0, count),
        source.subarray(at),
      );
    case 3:
      return join(source.subarray(0, at), HUGE_VARINT, source.subarray(at + random.below(9)));
    case 4:
      return join(source.subarray(0, at), source.subarray(at, at + count), source.subarray(at));
    default: {
      const copy = source.slice();
      for (let i = 0; i <= random.below(4); i++) copy[random.below(copy.length)] = random.below(256);
      return copy;
    }
  }
}

const EXTREMES = [
  0,
  -1,
  1,
  2,
  3,
  7,
  -2,
  255,
  65536,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 31,
  2 ** 40,
  2 ** 53,
  2 ** 62,
  -(2 ** 63),
] as const;
const NAMES = importableOps().map((name) => name.split("::")[1] as string);

/** Changes one thing in a decoded model. */
function mutateModel(random: Random, model: ModelProto): void {
  const { graph } = model;
  if (graph === undefined) return;
  const target = nested(random, graph);
  const somewhere = random.pick(target.node.length === 0 ? graph.node : target.node);
  const names = [
    ...target.input.map((info) => info.name),
    ...target.initializer.map((tensor) => tensor.name),
    ...target.node.flatMap((entry) => entry.output),
    "",
  ];
  switch (random.below(12)) {
    case 0:
      if (model.opsetImport[0] !== undefined) model.opsetImport[0].version = 1 + random.below(28);
      return;
    case 1:
      if (somewhere !== undefined) somewhere.opType = random.pick(NAMES);
      return;
    case 2:
      if (somewhere !== undefined && somewhere.input.length > 0)
        somewhere.input[random.below(somewhere.input.length)] = random.pick(names);
      return;
    case 3:
      somewhere?.input.splice(random.below(somewhere.input.length + 1), random.below(2), random.pick(names));
      return;
    case 4:
      if (somewhere !== undefined && somewhere.output.length > 0)
        somewhere.output[random.below(somewhere.output.length)] = random.pick(names);
      return;
    case 5:
      mutateTensor(random, target.initializer[random.below(target.initializer.length)]);
      return;
    case 6: {
      const dims = random.pick(target.input)?.type?.tensorType?.shape?.dim;
      if (dims === undefined) return;
      const dim = random.pick(dims);
      if (dim === undefined || random.below(4) === 0) dims.push({ dimValue: random.pick(EXTREMES), dimParam: "" });
      else dim.dimValue = random.pick(EXTREMES);
      return;
    }
    case 7: {
      const type = random.pick(target.input)?.type?.tensorType;
      if (type !== undefined) type.elemType = random.below(30);
      return;
    }
    case 8:
      if (somewhere !== undefined && somewhere.attribute.length > 0)
        somewhere.attribute.splice(random.below(somewhere.attribute.length), 1);
      return;
    case 9:
      if (graph.node.length > 0)
        target.node.splice(random.below(target.node.length + 1), 0, structuredClone(random.pick(graph.node)));
      return;
    default:
      mutateAttribute(random, somewhere === undefined ? undefined : random.pick(somewhere.attribute));
      return;
  }
}

function nested(random: Random, graph: GraphProto): GraphProto {
  const inner = graph.node.flatMap((entry) => entry.attribute.flatMap((attribute) => attribute.g ?? []));
  return inner.length > 0 && random.below(2) === 0 ? random.pick(inner) : graph;
}

function mutateTensor(random: Random, tensor: TensorProto | undefined): void {
  if (tensor === undefined) return;
  switch (random.below(4)) {
    case 0:
      tensor.dims = [...tensor.dims, random.pick(EXTREMES)];
      return;
    case 1:
      tensor.dims = tensor.dims.map((dim) => (random.below(2) === 0 ? random.pick(EXTREMES) : dim));
      return;
    case 2:
      tensor.dataType = random.below(30);
      return;
    default:
      if (tensor.int64Data.length > 0)
        tensor.int64Data[random.below(tensor.int64Data.length)] = BigInt(random.pick(EXTREMES));
      else if (tensor.rawData !== undefined && tensor.rawData.length > 0)
        tensor.rawData = tensor.rawData.map((byte) => (random.below(3) === 0 ? random.below(256) : byte));
  }
}

function mutateAttribute(random: Random, attribute: AttributeProto | undefined): void {
  if (attribute === undefined) return;
  switch (random.below(5)) {
    case 0:
      attribute.i = random.pick(EXTREMES);
      return;
    case 1:
      attribute.ints = attribute.ints.map((value) => (random.below(2) === 0 ? random.pick(EXTREMES) : value));
      return;
    case 2:
      attribute.ints = [...attribute.ints, random.pick(EXTREMES)];
      return;
    case 3:
      attribute.f = random.pick([Number.NaN, Infinity, -1, 0, 1e30]);
      return;
    default:
      attribute.type = random.below(10);
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error
    ? `${error.stack}\ncaused by ${stackOf(error.cause)}`
    : (error.stack ?? error.message);
}

describe("mutated files", () => {
  it(`${COUNT} files give a graph or a UserError (seed ${SEED})`, () => {
    const files = corpus();
    const device = referenceDevice();
    const random = new Random(SEED);
    const outcomes = { graph: 0, error: 0 };
    const slow: string[] = [];
    const before = process.memoryUsage().rss;
    for (let i = 0; i < COUNT; i++) {
      const source = random.pick(files);
      let bytes: Uint8Array;
      if (random.below(2) === 0) {
        bytes = mutateBytes(random, source, random.pick(files));
      } else {
        const model = decodeMessage(modelSpec, source.slice());
        for (let n = 0; n <= random.below(3); n++) mutateModel(random, model);
        bytes = encodeMessage(modelSpec, model as never);
      }
      const start = performance.now();
      try {
        device.compile(importOnnx(bytes, { name: "fuzz" }).graph);
        outcomes.graph += 1;
      } catch (error) {
        if (!(error instanceof UserError))
          throw new Error(`file ${i} of seed ${SEED}: ${stackOf(error)}`, { cause: error });
        outcomes.error += 1;
      }
      if (performance.now() - start > 2000)
        slow.push(`file ${i} of seed ${SEED} took ${Math.round(performance.now() - start)} ms`);
    }
    console.log(`seed ${SEED}: ${outcomes.graph} graphs, ${outcomes.error} errors`);
    expect(slow).toEqual([]);
    expect(outcomes.error).toBeGreaterThan(COUNT / 10);
    expect(process.memoryUsage().rss - before).toBeLessThan(1.5 * 2 ** 30);
  }, 600_000);
});
