/** Tiny models as GGUF files with random weights, changed where a test asks for it. */

import { blockTypeNamed, randomNumbers } from "@quern/core";
import { type GgufFile, type GgufValue, GgufWriter, MemorySink, parseGguf } from "@quern/importers/gguf";
import type { PlainModel } from "./plain-forward.test-support.ts";
import { EPSILON, type TinyModel, VOCABULARY } from "./tiny-models.test-support.ts";

const [F32, F16] = [blockTypeNamed("F32")!, blockTypeNamed("F16")!];

/** Changes to a file before it is written: other metadata, other tensors; undefined takes one out. */
export interface Changes {
  readonly metadata?: Readonly<Record<string, GgufValue | undefined>>;
  readonly shapes?: Readonly<Record<string, readonly number[] | undefined>>;
  /** Matrices in F16; in F32 by default. */
  readonly half?: boolean;
}

export interface TinyFile {
  readonly bytes: Uint8Array;
  readonly file: GgufFile;
  readonly plain: PlainModel;
}

/** Writes the model with random weights of `seed`, and reads it. */
export function writeTiny(model: TinyModel, seed: number, changes: Changes = {}): TinyFile {
  const prefixed = (key: string): string => (/^(general|tokenizer)\./.test(key) ? key : `${model.architecture}.${key}`);
  const entries = {
    "general.architecture": { type: "string", value: model.architecture } as const,
    ...model.metadata,
    ...changes.metadata,
  };
  const metadata = Object.entries(entries).flatMap(([key, value]) =>
    value === undefined ? [] : [[prefixed(key), value] as const],
  );
  const shapes = Object.entries({ ...model.shapes, ...changes.shapes }).flatMap(([name, shape]) =>
    shape === undefined ? [] : [{ name, shape, type: changes.half === true && shape.length > 1 ? F16 : F32 }],
  );
  const sink = new MemorySink("tiny.gguf");
  const writer = new GgufWriter(sink, { metadata, tensors: shapes });
  const random = randomNumbers(seed);
  const data = new Map<string, { shape: readonly number[]; data: Float64Array }>();
  for (const { name, shape, type } of shapes) {
    const values = model.fixed?.[name] ?? draw(name, shape, random);
    const stored = type === F16 ? Float16Array.from(values) : Float32Array.from(values);
    writer.tensor(name, new Uint8Array(stored.buffer));
    data.set(name, { shape, data: Float64Array.from(stored) });
  }
  writer.finish();
  const bytes = sink.bytes();
  const plain: PlainModel = { ...model.plain, epsilon: EPSILON, tensor: (name) => data.get(name) };
  return { bytes, file: parseGguf(bytes, { name: "tiny.gguf" }), plain };
}

function draw(name: string, shape: readonly number[], random: () => number): number[] {
  const count = shape.reduce((product, size) => product * size, 1);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  if (name.endsWith("norm.weight")) return Array.from({ length: count }, () => 1 + 0.3 * normal());
  if (name.endsWith(".bias")) return Array.from({ length: count }, () => 0.3 * normal());
  // Sums of products keep their size; queries and keys are larger so that scores differ.
  const spread = (/attn_(q|k|qkv)\./.test(name) ? 1.5 : 1) / Math.sqrt(name.includes("embd") ? 1 : shape.at(-1)!);
  return Array.from({ length: count }, () => spread * normal());
}

/** Random token ids. */
export function randomIds(count: number, seed: number): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => Math.floor(random() * VOCABULARY));
}
