/**
 * Where values live while a program runs, and which of them may share a buffer.
 *
 * In: steps with the values they read and write. Out: storages with lifetimes in steps. WebGPU forbids one buffer to be
 * read-only and writable in the same dispatch, so sharing is by whole buffers: storages of one slot live one after the
 * other. Reshapes are aliases: they share the storage of their source.
 */

import {
  DTYPE_INFO,
  type DType,
  type Dim,
  type Graph,
  type Operand,
  type Temporary,
  type Value,
  shapeSize,
} from "@quern/core";

export type StorageKind = "planned" | "constant" | "input" | "output";

export interface Storage {
  readonly id: number;
  readonly kind: StorageKind;
  readonly dtype: DType;
  /** Elements. */
  readonly size: Dim;
  /** Position among the graph's inputs. */
  readonly position: number;
  firstStep: number;
  lastStep: number;
}

/** Bytes of a buffer for `elements`: whole vectors of 16 bytes, since kernels may read them so. Never empty. */
export function bufferBytes({ dtype }: Storage, elements: number): number {
  return Math.max(16, Math.ceil((elements * DTYPE_INFO[dtype].bytes) / 16) * 16);
}

/** The value whose memory `value` shares: through reshapes. */
function aliasSource(value: Value): Value {
  let source = value;
  while (source.node.op === "reshape") source = source.node.inputs[0] as Value;
  return source;
}

/** Assigns a storage to every value and temporary. */
export class StorageMap {
  readonly storages: Storage[] = [];
  readonly #byValue = new Map<Value, Storage>();
  readonly #byTemporary = new Map<Temporary, Storage>();
  readonly #byData = new Map<Uint8Array, Storage>();
  readonly #constants = new Map<Storage, Uint8Array>();

  constructor(graph: Graph) {
    graph.inputs.forEach(({ value }, position) =>
      this.#byValue.set(value, this.#create("input", value.type.dtype, shapeSize(value.type.shape), position)),
    );
    for (const { value } of graph.outputs) {
      const source = aliasSource(value);
      if (this.#byValue.has(source) || source.node.op === "constant") continue;
      this.#byValue.set(source, this.#create("output", value.type.dtype, shapeSize(value.type.shape)));
    }
  }

  of(value: Value): Storage {
    const source = aliasSource(value);
    const known = this.#byValue.get(source);
    if (known !== undefined) return known;
    const { dtype, shape } = source.type;
    const constant = source.node.op === "constant" ? (source.node.attrs["value"] as { bytes: Uint8Array }) : undefined;
    const storage =
      constant === undefined ? this.#create("planned", dtype, shapeSize(shape)) : this.#constant(constant.bytes, dtype);
    this.#byValue.set(source, storage);
    return storage;
  }

  operand(operand: Operand): Storage {
    switch (operand.kind) {
      case "value":
        return this.of(operand.value);
      case "constant":
        return this.#constant(operand.data.bytes, operand.data.dtype);
      case "temporary":
        return this.#temporary(operand.temporary);
    }
  }

  /** Bytes of each constant storage. */
  get constants(): ReadonlyMap<Storage, Uint8Array> {
    return this.#constants;
  }

  #temporary(temporary: Temporary): Storage {
    let storage = this.#byTemporary.get(temporary);
    if (storage === undefined)
      this.#byTemporary.set(temporary, (storage = this.#create("planned", temporary.dtype, temporary.size)));
    return storage;
  }

  #constant(bytes: Uint8Array, dtype: DType): Storage {
    let storage = this.#byData.get(bytes);
    if (storage === undefined) {
      storage = this.#create("constant", dtype, bytes.byteLength / DTYPE_INFO[dtype].bytes);
      this.#byData.set(bytes, storage);
      this.#constants.set(storage, bytes);
    }
    return storage;
  }

  #create(kind: StorageKind, dtype: DType, size: Dim, position = -1): Storage {
    const storage: Storage = {
      id: this.storages.length,
      kind,
      dtype,
      size,
      position,
      firstStep: Infinity,
      lastStep: -1,
    };
    this.storages.push(storage);
    return storage;
  }
}

/** Sets the lifetimes of all storages from the steps that touch them. */
export function setLifetimes(steps: readonly { readonly storages: readonly Storage[] }[]): void {
  steps.forEach(({ storages }, step) => {
    for (const storage of storages) {
      storage.firstStep = Math.min(storage.firstStep, step);
      storage.lastStep = Math.max(storage.lastStep, step);
    }
  });
}

export interface Slot {
  readonly bytes: number;
  readonly storages: readonly Storage[];
}

/** Shares buffers among storages that live at different times: the largest first, each into the first slot that is free. */
export function shareSlots(storages: readonly Storage[], bytesOf: (storage: Storage) => number): Slot[] {
  const slots: { bytes: number; storages: Storage[] }[] = [];
  for (const storage of storages.toSorted((a, b) => bytesOf(b) - bytesOf(a) || a.id - b.id)) {
    const free = slots.find((slot) =>
      slot.storages.every((other) => other.lastStep < storage.firstStep || storage.lastStep < other.firstStep),
    );
    if (free === undefined) slots.push({ bytes: bytesOf(storage), storages: [storage] });
    else free.storages.push(storage);
  }
  return slots;
}
