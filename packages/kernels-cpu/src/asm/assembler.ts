/**
 * Assembles a list of items into position-independent code.
 *
 * Pass one encodes everything whose length is fixed into one buffer and leaves a gap-free record of the
 * places that depend on the layout: branches and alignments. Pass two settles their sizes (every
 * branch starts short and only ever grows, so this ends), pass three copies the pieces and fills in
 * the references to labels. The code must be placed at a multiple of its largest alignment.
 */
import { AssemblerError } from "./error.ts";
import { ConstantPool } from "./constant-pool.ts";
import { CodeSink, encodeForm } from "./encode.ts";
import type { Form } from "./form.ts";
import { format } from "./format.ts";
import { isInstr } from "./instr.ts";
import type { Decorations, Item } from "./instr.ts";
import { branchGap, fillPadding, resolve, settle, writeBranch } from "./layout.ts";
import type { Gap, Position } from "./layout.ts";
import { selectForm } from "./match.ts";
import type { Mnemonic } from "./table.ts";
import { imm, label as makeLabel } from "./operand.ts";
import type { Label, Operand } from "./operand.ts";

/** Machine code and where its labels lie. */
export interface AssembledCode {
  readonly bytes: Uint8Array;
  /** Offset in bytes of every label, those of the constant pool included. */
  readonly labels: Map<string, number>;
  /** Bytes before the constant pool. */
  readonly codeSize: number;
  /** The largest alignment asked for: the address of the first byte must be a multiple of it. */
  readonly alignment: number;
  /** The program as text: offset, bytes and Intel syntax of every instruction. */
  listing(): string;
}

/**
 * Assembles the items in order; constants go behind the code. Throws an {@link AssemblerError} on the first fault.
 * `known[i]` is the form of `items[i]` where it was chosen already.
 */
export function assemble(items: readonly Item[], known: readonly (Form | undefined)[] = []): AssembledCode {
  return assembleForms(items, known);
}

function assembleForms(items: readonly Item[], known: readonly (Form | undefined)[]): AssembledCode {
  const sink = new CodeSink();
  const gaps: Gap[] = [];
  const positions = new Map<string, Position>();
  // Two numbers per item: bytes and gaps before it.
  const itemPositions = new Int32Array(2 * items.length);
  const fixupGaps: number[] = [];
  const pool = new ConstantPool();
  let alignment = 1;

  const bind = (name: string): void => {
    if (positions.has(name)) throw new AssemblerError(`label ${name} is bound twice`);
    positions.set(name, { at: sink.length, gaps: gaps.length });
  };
  const align = (multiple: number): void => {
    if (!Number.isInteger(multiple) || multiple < 1 || (multiple & (multiple - 1)) !== 0) {
      throw new AssemblerError(`align: ${multiple} is not a power of two`);
    }
    if (multiple > alignment) alignment = multiple;
    gaps.push({ at: sink.length, align: multiple, target: "", short: undefined, near: undefined, size: 0 });
  };

  for (let i = 0; i < items.length; i++) {
    const item = items[i] as Item;
    itemPositions[2 * i] = sink.length;
    itemPositions[2 * i + 1] = gaps.length;
    if (isInstr(item)) {
      const form = known[i] ?? selectForm(item);
      const target = item.operands[0];
      if (target !== undefined && target.kind === "label") {
        gaps.push(branchGap(sink.length, item, form, target.name));
        continue;
      }
      encodeForm(item, form, sink);
      while (fixupGaps.length < sink.fixups.length) fixupGaps.push(gaps.length);
    } else if ("label" in item) bind(item.label.name);
    else if ("align" in item) align(item.align);
    else pool.add(item.data, item.alignment, item.at);
  }
  const codeEnd: Position = { at: sink.length, gaps: gaps.length };
  for (const { data, multiple, labels } of pool.sorted()) {
    align(multiple);
    for (const name of labels) bind(name);
    sink.append(data);
  }

  const gapEnds = settle(gaps, positions);
  const offset = ({ at, gaps: before }: Position): number => at + (before === 0 ? 0 : (gapEnds[before - 1] as number));
  const bytes = new Uint8Array(offset({ at: sink.length, gaps: gaps.length }));
  const codeSize = offset(codeEnd);
  const labels = new Map<string, number>();
  for (const [name, position] of positions) labels.set(name, offset(position));

  let from = 0;
  let to = 0;
  for (const gap of gaps) {
    bytes.set(sink.bytes.subarray(from, gap.at), to);
    to += gap.at - from;
    from = gap.at;
    if (gap.align !== 0) fillPadding(bytes, to, gap.size, to < codeSize);
    else writeBranch(bytes, to, gap, labels);
    to += gap.size;
  }
  bytes.set(sink.bytes.subarray(from, sink.length), to);
  const view = new DataView(bytes.buffer);
  sink.fixups.forEach(({ at, end, label, addend }, i) => {
    const shift = offset({ at: 0, gaps: fixupGaps[i] as number });
    view.setInt32(at + shift, resolve(labels, label) + addend - (end + shift), true);
  });
  return {
    bytes,
    labels,
    codeSize,
    alignment,
    listing: () => {
      const offsets = items.map((_, i) =>
        offset({ at: itemPositions[2 * i] as number, gaps: itemPositions[2 * i + 1] as number }),
      );
      return listing(items, offsets, codeSize, bytes, labels);
    },
  };
}

function listing(
  items: readonly Item[],
  offsets: readonly number[],
  codeSize: number,
  bytes: Uint8Array,
  labels: Map<string, number>,
): string {
  const lines: string[] = [];
  const hex = (from: number, to: number): string =>
    Array.from(bytes.subarray(from, to), (b) => b.toString(16).padStart(2, "0")).join(" ");
  items.forEach((item, i) => {
    const start = offsets[i] as number;
    const end = i + 1 < offsets.length ? (offsets[i + 1] as number) : codeSize;
    if (isInstr(item)) lines.push(`${start.toString(16).padStart(6)}:  ${hex(start, end).padEnd(32)}  ${format(item)}`);
    else if ("label" in item) lines.push(`${item.label.name}:`);
    else if ("align" in item) lines.push(`        .align ${item.align}`);
  });
  const poolLabels = [...labels].filter(([, at]) => at >= codeSize).sort((a, b) => a[1] - b[1]);
  const isPool = new Set(items.flatMap((item) => ("at" in item ? [item.at.name] : [])));
  const shown = poolLabels.filter(([name]) => isPool.has(name));
  shown.forEach(([name, at], i) => {
    const end = shown.slice(i + 1).find(([, next]) => next > at)?.[1] ?? bytes.length;
    lines.push(`${name}:`, `${at.toString(16).padStart(6)}:  ${hex(at, end)}`);
  });
  return lines.join("\n");
}

/**
 * Collects instructions one call at a time. Illegal operands throw at the call that gives them.
 *
 * @example
 * const a = new Assembler();
 * const loop = label("loop");
 * a.bind(loop).emit("sub", rdi, imm(1)).emit("jne", loop).emit("ret");
 * const { bytes } = a.assemble();
 */
export class Assembler {
  private readonly items: Item[] = [];
  private readonly forms: (Form | undefined)[] = [];
  private readonly constants = new Map<string, Label>();

  /** Appends an instruction; plain numbers and bigints are immediates. */
  emit(op: Mnemonic, ...operands: (Operand | number | bigint)[]): this {
    return this.append({ op, operands: toOperands(operands) });
  }

  /** Appends an EVEX instruction with a mask, zeroing or static rounding. */
  emitWith(decorations: Decorations, op: Mnemonic, ...operands: (Operand | number | bigint)[]): this {
    const { mask, zeroing, rounding } = decorations;
    return this.append({ op, operands: toOperands(operands), mask, zeroing, rounding });
  }

  /** Appends an item that was built elsewhere. */
  append(item: Item): this {
    this.forms.push(isInstr(item) ? selectForm(item) : undefined);
    this.items.push(item);
    return this;
  }

  /** Makes the label stand for the next instruction. */
  bind(label: Label): this {
    return this.append({ label });
  }

  /** Pads to a multiple of `multiple` bytes. */
  align(multiple: number): this {
    return this.append({ align: multiple });
  }

  /** A label for these bytes in the pool behind the code; equal contents give the same label. Alignment defaults to their size. */
  constant(data: ArrayBufferView, alignment?: number): Label {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    const multiple = alignment ?? Math.min(64, 1 << (31 - Math.clz32(Math.max(1, bytes.length))));
    const key = bytes.join();
    let at = this.constants.get(key);
    if (at === undefined) {
      at = makeLabel();
      this.constants.set(key, at);
    }
    this.append({ data: bytes, alignment: multiple, at });
    return at;
  }

  /** The items so far, for printing or further rewriting. */
  get program(): readonly Item[] {
    return this.items;
  }

  /** Lays out and encodes everything appended so far. */
  assemble(): AssembledCode {
    return assembleForms(this.items, this.forms);
  }
}

function toOperands(operands: readonly (Operand | number | bigint)[]): readonly Operand[] {
  for (const operand of operands) {
    if (typeof operand !== "object") return operands.map((o) => (typeof o === "object" ? o : imm(o)));
  }
  return operands as readonly Operand[];
}
