/**
 * Rewrites code so that chosen virtual registers live in memory.
 *
 * Each use becomes a memory operand where the instruction takes one, else a load into a temporary before it; each
 * definition is followed by a store. A register whose value can be made from constants alone is made anew at each use.
 */
import { mem, r64, rsp } from "../asm/index.ts";
import type { Instr, Item, Mem, MemSize, Operand, Reg } from "../asm/index.ts";
import { findForm } from "../asm/match.ts";
import { GENERAL, MASK, TILE, VECTOR, isInstr, makeInstr, vectorReg } from "./code.ts";
import type { Code, Virtual } from "./code.ts";
import { PHYSICAL } from "./liveness.ts";
import type { ItemEffects } from "./liveness.ts";
import { InternalError } from "@quern/core";

const registerBytes: Partial<Record<Reg["cls"], MemSize>> = { r64: 8, r32: 4, r16: 2, r8: 1 };

export class Spiller {
  count = 0;
  frameBytes: number;
  private readonly slots = new Map<number, number>();
  private readonly code: Code;

  private readonly wide: boolean;

  constructor(code: Code, frameBytes: number, wide: boolean) {
    this.code = code;
    this.wide = wide;
    this.frameBytes = frameBytes;
  }

  private slot(virtual: number, size?: MemSize): Mem {
    let at = this.slots.get(virtual);
    if (at === undefined) {
      const { bytes } = this.code.virtuals[virtual] as Virtual;
      at = Math.ceil(this.frameBytes / Math.min(64, bytes)) * Math.min(64, bytes);
      this.frameBytes = at + bytes;
      this.slots.set(virtual, at);
    }
    return mem({ base: rsp, disp: at, size });
  }

  /** New items and their effects, `undefined` where they must be found again. */
  rewrite(
    items: readonly Item[],
    known: ItemEffects,
    dead: Uint8Array,
    spilled: ReadonlySet<number>,
  ): { items: Item[]; effects: ItemEffects } {
    this.count += spilled.size;
    const out: Item[] = [];
    const effects: ItemEffects = [];
    for (let i = 0; i < items.length; i++) {
      const item = items[i] as Item;
      const effect = known[i];
      if (!isInstr(item) || effect === undefined) {
        out.push(item);
        effects.push(undefined);
        continue;
      }
      if (dead[i] === 1) continue;
      const concerned: number[] = [];
      collectSpilled(effect.reads, spilled, concerned);
      collectSpilled(effect.writes, spilled, concerned);
      if (concerned.length === 0) {
        out.push(item);
        effects.push(effect);
        continue;
      }
      const before: Item[] = [];
      const after: Item[] = [];
      let instr: Instr | undefined = item;
      for (const virtual of concerned) {
        const isRead = effect.reads.includes(virtual + PHYSICAL);
        const isWritten = effect.writes.includes(virtual + PHYSICAL);
        instr = instr && this.replace(instr, virtual, isRead, isWritten, before, after);
      }
      for (const added of before) out.push(added);
      if (instr !== undefined) out.push(instr);
      for (const added of after) out.push(added);
      effects.length = out.length;
    }
    return { items: out, effects };
  }

  private replace(
    instr: Instr,
    virtual: number,
    isRead: boolean,
    isWritten: boolean,
    before: Item[],
    after: Item[],
  ): Instr | undefined {
    const { recreate, file, bytes } = this.code.virtuals[virtual] as Virtual;
    if (recreate !== undefined && isWritten && !isRead) return undefined;
    if (recreate === undefined || recreate.operands[1]?.kind === "mem") {
      const folded = this.fold(instr, virtual, isWritten, recreate);
      if (folded !== undefined) return folded;
    }
    const temporary = this.code.temporary(file, bytes);
    if (isRead) {
      before.push(
        recreate === undefined
          ? moveInstr(file, bytes, temporary, this.slot(virtual), true)
          : renameInstr(recreate, virtual + 1000, temporary),
      );
    }
    if (isWritten) after.push(moveInstr(file, bytes, temporary, this.slot(virtual), false));
    return renameInstr(instr, virtual + 1000, temporary);
  }

  /** The splat of a constant in the pool, for instructions that cannot broadcast from memory. */
  private wholeConstant(element: Mem, reg: Reg): Mem {
    const item = this.code.constants.find(({ at }) => at.name === element.label?.name);
    if (item === undefined) throw new InternalError("a constant is not in the pool");
    const bytes = new Uint8Array(reg.cls === "ymm" ? 32 : 16);
    for (let i = 0; i < bytes.length; i += item.data.length) bytes.set(item.data, i);
    return mem({ label: this.code.constant(bytes) });
  }

  /** The instruction with the register replaced by its place in memory, where that can be encoded. */
  private fold(instr: Instr, virtual: number, isWritten: boolean, recreate: Instr | undefined): Instr | undefined {
    const id = virtual + 1000;
    let at = -1;
    for (let i = 0; i < instr.operands.length; i++) {
      const operand = instr.operands[i] as Operand;
      if (operand.kind === "mem") return undefined;
      if (operand.kind !== "reg" || operand.id !== id) continue;
      if (at >= 0) return undefined;
      at = i;
    }
    if (at < 0 || instr.mask?.id === id) return undefined;
    const isMove = instr.operands.length === 2 && /^(mov|vmov[au]p[sd]|kmovq)$/.test(instr.op);
    if (isWritten && !isMove) return undefined;
    if (at === 0 && !isMove && instr.op !== "cmp" && instr.op !== "test") return undefined;
    const reg = instr.operands[at] as Reg;
    // A write of 32 bits clears the upper half of a register, but not of a slot.
    if (isWritten && registerBytes[reg.cls] !== undefined && reg.cls !== "r64") return undefined;
    let place: Mem;
    if (recreate === undefined) place = this.slot(virtual, registerBytes[reg.cls]);
    else {
      const source = recreate.operands[1] as Mem;
      const lanes = /s[sd]$/.test(instr.op) ? 1 : broadcastLanes(recreate.op, reg);
      if (lanes === undefined) return undefined;
      if (lanes === 1) place = source;
      else if (this.wide) place = mem({ ...source, broadcast: lanes });
      else place = this.wholeConstant(source, reg);
    }
    // A whole-register operation on a vector reads as many bytes as its register form.
    const operands = instr.operands.map((operand, i) => (i === at ? place : operand));
    const folded: Instr = { ...instr, operands };
    const form = findForm(folded);
    if (form === undefined) return undefined;
    const { bytes } = this.code.virtuals[virtual] as Virtual;
    return recreate === undefined && form.broadcastCount === 0 && form.memSize > bytes ? undefined : folded;
  }
}

/** Adds the spilled ones of the nodes to `into`, each once. */
function collectSpilled(nodes: readonly number[], spilled: ReadonlySet<number>, into: number[]): void {
  for (let i = 0; i < nodes.length; i++) {
    const virtual = (nodes[i] as number) - PHYSICAL;
    if (virtual >= 0 && spilled.has(virtual) && !into.includes(virtual)) into.push(virtual);
  }
}

function broadcastLanes(op: string, reg: Reg): 1 | 2 | 4 | 8 | 16 | undefined {
  const bytes = reg.cls === "zmm" ? 64 : reg.cls === "ymm" ? 32 : 16;
  switch (op) {
    case "vmovups":
      return 1;
    case "vbroadcastss":
      return (bytes / 4) as 4 | 8 | 16;
    case "vbroadcastsd":
      return (bytes / 8) as 2 | 4 | 8;
    default:
      return undefined;
  }
}

function moveInstr(file: number, bytes: number, id: number, place: Mem, isLoad: boolean): Instr {
  const reg = file === GENERAL ? r64(id) : vectorReg(id, bytes);
  const operands = isLoad ? [reg, place] : [place, reg];
  if (file === GENERAL) return makeInstr("mov", operands);
  if (file === VECTOR) return makeInstr("vmovups", operands);
  if (file === MASK) {
    const mask: Reg = { kind: "reg", cls: "k", id };
    return makeInstr("kmovq", isLoad ? [mask, place] : [place, mask]);
  }
  throw new InternalError(file === TILE ? "more than eight matrix tiles are live at once" : "unknown register file");
}

/** The instruction with one virtual register renamed, in every width. */
function renameInstr(instr: Instr, from: number, to: number): Instr {
  const rename = (reg: Reg): Reg => (reg.id === from ? { kind: "reg", cls: reg.cls, id: to } : reg);
  const operands = instr.operands.map((operand): Operand => {
    if (operand.kind === "reg") return rename(operand);
    if (operand.kind !== "mem") return operand;
    return mem({
      ...operand,
      base: operand.base && rename(operand.base),
      index: operand.index && rename(operand.index),
    });
  });
  return instr.mask === undefined ? { ...instr, operands } : { ...instr, operands, mask: rename(instr.mask) };
}
