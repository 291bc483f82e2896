/**
 * Mutated model files: whatever is in the bytes, the importer gives a graph or a `UserError`, soon and in little memory.
 *
 * Two kinds of mutation: of bytes (flips, cuts, huge varints, splices), and of decoded messages (extreme numbers,
 * exchanged names, ops and types), which reach the op functions. `QUERN_FUZZ` sets the number of files, `QUERN_SEED`
 * the seed; a failure prints the seed and the number of the file, and `QUERN_FUZZ_FIRST` with that number repeats it
 * alone. `QUERN_FUZZ_TRACE` names a file that always holds the number of the current one, should the process end.
 */

import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError, referenceDevice } from "@quern/core";
import { importOnnx } from "./import.ts";
import { mutatedFile } from "./mutate.test-support.ts";
import { encodeMessage } from "./proto/encode.ts";
import { modelSpec } from "./proto/schema.ts";

const COUNT = Number(process.env["QUERN_FUZZ"] ?? 2000);
const FIRST = Number(process.env["QUERN_FUZZ_FIRST"] ?? 0);
const TRACE = process.env["QUERN_FUZZ_TRACE"];
const SEED = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
const SUITE = resolve(import.meta.dirname, "../../../../../shared/data/onnx-conformance/node");
const SMALL = resolve(import.meta.dirname, "../../../../../shared/data/onnx-small");

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
    const outcomes = { graph: 0, error: 0 };
    const slow: string[] = [];
    const before = process.memoryUsage().rss;
    for (let i = FIRST; i < FIRST + COUNT; i++) {
      const bytes = mutatedFile(files, SEED, i);
      if (TRACE !== undefined) writeFileSync(TRACE, `file ${i} of seed ${SEED}\n`);
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
    if (COUNT >= 100) expect(outcomes.error).toBeGreaterThan(COUNT / 10);
    expect(process.memoryUsage().rss - before).toBeLessThan(1.5 * 2 ** 30);
  }, 600_000);
});
