/**
 * Assembles a list of items into position-independent code.
 *
 * Pass one encodes everything whose length is fixed into one buffer and leaves a gap-free record of the
 * places that depend on the layout: branches and alignments. Pass two settles their sizes (every
 * branch starts short and only ever grows, so this ends), pass three copies the pieces and fills in
 * the references to labels. The code must be placed at a multiple of its largest alignment.
 */
import { AssemblerError } from "./error.ts";
import { CodeSink, encodeForm } from "./encode.ts";
import type { Form } from "./form.ts";
import { format } from "./format.ts";
import { isInstr } from "./instr.ts";
import type { Decorations, Instr, Item } from "./instr.ts";
import { selectForm } from "./match.ts";
import { formsOf } from "./table.ts";
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

/** A place whose size depends on the layout, at `at` bytes of fixed code. */
interface Gap {
  readonly at: number;
  /** Alignments: the multiple to reach. Branches: 0. */
  readonly align: number;
  readonly target: string;
  readonly short: Form | undefined;
  readonly near: Form | undefined;
  size: number;
}

interface Position {
  readonly at: number;
  /** How many gaps come before. */
  readonly gaps: number;
}

/** Assembles the items in order; constants go behind the code. Throws an {@link AssemblerError} on the first fault. */
export function assemble(items: readonly Item[]): AssembledCode {
  return assembleForms(items, []);
}

/** `known[i]` is the form of `items[i]` where it was chosen already. */
function assembleForms(items: readonly Item[], known: readonly (Form | undefined)[]): AssembledCode {
  const sink = new CodeSink();
  const gaps: Gap[] = [];
  const positions = new Map<string, Position>();
  const itemPositions: Position[] = [];
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
    itemPositions.push({ at: sink.length, gaps: gaps.length });
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
    listing: () => listing(items, itemPositions.map(offset), codeSize, bytes, labels),
  };
}

function branchGap(at: number, instr: Instr, form: Form, target: string): Gap {
  const short = form.operands[0]?.text === "rel8" ? form : undefined;
  const near = short === undefined ? form : nearForm(instr, form);
  return { at, align: 0, target, short, near, size: branchSize(short ?? near) };
}

const nearForms = new Map<string, Form>();

function nearForm(instr: Instr, short: Form): Form | undefined {
  let near = nearForms.get(instr.op);
  if (near === undefined) {
    near = formsOf(instr.op).find((form) => form !== short && form.operands[0]?.text === "rel32");
    if (near !== undefined) nearForms.set(instr.op, near);
  }
  return near;
}

function branchSize(form: Form | undefined): number {
  if (form === undefined) return 0;
  return form.opcode.length + (form.operands[0]?.text === "rel8" ? 1 : 4);
}

/** Grows branches until all of them reach; returns the running total of gap sizes. */
function settle(gaps: Gap[], positions: Map<string, Position>): number[] {
  const ends: number[] = new Array<number>(gaps.length).fill(0);
  for (let changed = true; changed; ) {
    let total = 0;
    for (let i = 0; i < gaps.length; i++) {
      const gap = gaps[i] as Gap;
      if (gap.align !== 0) gap.size = -(gap.at + total) & (gap.align - 1);
      total += gap.size;
      ends[i] = total;
    }
    changed = false;
    for (let i = 0; i < gaps.length; i++) {
      const gap = gaps[i] as Gap;
      if (gap.short === undefined || gap.size !== branchSize(gap.short)) continue;
      const target = positions.get(gap.target);
      if (target === undefined) throw unbound(gap.target);
      const distance = target.at + (target.gaps === 0 ? 0 : (ends[target.gaps - 1] as number)) - (gap.at + (ends[i] as number));
      if (distance >= -128 && distance <= 127) continue;
      gap.size = branchSize(gap.near);
      changed = true;
    }
  }
  return ends;
}

function writeBranch(bytes: Uint8Array, at: number, gap: Gap, labels: Map<string, number>): void {
  const isShort = gap.short !== undefined && gap.size === branchSize(gap.short);
  const form = isShort ? gap.short : gap.near;
  if (form === undefined) return;
  bytes.set(form.opcode, at);
  const distance = resolve(labels, gap.target) - (at + gap.size);
  const field = at + form.opcode.length;
  if (isShort) bytes[field] = distance;
  else for (let i = 0; i < 4; i++) bytes[field + i] = distance >> (8 * i);
}

function resolve(labels: Map<string, number>, name: string): number {
  const offset = labels.get(name);
  if (offset === undefined) throw unbound(name);
  return offset;
}

function unbound(name: string): AssemblerError {
  return new AssemblerError(`label ${name} is used but never bound`);
}

// The no-operations the manual recommends (volume 2, NOP): one instruction of each length.
const nops: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

function fillPadding(bytes: Uint8Array, at: number, size: number, isCode: boolean): void {
  if (!isCode) return;
  for (let rest = size; rest > 0; ) {
    const step = Math.min(rest, nops.length - 1);
    bytes.set(nops[step] ?? [], at);
    at += step;
    rest -= step;
  }
}

interface PoolEntry {
  readonly data: Uint8Array;
  multiple: number;
  readonly labels: string[];
}

/** Constants by content: equal bytes are stored once, at the largest alignment asked for. */
class ConstantPool {
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

function listing(items: readonly Item[], offsets: readonly number[], codeSize: number, bytes: Uint8Array, labels: Map<string, number>): string {
  const lines: string[] = [];
  const hex = (from: number, to: number): string => Array.from(bytes.subarray(from, to), (b) => b.toString(16).padStart(2, "0")).join(" ");
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
