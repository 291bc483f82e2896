/**
 * Which memory the values of a program live in: one storage per value and temporary, shared by reshapes of a value.
 * Where a storage lies, and which may share memory, devices decide from the lifetimes they set.
 */

import { type Dim, shapeSize } from "../dim.ts";
import { DTYPE_INFO, type DType } from "../dtype.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Operand, Temporary } from "./launch.ts";
import { type PackedConstant, packingKey } from "./recipe.ts";

export type StorageKind = "planned" | "constant" | "input" | "output";

export interface Storage {
  readonly id: number;
  readonly kind: StorageKind;
  readonly dtype: DType;
  /** Elements. */
  readonly size: Dim;
  /** Position among the graph's inputs or outputs. */
  readonly position: number;
  /** The value it was made for; temporaries and constants that a kernel brings have none. */
  readonly value: Value | undefined;
  /** Lifetime in the device's own unit, epochs or steps; empty until the device sets it. */
  first: number;
  last: number;
}

export function storageBytes(storage: Storage, elements: number): number {
  return elements * DTYPE_INFO[storage.dtype].bytes;
}

/** Assigns a storage to every value and temporary. */
export class StorageMap {
  readonly storages: Storage[] = [];
  readonly #byValue = new Map<Value, Storage>();
  readonly #byTemporary = new Map<Temporary, Storage>();
  readonly #byData = new Map<Uint8Array, Storage>();
  readonly #byPacking = new Map<Uint8Array, Map<string, Storage>>();
  readonly #packed = new Map<Storage, PackedConstant>();
  readonly #constants = new Map<Storage, Uint8Array>();

  constructor(graph: Graph) {
    graph.inputs.forEach(({ value }, position) =>
      this.#byValue.set(value, this.#create("input", value.type.dtype, shapeSize(value.type.shape), position, value)),
    );
    // A graph output that is computed here is written in place; outputs that are inputs, constants or repeated are copied.
    graph.outputs.forEach(({ value }, position) => {
      const source = aliasSource(value);
      if (this.#byValue.has(source) || source.node.op === "constant") return;
      this.#byValue.set(source, this.#create("output", value.type.dtype, shapeSize(value.type.shape), position, value));
    });
  }

  of(value: Value): Storage {
    const source = aliasSource(value);
    let storage = this.#byValue.get(source);
    if (storage !== undefined) return storage;
    const data = source.node.op === "constant" ? (source.node.attrs["value"] as { bytes: Uint8Array }) : undefined;
    storage =
      data === undefined
        ? this.#create("planned", source.type.dtype, shapeSize(source.type.shape), -1, source)
        : this.#constant(data.bytes, source.type.dtype, source);
    this.#byValue.set(source, storage);
    return storage;
  }

  operand(operand: Operand): Storage {
    switch (operand.kind) {
      case "value":
        return this.of(operand.value);
      case "constant":
        return this.#constant(operand.data.bytes, operand.data.dtype);
      case "packed":
        return this.#packedStorage(operand.packed);
      case "temporary": {
        const { temporary } = operand;
        let storage = this.#byTemporary.get(temporary);
        if (storage === undefined)
          this.#byTemporary.set(temporary, (storage = this.#create("planned", temporary.dtype, temporary.size, -1)));
        return storage;
      }
    }
  }

  /** Bytes of each constant storage. */
  get constants(): ReadonlyMap<Storage, Uint8Array> {
    return this.#constants;
  }

  /** What constant storages are packed from, for those that are made in place. */
  get packed(): ReadonlyMap<Storage, PackedConstant> {
    return this.#packed;
  }

  #packedStorage(packed: PackedConstant): Storage {
    const { data, packer, args } = packed;
    let storages = this.#byPacking.get(data.bytes);
    if (storages === undefined) this.#byPacking.set(data.bytes, (storages = new Map()));
    const key = packingKey(packed);
    let storage = storages.get(key);
    if (storage === undefined) {
      storage = this.#create("constant", "u8", packer.onDevice?.byteLength(data, args) ?? 0, -1);
      storages.set(key, storage);
      this.#packed.set(storage, packed);
    }
    return storage;
  }

  #constant(bytes: Uint8Array, dtype: DType, value?: Value): Storage {
    let storage = this.#byData.get(bytes);
    if (storage === undefined) {
      storage = this.#create("constant", dtype, bytes.byteLength / DTYPE_INFO[dtype].bytes, -1, value);
      this.#byData.set(bytes, storage);
      this.#constants.set(storage, bytes);
    }
    return storage;
  }

  #create(kind: StorageKind, dtype: DType, size: Dim, position: number, value?: Value): Storage {
    const storage: Storage = {
      id: this.storages.length,
      kind,
      dtype,
      size,
      position,
      value,
      first: Infinity,
      last: -1,
    };
    this.storages.push(storage);
    return storage;
  }
}

/** The value whose memory `value` shares: through reshapes. */
export function aliasSource(value: Value): Value {
  let source = value;
  while (source.node.op === "reshape") source = source.node.inputs[0] as Value;
  return source;
}
