/**
 * Constants behind the code, each content once.
 */
import type { Label } from "./operand.ts";

/** Bytes that are stored once, under one or more labels. */
export interface PoolEntry {
  readonly data: Uint8Array;
  multiple: number;
  readonly labels: string[];
}

/** Constants by content: equal bytes are stored once, at the largest alignment asked for. */
export class ConstantPool {
  private readonly entries = new Map<string, PoolEntry>();

  add(data: Uint8Array, alignment: number, at: Label): void {
    const key = data.join();
    const entry = this.entries.get(key);
    if (entry === undefined) this.entries.set(key, { data, multiple: alignment, labels: [at.name] });
    else {
      entry.multiple = Math.max(entry.multiple, alignment);
      if (!entry.labels.includes(at.name)) entry.labels.push(at.name);
    }
  }

  /** Largest alignment first, so that little is lost between entries. */
  sorted(): PoolEntry[] {
    return [...this.entries.values()].sort((a, b) => b.multiple - a.multiple);
  }
}
