/**
 * The ONNX backend test suite on the reference interpreter, and the small and real models beside it.
 *
 * Every case must pass or be refused as unsupported: a wrong answer, another error or a crash fails the test. Cases that
 * pass small integer arguments such as axes and shapes as graph inputs are imported a second time with those arguments
 * given at import; they are counted apart ("fixed").
 */

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import {
  ARRAY_OF,
  type ConstantData,
  type Device,
  type DType,
  Tensor,
  UnsupportedError,
  UserError,
  referenceDevice,
} from "@quern/core";
import { readOnnxFile } from "./file.ts";
import { decodeMessage } from "./proto/decode.ts";
import { modelSpec, tensorSpec } from "./proto/schema.ts";
import { constantOf } from "./tensor.ts";

const DATA = resolve(import.meta.dirname, "../../../../../shared/data");
const SUITE = join(DATA, "onnx-conformance");
const missing = existsSync(SUITE) ? undefined : `${SUITE} is not there`;

type Outcome = "pass" | "fixed" | "unsupported" | "wrong" | "refused" | "crash";

interface Result {
  readonly name: string;
  readonly outcome: Outcome;
  readonly message: string;
}

function readProto(path: string): ConstantData {
  return constantOf(decodeMessage(tensorSpec, readFileSync(path)), path, undefined);
}

function tensorOf({ dtype, shape, bytes }: ConstantData): Tensor {
  return new Tensor(dtype, shape, new ARRAY_OF[dtype](bytes.slice().buffer));
}

const NPY_TYPES: Readonly<Record<string, DType>> = {
  "<f4": "f32",
  "<f8": "f64",
  "<f2": "f16",
  "<i8": "i64",
  "<i4": "i32",
  "<i2": "i16",
  "|i1": "i8",
  "<u8": "u64",
  "<u4": "u32",
  "<u2": "u16",
  "|u1": "u8",
  "|b1": "bool",
};

/** Arrays in NumPy format 1.0, as the data folder has them. */
function readNpy(path: string): ConstantData {
  const bytes = new Uint8Array(readFileSync(path));
  const start = 10 + (bytes[8] as number) + 256 * (bytes[9] as number);
  const header = new TextDecoder().decode(bytes.subarray(10, start));
  const descr = /'descr': *'([^']+)'/.exec(header)?.[1] ?? "";
  const dtype = NPY_TYPES[descr];
  if (dtype === undefined || /'fortran_order': *True/.test(header)) throw new Error(`${path}: ${header}`);
  const shape = (/'shape': *\(([^)]*)\)/.exec(header)?.[1] ?? "")
    .split(",")
    .map((text) => text.trim())
    .filter((text) => text !== "")
    .map(Number);
  return { dtype, shape, bytes: bytes.slice(start) };
}

interface Bound {
  readonly rtol: number;
  readonly atol: number;
}

/** Bounds of the data folder's README; half-precision types have about three digits. */
function boundOf(dtype: DType): Bound {
  return dtype === "f16" || dtype === "bf16" ? { rtol: 1e-2, atol: 1e-3 } : { rtol: 1e-3, atol: 1e-5 };
}

/** Cases with a bound of their own, and why. */
const OWN_BOUNDS: Readonly<Record<string, Bound & { readonly why: string }>> = {
  "node/test_dynamicquantizelinear_expanded": {
    rtol: 0,
    atol: 1,
    why: "the interpreter keeps the scale in float64 between nodes, which decides a rounding tie",
  },
};

/** Where two tensors differ, if they do. */
function difference(actual: Tensor | undefined, expected: Tensor, bound: Bound): string | undefined {
  if (actual === undefined) return "is missing";
  if (actual.dtype !== expected.dtype) return `is ${actual.dtype}, expected ${expected.dtype}`;
  if (actual.shape.join() !== expected.shape.join())
    return `has shape [${actual.shape.join()}], expected [${expected.shape.join()}]`;
  const [x, y] = [actual.toArray(), expected.toArray()];
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i] as number, y[i] as number];
    if (
      Object.is(a, b) ||
      a === b ||
      !(Math.abs(a - b) > bound.atol + bound.rtol * Math.abs(b) || Number.isNaN(a) !== Number.isNaN(b))
    )
      continue;
    return `element ${i} is ${a}, expected ${b}`;
  }
  return undefined;
}

function describeError(error: unknown): { outcome: Outcome; message: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UnsupportedError) return { outcome: "unsupported", message };
  if (error instanceof UserError) return { outcome: "refused", message };
  return { outcome: "crash", message: error instanceof Error ? (error.stack ?? message) : message };
}

/** Small arguments among the inputs of a data set, for import as constants. */
function smallArguments(folder: string, names: readonly string[]): Record<string, ConstantData> {
  const constants: Record<string, ConstantData> = {};
  names.forEach((name, i) => {
    const path = join(folder, "test_data_set_0", `input_${i}.pb`);
    if (!existsSync(path)) return;
    const proto = decodeMessage(tensorSpec, readFileSync(path));
    // Only what can be an argument of an op: at most 16 elements in one dimension, of a type that we have.
    if (proto.dims.length > 1 || (proto.dims[0] ?? 1) > 16 || ![1, 6, 7, 9].includes(proto.dataType)) return;
    constants[name] = constantOf(proto, path, undefined);
  });
  return constants;
}

function runCase(device: Device, folder: string, name: string): Result {
  const model = join(folder, "model.onnx");
  try {
    const declared = decodeMessage(modelSpec, readFileSync(model)).graph;
    const initial = new Set(declared?.initializer.map((tensor) => tensor.name));
    const names = (declared?.input ?? []).map((input) => input.name).filter((input) => !initial.has(input));
    let outcome: Outcome = "pass";
    let graph;
    try {
      ({ graph } = readOnnxFile(model));
    } catch (error) {
      const constants = smallArguments(folder, names);
      if (!(error instanceof UnsupportedError) || Object.keys(constants).length === 0) throw error;
      ({ graph } = readOnnxFile(model, { constants }));
      outcome = "fixed";
    }
    const executable = device.compile(graph);
    for (const set of readdirSync(folder).filter((entry) => entry.startsWith("test_data_set"))) {
      // Constants were taken from the first data set.
      if (outcome === "fixed" && set !== "test_data_set_0") continue;
      const inputs = Object.fromEntries(
        executable.inputs.map((input) => [
          input.name,
          tensorOf(readProto(join(folder, set, `input_${names.indexOf(input.name)}.pb`))),
        ]),
      );
      const outputs = executable.runSync(inputs);
      for (const [i, output] of executable.outputs.entries()) {
        const wrong = difference(
          outputs[output.name],
          tensorOf(readProto(join(folder, set, `output_${i}.pb`))),
          OWN_BOUNDS[name] ?? boundOf(output.dtype),
        );
        if (wrong !== undefined) return { name, outcome: "wrong", message: `${set}, output "${output.name}" ${wrong}` };
      }
    }
    return { name, outcome, message: "" };
  } catch (error) {
    return { name, ...describeError(error) };
  }
}

function printTable(rows: Readonly<Record<string, readonly Result[]>>): void {
  const outcomes: readonly Outcome[] = ["pass", "fixed", "unsupported", "wrong", "refused", "crash"];
  const table = Object.fromEntries(
    Object.entries(rows).map(([kind, results]) => [
      kind,
      {
        ...Object.fromEntries(
          outcomes.map((outcome) => [outcome, results.filter((result) => result.outcome === outcome).length]),
        ),
        total: results.length,
      },
    ]),
  );
  console.table(table);
  if (process.env["QUERN_CONFORMANCE"] === "list") {
    for (const result of Object.values(rows).flat())
      if (result.outcome === "unsupported") console.log(`${result.name}: ${result.message.split("\n")[0]}`);
  }
}

function failures(results: readonly Result[]): string[] {
  return results
    .filter(({ outcome }) => outcome === "wrong" || outcome === "refused" || outcome === "crash")
    .map(({ name, outcome, message }) => `${outcome}: ${name}: ${message}`);
}

describe("ONNX backend test suite", () => {
  it.skipIf(missing !== undefined)(
    `passes or refuses every case${missing === undefined ? "" : ` (skipped: ${missing})`}`,
    () => {
      const device = referenceDevice();
      const rows: Record<string, Result[]> = {};
      for (const kind of ["node", "pytorch-converted", "pytorch-operator", "simple"]) {
        rows[kind] = readdirSync(join(SUITE, kind)).map((name) =>
          runCase(device, join(SUITE, kind, name), `${kind}/${name}`),
        );
      }
      // The light nets are whole networks without trained weights: too slow in float64, so they are only imported.
      rows["light (import)"] = readdirSync(join(SUITE, "light"))
        .filter((file) => file.endsWith(".onnx"))
        .map((file) => {
          try {
            device.compile(readOnnxFile(join(SUITE, "light", file)).graph);
            return { name: `light/${file}`, outcome: "pass", message: "" };
          } catch (error) {
            return { name: `light/${file}`, ...describeError(error) };
          }
        });
      printTable(rows);
      const all = Object.values(rows).flat();
      expect(failures(all)).toEqual([]);
      const passed = all.filter(({ outcome }) => outcome === "pass" || outcome === "fixed").length;
      const unaided = all.filter(({ outcome }) => outcome === "pass").length;
      expect(passed / all.length).toBeGreaterThan(0.8);
      expect(unaided / all.length).toBeGreaterThan(0.6);
    },
    300_000,
  );
});

/** Models that the table of expectations judges differently than we do. */
const SMALL_EXCEPTIONS: Readonly<Record<string, string>> = {
  "onnx2c-local_ops/test_resize_downsample_sizes_linear_1D":
    "a later node produces the name; nodes are taken in any order",
};

describe("small models", () => {
  const table = join(DATA, "onnx-small/cases.tsv");
  const absent = existsSync(table) ? undefined : `${table} is not there`;
  it.skipIf(absent !== undefined)(
    `run, or are refused as the table says${absent === undefined ? "" : ` (skipped: ${absent})`}`,
    () => {
      const device = referenceDevice();
      const rows: Record<string, Result[]> = {};
      const surprises: string[] = [];
      for (const line of readFileSync(table, "utf8").trim().split("\n").slice(1)) {
        const [name = "", expectation = "", data = ""] = line.split("\t");
        const result = runFolder(device, join(DATA, "onnx-small", name), "model.onnx", data === "shape-only");
        (rows[expectation] ??= []).push({ ...result, name });
        if (SMALL_EXCEPTIONS[name] !== undefined) continue;
        const served = result.outcome === "pass";
        if (expectation === "must-fail" && served) surprises.push(`${name} must be refused`);
        if (
          result.outcome === "crash" ||
          result.outcome === "wrong" ||
          (expectation === "run" && result.outcome === "refused")
        )
          surprises.push(`${name}: ${result.outcome}: ${result.message}`);
      }
      printTable(rows);
      expect(surprises).toEqual([]);
      const must = rows["run"] as Result[];
      expect(must.filter(({ outcome }) => outcome === "pass").length / must.length).toBeGreaterThan(0.8);
    },
    120_000,
  );
});

/** Runs the case folders beside a model on the reference interpreter. */
function runFolder(device: Device, folder: string, file: string, shapesOnly: boolean, bound?: Bound): Result {
  const name = `${folder}/${file}`;
  try {
    const { graph } = readOnnxFile(join(folder, file));
    const executable = device.compile(graph);
    for (const set of readdirSync(folder)
      .filter((entry) => /^case-\d+$/.test(entry))
      .slice(0, 2)) {
      const read = (kind: "in" | "out", tensor: string): Tensor => {
        const path = join(
          folder,
          set,
          `${kind}-${encodeURIComponent(tensor).replace(/[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}.npy`,
        );
        return tensorOf(readNpy(path));
      };
      const outputs = executable.runSync(
        Object.fromEntries(executable.inputs.map((input) => [input.name, read("in", input.name)])),
      );
      for (const output of executable.outputs) {
        const expected = read("out", output.name);
        const actual = outputs[output.name];
        const wrong = shapesOnly
          ? actual?.shape.join() === expected.shape.join()
            ? undefined
            : "has another shape"
          : difference(actual, expected, bound ?? boundOf(output.dtype));
        if (wrong !== undefined) return { name, outcome: "wrong", message: `${set}, output "${output.name}" ${wrong}` };
      }
    }
    return { name, outcome: "pass", message: "" };
  } catch (error) {
    return { name, ...describeError(error) };
  }
}

describe("models", () => {
  const MODELS: readonly (readonly [folder: string, file: string])[] = [
    ["onnx-models/mnist/burn-cnn", "model.onnx"],
    ["onnx-models/mnist/onnx2c-mlp", "model.onnx"],
    ["onnx-models/mnist/ort-cnn", "model.onnx"],
    ["onnx-models/mnist/zoo-7", "model.onnx"],
    ["onnx-models/mnist/zoo-8", "model.onnx"],
    ["onnx-models/tinyxlmroberta-ce", "model.onnx"],
    ["onnx-models/silero-vad-v6/silero_vad", "model.onnx"],
    ["onnx-models/silero-vad-v6/silero_vad_16k_op15", "model.onnx"],
    ["onnx-models/silero-vad-v6/silero_vad_op18_ifless", "model.onnx"],
    ["onnx-models/silero-vad-v6/silero_vad_openvino_16k", "model.onnx"],
    ["onnx-models/tract/qlstm_3-2-3_T3_S1", "model.onnx"],
    ["onnx-models/ultraface/version-slim-320", "model.onnx"],
    ["derived/cifar10-resnet20", "resnet20.onnx"],
    ["derived/stories260K", "stories260K.onnx"],
  ];
  for (const [folder, file] of MODELS) {
    const absent = existsSync(join(DATA, folder, file)) ? undefined : `${folder}/${file} is not there`;
    it.skipIf(absent !== undefined)(
      `${folder} gives the golden outputs${absent === undefined ? "" : ` (skipped: ${absent})`}`,
      () => {
        const result = runFolder(referenceDevice(), join(DATA, folder), file, false, { rtol: 1e-3, atol: 1e-4 });
        expect(result).toMatchObject({ outcome: "pass" });
      },
      120_000,
    );
  }
});
