/** Changes to ONNX files that a fuzz test makes: to their bytes, and to their decoded messages. */

import { Random } from "../random.test-support.ts";
import { importableOps } from "./ops/registry.ts";
import { decodeMessage } from "./proto/decode.ts";
import { encodeMessage } from "./proto/encode.ts";
import { type AttributeProto, type GraphProto, type ModelProto, type TensorProto, modelSpec } from "./proto/schema.ts";

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

/** File `index` of `seed`: one of `files`, changed. The same arguments give the same file. */
export function mutatedFile(files: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  const random = new Random(seed ^ Math.imul(index + 1, 0x9e3779b1));
  const source = random.pick(files);
  if (random.below(2) === 0) return mutateBytes(random, source, random.pick(files));
  const model = decodeMessage(modelSpec, source.slice());
  for (let n = 0; n <= random.below(3); n++) mutateModel(random, model);
  return encodeMessage(modelSpec, model as never);
}
