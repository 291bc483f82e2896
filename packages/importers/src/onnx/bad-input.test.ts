/** Damaged and hostile files: one clear error each, which names the place, and nothing is read that should not be. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "@quern/core";
import { readOnnxFile } from "./file.ts";
import { importOnnx } from "./import.ts";
import { type Partially, encodeMessage } from "./proto/encode.ts";
import { type GraphProto, type NodeProto, type TensorProto, modelSpec } from "./proto/schema.ts";

const relu = (input: string, output: string): Partially<NodeProto> => ({
  opType: "Relu",
  name: `relu_${output}`,
  input: [input],
  output: [output],
});
const x = { name: "x", type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 4 }] } } } };

function encode(graph: Partially<GraphProto>): Uint8Array {
  return encodeMessage(modelSpec, {
    irVersion: 8,
    opsetImport: [{ domain: "", version: 13 }],
    graph: { name: "g", input: [x], output: [{ name: "y" }], ...graph },
  } as never);
}

/** The message of the `UserError` that importing gives. */
function refusal(bytes: Uint8Array): string {
  try {
    importOnnx(bytes, { name: "bad.onnx" });
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  }
  return "imported";
}

function withWeights(tensor: Partially<TensorProto>): Uint8Array {
  return encode({
    node: [{ opType: "Add", name: "add", input: ["x", "w"], output: ["y"] }],
    initializer: [{ name: "w", ...tensor }],
  });
}

describe("damaged files", () => {
  it("that are empty, text or truncated", () => {
    expect(refusal(new Uint8Array(0))).toBe(
      "the file holds no graph\n  at bad.onnx\n  it is empty, truncated, or not an ONNX model",
    );
    expect(refusal(new TextEncoder().encode("<!doctype html><html>"))).toContain("not an ONNX model");
    const whole = encode({ node: [relu("x", "y")] });
    expect(refusal(whole.subarray(0, whole.length - 9))).toContain("malformed protobuf");
  });

  it("with a length past the end", () => {
    expect(refusal(Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0x7f, 0x0a))).toMatch(/past the end|malformed/);
  });

  it("with graphs that do not hang together", () => {
    expect(refusal(encode({ node: [relu("a", "b"), relu("b", "a"), relu("x", "y")] }))).toContain(
      "the graph has a cycle",
    );
    expect(refusal(encode({ node: [relu("lost", "y")] }))).toBe(
      'value "lost" is produced nowhere\n  at Relu "relu_y", bad.onnx\n  it is no graph input, no initializer and no output of a node',
    );
    expect(refusal(encode({ node: [relu("x", "z")] }))).toContain('output "y" is produced nowhere');
    expect(refusal(encode({ node: [relu("x", "y"), relu("x", "y")] }))).toContain('value "y" is produced twice');
    expect(refusal(encode({ node: [relu("x", "y")], input: [x, x] }))).toContain('two graph inputs are named "x"');
  });

  it("with sizes that are none", () => {
    const sized = (dimValue: number): Uint8Array =>
      encode({
        node: [relu("x", "y")],
        input: [
          { name: "x", type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue }, { dimValue: 2 ** 40 }] } } } },
        ] as never,
      });
    expect(refusal(sized(-5))).toContain("dimension -5 of [-5] is not a size");
    expect(refusal(sized(2 ** 40))).toContain("too many elements");
    expect(refusal(withWeights({ dims: [2 ** 40, 2 ** 40, 0], dataType: 1 }))).toContain("too many elements");
    expect(refusal(withWeights({ dims: [-1], dataType: 1 }))).toContain("is not a size");
  });

  it("with data that does not fit to the shape", () => {
    expect(refusal(withWeights({ dims: [4], dataType: 1, rawData: new Uint8Array(15) }))).toBe(
      'f32 tensor of shape [4] needs 16 bytes, the file holds 15\n  at initializer "w", bad.onnx\n  the file is truncated or damaged',
    );
    expect(refusal(withWeights({ dims: [2 ** 33], dataType: 1 }))).toContain(
      "needs 8589934592 elements, the file holds 0",
    );
    expect(refusal(withWeights({ dims: [1], dataType: 99 }))).toContain("element type 99 does not exist");
  });

  it("with sub-graphs nested too deeply", () => {
    let graph: Partially<GraphProto> = { name: "leaf", node: [relu("x", "y")], output: [{ name: "y" }] };
    for (let depth = 0; depth < 60; depth++) {
      const branch = { name: "then_branch", type: 5, g: graph };
      graph = {
        name: `b${depth}`,
        node: [
          {
            opType: "If",
            input: ["c"],
            output: ["y"],
            attribute: [branch, { ...branch, name: "else_branch" }].slice(0, 1),
          },
        ] as never,
        output: [{ name: "y" }],
      };
    }
    expect(refusal(encode(graph))).toContain("nested messages");
  });

  it("with chains longer than the call stack", () => {
    const count = 50_000;
    const long = encode({
      node: Array.from({ length: count }, (_, i) =>
        relu(i === 0 ? "x" : `v${i}`, i === count - 1 ? "y" : `v${i + 1}`),
      ).reverse(),
    });
    expect(refusal(long)).toBe("imported");
  });

  it("with dimension expressions that double in every node", () => {
    const dims = (...names: string[]): Partially<GraphProto>["input"] =>
      names.map((name) => ({ name, type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: name }] } } } }));
    const node = (opType: string, input: string[], output: string, attribute: object[] = []): Partially<NodeProto> => ({
      opType,
      name: output,
      input,
      output: [output],
      attribute,
    });
    const end = [node("Unsqueeze", ["last", "axis"], "shape"), node("ConstantOfShape", ["shape"], "y")];
    const initializer = [{ name: "axis", dims: [1], dataType: 7, int64Data: BigInt64Array.of(0n) }];
    const names = ["a", "b", "c", "d", "e"];
    const squares = Array.from({ length: 40 }, (_, i) =>
      node("Mul", [`s${i}`, `s${i}`], i === 39 ? "last" : `s${i + 1}`),
    );
    const powers = [
      node("Concat", names, "x", [{ name: "axis", type: 2, i: 0 }]),
      node("Size", ["x"], "s0"),
      ...squares,
      ...end,
    ];
    const nested = Array.from({ length: 60 }, (_, i) => [
      node("Max", [`t${i}`, "k"], `m${i}`),
      node("Div", [`m${i}`, "k"], `q${i}`),
      node("Add", [`m${i}`, `q${i}`], i === 59 ? "last" : `t${i + 1}`),
    ]);
    const nest = [node("Size", ["a"], "t0"), node("Size", ["b"], "k"), ...nested.flat(), ...end];
    const start = performance.now();
    expect(refusal(encode({ node: powers, input: dims(...names), initializer }))).toBe("imported");
    expect(refusal(encode({ node: nest, input: dims("a", "b"), initializer }))).toBe("imported");
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("with operator sets that do not exist", () => {
    const versions = (...opsetImport: object[]): Uint8Array =>
      encodeMessage(modelSpec, {
        irVersion: 8,
        opsetImport,
        graph: { name: "g", node: [relu("x", "y")], input: [x], output: [{ name: "y" }] },
      } as never);
    expect(refusal(versions())).toContain("imports no operator set");
    expect(refusal(versions({ domain: "", version: 314159 }))).toContain("opset 314159 is not supported");
    expect(refusal(versions({ domain: "", version: -3 }))).toContain("does not exist");
  });
});

describe("external data", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "quern-external-"));
    mkdirSync(join(folder, "model/sub"), { recursive: true });
    writeFileSync(join(folder, "secret.bin"), new Uint8Array(16));
    writeFileSync(join(folder, "model/w.bin"), new Uint8Array(Float32Array.of(1, 2, 3, 4, 5).buffer));
    symlinkSync(join(folder, "secret.bin"), join(folder, "model/link.bin"));
    symlinkSync(folder, join(folder, "model/sub/up"));
    symlinkSync("w.bin", join(folder, "model/inside.bin"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function load(location: string, more: Readonly<Record<string, string>> = {}): string {
    const externalData = Object.entries({ location, ...more }).map(([key, value]) => ({ key, value }));
    const path = join(folder, "model/net.onnx");
    writeFileSync(path, withWeights({ dims: [4], dataType: 1, dataLocation: 1, externalData }));
    try {
      const { graph } = readOnnxFile(path);
      const data = graph.nodes.find((node) => node.op === "constant")?.attrs["value"] as { bytes: Uint8Array };
      return Array.from(new Float32Array(data.bytes.slice().buffer)).join();
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as UserError).message;
    }
  }

  it("is read from the model's folder, at its offset", () => {
    expect(load("w.bin", { length: "16" })).toBe("1,2,3,4");
    expect(load("w.bin", { offset: "4", length: "16" })).toBe("2,3,4,5");
    expect(load("inside.bin", { length: "16" })).toBe("1,2,3,4");
  });

  it("is refused outside of it", () => {
    expect(load("../secret.bin")).toContain("leaves the model's folder");
    expect(load("sub/../../secret.bin")).toContain("leaves the model's folder");
    expect(load("..\\secret.bin")).toContain("leaves the model's folder");
    expect(load(join(folder, "secret.bin"))).toContain("is absolute");
    expect(load("C:\\secret.bin")).toContain("is absolute");
    expect(load("link.bin")).toContain("is a link that leaves the model's folder");
    expect(load("sub/up/secret.bin")).toContain("is a link that leaves the model's folder");
    expect(load("w.bin\0")).toContain("is not a path");
  });

  it("is refused where bytes are missing", () => {
    expect(load("none.bin")).toContain('external data file "none.bin" cannot be opened');
    expect(load("sub")).toContain("is not a file");
    expect(load("w.bin", { offset: "8", length: "16" })).toContain("ends at byte 20, bytes 8 to 24 are asked for");
    expect(load("w.bin", { offset: "-4", length: "16" })).toContain('offset "-4" is not a whole number');
    expect(load("w.bin", { length: "99999999999999999999" })).toContain("is not a whole number");
    expect(load("w.bin", { offset: "24" })).toContain("ends at byte 20");
    expect(load("w.bin")).toContain("needs 16 bytes, the file holds 20");
    expect(load("")).toContain("without a location");
  });

  it("is named in the error, with tensor and file", () => {
    expect(load("none.bin")).toContain('at initializer "w", net.onnx');
  });
});
