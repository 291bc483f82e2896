/**
 * Emits the work of a group body at one place: one element (scalar lowering) or consecutive elements of the last axis
 * (epilogues of hand-written kernels). Views are index arithmetic; nothing is stored in between.
 */

import { type Dim, type Shape, dimMul } from "../dim.ts";
import type { DType } from "../dtype.ts";
import { InternalError, invariant } from "../errors.ts";
import { type TensorType, type Value } from "../graph/graph.ts";
import type { KernelBuilder } from "../kernel/builder.ts";
import type { Buffer, KValue } from "../kernel/ir.ts";
import { findOp } from "../ops/registry.ts";
import { splatOf } from "../passes/simplify.ts";

export interface Place {
  /** One scalar index per axis of the value; with several lanes the last is the first of consecutive ones. */
  readonly index: readonly KValue[];
  /** Lanes along the last axis. 1 by default. */
  readonly lanes?: number;
  /** Lanes that exist; others are neither read nor meaningful. */
  readonly mask?: KValue | undefined;
}

/** Storage types that kernels compute in f32. */
export function computeType(dtype: DType): DType {
  return dtype === "f16" || dtype === "bf16" ? "f32" : dtype;
}

export class BodyEmitter {
  readonly #k: KernelBuilder;
  readonly #bufferOf: (input: Value) => Buffer | undefined;
  /** Values that are computed already, such as the result of the anchor. */
  readonly #given = new Map<Value, KValue>();
  readonly #memo = new Map<string, KValue>();
  readonly #ids = new Map<Value, number>();

  /** `bufferOf` gives the memory of the body's inputs, asked when one is read. */
  constructor(k: KernelBuilder, bufferOf: (input: Value) => Buffer | undefined) {
    this.#k = k;
    this.#bufferOf = bufferOf;
  }

  /** States the element (or lanes) of `value`; forgets whatever was derived from an earlier one. */
  give(value: Value, element: KValue): void {
    this.#given.set(value, element);
    this.#memo.clear();
  }

  /** The element of `value` at `place`, in the compute type of its dtype. */
  at(value: Value, place: Place): KValue {
    const given = this.#given.get(value);
    if (given !== undefined) return given;
    const key = `${this.#id(value)}@${place.index.map((i) => i.id).join()};${place.mask?.id ?? ""};${place.lanes ?? 1}`;
    let element = this.#memo.get(key);
    if (element === undefined) this.#memo.set(key, (element = this.#emit(value, place)));
    return element;
  }

  /** Forgets shared elements: required whenever control flow leaves the block in which they were computed. */
  leaveBlock(): void {
    this.#memo.clear();
  }

  #id(value: Value): number {
    let id = this.#ids.get(value);
    if (id === undefined) this.#ids.set(value, (id = this.#ids.size));
    return id;
  }

  #emit(value: Value, place: Place): KValue {
    const k = this.#k;
    const { node, type } = value;
    const compute = computeType(type.dtype);
    const buffer = node.op === "input" ? this.#bufferOf(value) : undefined;
    if (buffer !== undefined) return this.#load(buffer, type, place);
    const literal = node.op === "constant" ? splatOf(value) : undefined;
    if (literal !== undefined) return k.const(compute, type.dtype === "bool" ? literal !== 0 : literal);
    const op = findOp(node.op);
    if (op.pointwise !== undefined) {
      const args = node.inputs.map((input) =>
        this.at(input as Value, this.#broadcastPlace(place, (input as Value).type.shape, type.shape)),
      );
      const result = op.pointwise.emit(k, args, node.attrs, compute);
      // A cast to a narrow float keeps its rounding although the arithmetic goes on in f32.
      return node.op === "cast" && compute !== type.dtype ? k.cast(k.cast(result, type.dtype), compute) : result;
    }
    if (op.view !== undefined) return this.#view(value, place);
    throw new InternalError(`lowering: ${node.op} cannot be computed inside a group`);
  }

  #view(value: Value, place: Place): KValue {
    const k = this.#k;
    const { node, type } = value;
    invariant((place.lanes ?? 1) === 1, () => `lowering: view ${node.op} in a vector epilogue`);
    const source = node.inputs[0] as Value;
    const mapped = findOp(node.op).view?.map(k, place.index, source.type, type, node.attrs);
    invariant(mapped !== undefined, () => `lowering: ${node.op} has no view rule`);
    if (mapped.valid === undefined) return this.at(source, { index: mapped.index, mask: place.mask });
    const mask = place.mask === undefined ? mapped.valid : k.and(place.mask, mapped.valid);
    const inner = this.at(source, { index: mapped.index, mask });
    const fill = mapped.fill ?? 0;
    return k.select(mapped.valid, inner, k.const(inner.type.dtype, inner.type.dtype === "bool" ? fill !== 0 : fill));
  }

  #broadcastPlace(place: Place, shape: Shape, target: Shape): Place {
    const skipped = target.length - shape.length;
    const index = shape.map((dim, axis) =>
      dim === 1 && target[axis + skipped] !== 1 ? this.#k.index(0) : (place.index[axis + skipped] as KValue),
    );
    // An operand without extent along the last axis is one element for all lanes.
    const uniform = shape.length === 0 || (shape.at(-1) === 1 && target.at(-1) !== 1);
    // It exists whichever lanes do; a scalar mask says whether the place itself exists.
    const mask = (place.mask?.type.lanes ?? 1) === 1 ? place.mask : undefined;
    return uniform ? { index, lanes: 1, mask } : { ...place, index };
  }

  #load(buffer: Buffer, type: TensorType, place: Place): KValue {
    const offset = flatten(this.#k, place.index, type.shape);
    const element = this.#k.load(buffer, offset, { lanes: place.lanes ?? 1, mask: place.mask });
    const compute = computeType(type.dtype);
    return compute === type.dtype ? element : this.#k.cast(element, compute);
  }
}

/** Row-major element offset of `index` in `shape`. */
export function flatten(k: KernelBuilder, index: readonly KValue[], shape: Shape): KValue {
  let stride: Dim = 1;
  let offset = k.index(0);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    offset = k.add(offset, k.mul(index[axis] as KValue, k.index(stride)));
    stride = dimMul(stride, shape[axis] as Dim);
  }
  return offset;
}

/** Stores `element` (in its compute type) as an element of `buffer`. */
export function storeAs(k: KernelBuilder, buffer: Buffer, offset: KValue, element: KValue, mask?: KValue): void {
  k.store(buffer, offset, element.type.dtype === buffer.dtype ? element : k.cast(element, buffer.dtype), { mask });
}
