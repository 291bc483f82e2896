/**
 * Lowers a group of pointwise and view ops to one kernel: outer axes are tasks, the last axis is `each`.
 */

import { type Dim, type Shape, shapeSize } from "../dim.ts";
import { DTYPE_INFO } from "../dtype.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/builder.ts";
import type { Buffer, KValue, Kernel } from "../kernel/ir.ts";
import { BodyEmitter, flatten, storeAs } from "./body.ts";
import { collapseAxes } from "./collapse.ts";

/** Elements per task of a kernel over one flat axis: large enough to hide the task loop, small enough to share out. */
const FLAT_CHUNK = 4096;

/** Buffers of a group kernel in order: one per body input, then the output. */
export interface BodyBuffers {
  readonly inputs: ReadonlyMap<Value, Buffer>;
  readonly output: Buffer;
}

export function declareBuffers(k: KernelBuilder, body: Graph, access: "write" | "readwrite" = "write"): BodyBuffers {
  const inputs = new Map<Value, Buffer>();
  for (const { name, value } of body.inputs)
    inputs.set(value, k.buffer(name, value.type.dtype, shapeSize(value.type.shape)));
  const { type } = (body.outputs[0] as { value: Value }).value;
  return { inputs, output: k.buffer("y", type.dtype, shapeSize(type.shape), { access }) };
}

/** One kernel for `body` (inputs in order, then the output). Errors of op records pass through. */
export function lowerPointwise(name: string, original: Graph): Kernel {
  const body = collapseAxes(original);
  const k = new KernelBuilder(name);
  const buffers = declareBuffers(k, body);
  const result = (body.outputs[0] as { value: Value }).value;
  const { shape } = result.type;
  const element = (index: readonly KValue[]): void => {
    const emitter = new BodyEmitter(k, (input) => buffers.inputs.get(input));
    storeAs(k, buffers.output, flatten(k, index, shape), emitter.at(result, { index }));
  };
  if (shape.length <= 1) flatLoop(k, shape[0] ?? 1, shape.length === 0 ? () => element([]) : (i) => element([i]));
  else nestedLoop(k, shape, element);
  return k.finish();
}

/** Tasks of `FLAT_CHUNK` elements. */
function flatLoop(k: KernelBuilder, size: Dim, element: (i: KValue) => void): void {
  const count =
    typeof size === "number" ? Math.ceil(size / FLAT_CHUNK) : k.div(k.add(k.index(size), FLAT_CHUNK - 1), FLAT_CHUNK);
  k.parallel(count, (chunk) => {
    const start = k.mul(chunk, FLAT_CHUNK);
    const even = typeof size === "number" && size % FLAT_CHUNK === 0;
    const length =
      count === 1 && typeof size === "number"
        ? size
        : even
          ? FLAT_CHUNK
          : k.min(k.sub(k.index(size), start), FLAT_CHUNK);
    k.each(length, (i) => element(k.add(start, i)));
  });
}

function nestedLoop(k: KernelBuilder, shape: Shape, element: (index: readonly KValue[]) => void): void {
  const descend = (axis: number, index: readonly KValue[]): void => {
    if (axis === shape.length - 1) k.each(shape[axis] as Dim, (i) => element([...index, i]));
    else k.parallel(shape[axis] as Dim, (i) => descend(axis + 1, [...index, i]));
  };
  descend(0, []);
}

/** Bytes that the kernel of `body` reads and writes at least. */
export function bodyBytes(body: Graph): Dim | undefined {
  let bytes = 0;
  for (const { value } of [...body.inputs, ...body.outputs]) {
    const size = shapeSize(value.type.shape);
    if (typeof size !== "number") return undefined;
    bytes += size * DTYPE_INFO[value.type.dtype].bytes;
  }
  return bytes;
}
