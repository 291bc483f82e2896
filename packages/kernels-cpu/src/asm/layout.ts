/**
 * Sizes that depend on the layout: branches, short or near, and alignments.
 *
 * Every branch starts short and only ever grows, so settling the sizes ends; an alignment follows
 * whatever stands before it.
 */
import { AssemblerError } from "./error.ts";
import type { Form } from "./form.ts";
import type { Instr } from "./instr.ts";
import { formsOf } from "./table.ts";

/** A place whose size depends on the layout, at `at` bytes of fixed code. */
export interface Gap {
  readonly at: number;
  /** Alignments: the multiple to reach. Branches: 0. */
  readonly align: number;
  readonly target: string;
  readonly short: Form | undefined;
  readonly near: Form | undefined;
  size: number;
}

/** A place in the code before the sizes of the gaps are known. */
export interface Position {
  readonly at: number;
  /** How many gaps come before. */
  readonly gaps: number;
}

/** The gap of a branch instruction to a label. */
export function branchGap(at: number, instr: Instr, form: Form, target: string): Gap {
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
export function settle(gaps: Gap[], positions: Map<string, Position>): number[] {
  const ends: number[] = new Array<number>(gaps.length).fill(0);
  for (let changed = true; changed;) {
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
      const distance =
        target.at + (target.gaps === 0 ? 0 : (ends[target.gaps - 1] as number)) - (gap.at + (ends[i] as number));
      if (distance >= -128 && distance <= 127) continue;
      gap.size = branchSize(gap.near);
      changed = true;
    }
  }
  return ends;
}

/** Writes the branch of a gap whose size is settled. */
export function writeBranch(bytes: Uint8Array, at: number, gap: Gap, labels: Map<string, number>): void {
  const isShort = gap.short !== undefined && gap.size === branchSize(gap.short);
  const form = isShort ? gap.short : gap.near;
  if (form === undefined) return;
  bytes.set(form.opcode, at);
  const distance = resolve(labels, gap.target) - (at + gap.size);
  const field = at + form.opcode.length;
  if (isShort) bytes[field] = distance;
  else for (let i = 0; i < 4; i++) bytes[field + i] = distance >> (8 * i);
}

/** The offset of a label; throws when it was never bound. */
export function resolve(labels: Map<string, number>, name: string): number {
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

/** Fills code with no-operations; data stays zero. */
export function fillPadding(bytes: Uint8Array, at: number, size: number, isCode: boolean): void {
  if (!isCode) return;
  for (let rest = size; rest > 0;) {
    const step = Math.min(rest, nops.length - 1);
    bytes.set(nops[step] ?? [], at);
    at += step;
    rest -= step;
  }
}
