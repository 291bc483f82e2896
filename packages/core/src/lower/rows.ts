/**
 * Lowers softmax and the row norms, with pointwise work before and after, to one kernel that every target shares.
 *
 * Normalised last axes: one row per task, vector lanes (CPU) or invocations (GPU) along the row. Softmax over another
 * axis: `each` over the axes behind it. Softmax subtracts the maximum; norms take mean and variance in two passes over a
 * row, which is in the first-level cache by then.
 */

import { type Dim, shapeSize } from "../dim.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/builder.ts";
import type { KValue, Kernel } from "../kernel/ir.ts";
import { exp, expNonPositive, log } from "../kernel/math.ts";
import { ROW_OPS } from "../passes/fuse.ts";
import { BodyEmitter, computeType, flatten, storeAs } from "./body.ts";
import { declareBuffers } from "./pointwise.ts";

export function findRowOp(body: Graph): Node | undefined {
  return body.nodes.find((node) => ROW_OPS.has(node.op));
}

/** One kernel for `body` (inputs in order, then the output). */
export function lowerRows(name: string, body: Graph): Kernel {
  const k = new KernelBuilder(name);
  const anchor = findRowOp(body) as Node;
  const source = anchor.inputs[0] as Value;
  const result = (body.outputs[0] as { value: Value }).value;
  // Exponentials wait in the result, where nothing follows and nothing is lost by rounding.
  const stages = anchor.op === "softmax" && result === anchor.outputs[0] && result.type.dtype === "f32";
  const buffers = declareBuffers(k, body, stages ? "readwrite" : "write");
  const { shape } = source.type;
  const axis = anchor.attrs["axis"] as number;
  const softmax = anchor.op === "softmax" || anchor.op === "logSoftmax";
  const behind = softmax ? axis + 1 : shape.length;
  const rowAxes = shape.slice(axis, behind);
  const row: Row = {
    k,
    anchor,
    emitter: new BodyEmitter(k, (input) => buffers.inputs.get(input)),
    length: shapeSize(rowAxes),
    element: (place) => {
      row.emitter.leaveBlock();
      const value = row.emitter.at(source, { index: place });
      row.emitter.leaveBlock();
      return value;
    },
    store: (place, value) => {
      row.emitter.leaveBlock();
      row.emitter.give(anchor.outputs[0] as Value, value);
      storeAs(k, buffers.output, flatten(k, place, result.type.shape), row.emitter.at(result, { index: place }));
      row.emitter.leaveBlock();
    },
  };
  if (stages) {
    const offset = (place: readonly KValue[]): KValue => flatten(k, place, result.type.shape);
    row.staging = {
      put: (place, value) => k.store(buffers.output, offset(place), value),
      get: (place) => k.load(buffers.output, offset(place)),
    };
  }
  const tasks = shape.slice(0, axis);
  const descend = (outer: readonly KValue[]): void => {
    const next = tasks[outer.length];
    if (next !== undefined) return k.parallel(next, (i) => descend([...outer, i]));
    const inner = shape.slice(behind);
    const alongRow = (i: KValue): KValue[] => unflatten(k, i, rowAxes);
    if (shapeSize(inner) === 1) return wholeRow(row, (i) => [...outer, ...alongRow(i), ...inner.map(() => k.index(0))]);
    k.each(shapeSize(inner), (at) => stridedSoftmax(row, (i) => [...outer, i, ...unflatten(k, at, inner)]));
  };
  if (tasks.length === 0) k.parallel(1, () => descend([]));
  else descend([]);
  return k.finish();
}

interface Row {
  readonly k: KernelBuilder;
  readonly anchor: Node;
  readonly emitter: BodyEmitter;
  readonly length: Dim;
  element(place: readonly KValue[]): KValue;
  /** Stores the result of the group for this result of the anchor. */
  store(place: readonly KValue[], value: KValue): void;
  /** Memory for an intermediate of every result of the anchor. */
  staging?: { put(place: readonly KValue[], value: KValue): void; get(place: readonly KValue[]): KValue };
}

type Places = (i: KValue) => KValue[];

function unflatten(k: KernelBuilder, offset: KValue, shape: readonly Dim[]): KValue[] {
  let rest = offset;
  const index: KValue[] = [];
  for (let axis = shape.length - 1; axis > 0; axis--) {
    const size = k.index(shape[axis] as Dim);
    index.unshift(k.rem(rest, size));
    rest = k.div(rest, size);
  }
  return shape.length === 0 ? index : [rest, ...index];
}

function wholeRow(row: Row, places: Places): void {
  const { k, anchor, length } = row;
  if (anchor.op === "softmax" || anchor.op === "logSoftmax") {
    const top = k.reduce("max", length, (i) => row.element(places(i)));
    const term = (place: readonly KValue[]): KValue => expNonPositive(k, k.sub(row.element(place), top));
    const total = k.reduce("sum", length, (i) => {
      const value = term(places(i));
      row.staging?.put(places(i), value);
      return value;
    });
    if (anchor.op === "softmax") {
      const scale = k.div(1, total);
      k.each(length, (i) => row.store(places(i), k.mul((row.staging?.get ?? term)(places(i)), scale)));
    } else {
      // The difference from the maximum first: top + log(total) would round away what large rows differ by.
      const shift = log(k, total);
      k.each(length, (i) => row.store(places(i), k.sub(k.sub(row.element(places(i)), top), shift)));
    }
    return;
  }
  const count = k.cast(k.index(length), computeType((anchor.outputs[0] as Value).type.dtype));
  const centre = anchor.op === "layerNorm";
  const mean = centre
    ? k.div(
        k.reduce("sum", length, (i) => row.element(places(i))),
        count,
      )
    : undefined;
  const centred = (i: KValue): KValue =>
    mean === undefined ? row.element(places(i)) : k.sub(row.element(places(i)), mean);
  const squares = k.reduce("sum", length, (i) => {
    const x = centred(i);
    return k.mul(x, x);
  });
  const scale = k.div(1, k.sqrt(k.add(k.div(squares, count), anchor.attrs["epsilon"] as number)));
  const [, weight, bias] = anchor.inputs;
  k.each(length, (i) => {
    const place = places(i);
    const operand = (value: Value): KValue => {
      const skipped = place.length - value.type.shape.length;
      return row.emitter.at(value, { index: place.slice(skipped) });
    };
    let y = k.mul(centred(i), scale);
    if (weight !== undefined) y = k.mul(y, operand(weight));
    if (bias !== undefined) y = k.add(y, operand(bias));
    row.store(place, y);
  });
}

/** Softmax along an axis that is not the last: every lane walks its own row. */
function stridedSoftmax(row: Row, places: Places): void {
  const { k, anchor, length } = row;
  const dtype = computeType((anchor.outputs[0] as Value).type.dtype);
  const top = k.local("top", dtype, -Infinity);
  k.for({ end: length }, (i) => k.assign(top, k.max(k.read(top), row.element(places(i)))));
  const total = k.local("total", dtype, 0);
  const highest = k.read(top);
  k.for({ end: length }, (i) => k.assign(total, k.add(k.read(total), exp(k, k.sub(row.element(places(i)), highest)))));
  const sum = k.read(total);
  const scale = k.div(1, sum);
  const shift = anchor.op === "logSoftmax" ? log(k, sum) : undefined;
  k.for({ end: length }, (i) => {
    const x = k.sub(row.element(places(i)), highest);
    row.store(places(i), shift === undefined ? k.mul(exp(k, x), scale) : k.sub(x, shift));
  });
}
