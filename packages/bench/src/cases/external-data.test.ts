import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fileSha256, filesSha256, workloadFacts } from "../harness/claim-facts.ts";
import { externalDataFiles } from "./external-data.ts";
import type { Workload } from "./workload.ts";

const directory = mkdtempSync(join(tmpdir(), "quern-external-"));
afterAll(() => rmSync(directory, { recursive: true }));

type Bytes = readonly number[];

const varint = (value: number): Bytes => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);

/** A field of text or of a message. */
function field(number: number, content: string | Bytes): Bytes {
  const bytes = typeof content === "string" ? [...Buffer.from(content)] : content;
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

/** A tensor (TensorProto) whose data is at `location`. */
const tensor = (location: string): Bytes => [
  ...field(8, "weights"),
  ...field(13, [...field(1, "offset"), ...field(2, "4096")]),
  ...field(13, [...field(1, "location"), ...field(2, location)]),
];

/** A node with an attribute of these fields. */
const node = (attribute: Bytes): Bytes => field(1, field(5, attribute));

function write(name: string, graph: Bytes, more: Bytes = []): string {
  const path = join(directory, name);
  writeFileSync(path, Buffer.from([...varint(1 * 8), 8, ...field(7, graph), ...more]));
  return path;
}

mkdirSync(join(directory, "parts"));
for (const name of ["a.bin", "b.bin", "c.bin", "parts/d.bin", "e.bin"]) writeFileSync(join(directory, name), name);

describe("files of external data", () => {
  it("are found in initialisers, attributes, subgraphs, sparse tensors and functions, each once", () => {
    const path = write(
      "all.onnx",
      [
        ...field(5, tensor("a.bin")),
        ...field(5, tensor("a.bin")),
        ...node(field(5, tensor("b.bin"))),
        ...node(field(6, field(5, tensor("c.bin")))),
        ...field(15, field(1, tensor("parts/d.bin"))),
      ],
      field(25, field(7, field(5, field(10, tensor("e.bin"))))),
    );
    expect(externalDataFiles(path)).toEqual(
      ["a.bin", "b.bin", "c.bin", "parts/d.bin", "e.bin"].map((name) => join(directory, name)),
    );
  });

  it("lie in the folder of the model, and exist", () => {
    const outside = ["../a.bin", "/etc/hostname", "parts/../../x", "none.bin", "parts", ""];
    const path = write(
      "outside.onnx",
      outside.flatMap((location) => field(5, tensor(location))),
    );
    expect(externalDataFiles(path)).toEqual([]);
  });

  it("are none of what is no model", () => {
    const path = join(directory, "nonsense.onnx");
    writeFileSync(path, "nonsense");
    expect(externalDataFiles(path)).toEqual([]);
  });
});

describe("the hash of a model", () => {
  it("depends on every file", () => {
    const modelPath = write("hashed.onnx", [...field(5, tensor("a.bin")), ...field(5, tensor("parts/d.bin"))]);
    const workload = { kind: "model", modelPath, inputs: [], id: "model/hashed", sets: 1 } as unknown as Workload;
    const hash = (): string | undefined => workloadFacts(workload, 1).modelSha256;
    const first = hash();
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    writeFileSync(join(directory, "parts/d.bin"), "other");
    expect(hash()).not.toBe(first);
    writeFileSync(join(directory, "parts/d.bin"), "parts/d.bin");
    expect(hash()).toBe(first);
  });

  it("of one file is that of the file", () => {
    const path = join(directory, "a.bin");
    expect(filesSha256([path])).toBe(fileSha256(path));
    expect(filesSha256([path, join(directory, "b.bin")])).not.toBe(filesSha256([join(directory, "b.bin"), path]));
  });
});
