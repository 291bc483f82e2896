/**
 * Where each register is live: the ranges that register allocation works on.
 *
 * Registers are numbered as nodes: 0..63 are the physical ones (16 general, 32 vector, 8 mask, 8 tile), then the
 * virtual ones. Instruction i reads at position 2i and writes at 2i + 1; ranges are half-open, so a register that is
 * last read by an instruction is free for its result. Control flow is read from labels and jumps.
 */
import { effects } from "../asm/index.ts";
import type { Effects, Instr, Item, Reg, RegClass } from "../asm/index.ts";
import { isInstr } from "./code.ts";

type Form = Effects["form"];

export const PHYSICAL = 64;

const fileBase: Record<RegClass, number> = { r64: 0, r32: 0, r16: 0, r8: 0, xmm: 16, ymm: 16, zmm: 16, k: 48, tmm: 56 };

/** The node of a register. */
export function nodeOf(reg: Reg): number {
  return reg.id >= 1000 ? reg.id - 1000 + PHYSICAL : fileBase[reg.cls] + reg.id;
}

export interface Liveness {
  /** Per node: start, end pairs from the last range to the first. Empty when the node does not occur. */
  readonly ranges: readonly number[][];
  /** Nesting depth in loops of every item. */
  readonly depth: Uint8Array;
  /** Items that compute something nobody uses. */
  readonly dead: Uint8Array;
}

interface BasicBlock {
  readonly start: number;
  end: number;
  /** Label this block jumps to at its end. */
  target: string | undefined;
  fallsThrough: boolean;
  readonly successors: number[];
}

/** What an instruction does to nodes. */
export interface NodeEffects {
  readonly form: Form;
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  readonly readsFlags: boolean;
  readonly writesFlags: boolean;
  readonly writesMemory: boolean;
}

export type ItemEffects = (NodeEffects | undefined)[];

/** The effects of every instruction, `undefined` for other items. */
export function itemEffects(items: readonly Item[], known: ItemEffects): void {
  for (let i = 0; i < items.length; i++) {
    if (known[i] !== undefined) continue;
    const item = items[i] as Item;
    known[i] = isInstr(item) ? nodeEffects(effects(item)) : undefined;
  }
}

function nodeEffects({ form, reads, writes, readsFlags, writesFlags, writesMemory }: Effects): NodeEffects {
  const readNodes: number[] = [];
  for (let i = 0; i < reads.length; i++) readNodes.push(nodeOf(reads[i] as Reg));
  const writtenNodes: number[] = [];
  for (let i = 0; i < writes.length; i++) writtenNodes.push(nodeOf(writes[i] as Reg));
  return { form, reads: readNodes, writes: writtenNodes, readsFlags, writesFlags, writesMemory };
}

function isJump(instr: Instr): boolean {
  return instr.operands[0]?.kind === "label";
}

function findBlocks(items: readonly Item[], depth: Uint8Array): BasicBlock[] {
  const blocks: BasicBlock[] = [];
  const labelled = new Map<string, number>();
  const labelAt = new Map<string, number>();
  let open: BasicBlock | undefined;
  const begin = (start: number): BasicBlock => {
    const block: BasicBlock = { start, end: start, target: undefined, fallsThrough: true, successors: [] };
    blocks.push(block);
    return block;
  };
  for (let i = 0; i < items.length; i++) {
    const item = items[i] as Item;
    if (!isInstr(item)) {
      if ("label" in item) {
        if (open === undefined || open.start !== i) open = begin(i);
        labelled.set(item.label.name, blocks.length - 1);
        labelAt.set(item.label.name, i);
        open.end = i + 1;
        continue;
      }
    }
    open ??= begin(i);
    open.end = i + 1;
    if (isInstr(item) && (isJump(item) || item.op === "ret")) {
      const target = item.operands[0];
      if (target?.kind === "label") {
        open.target = target.name;
        const from = labelAt.get(target.name);
        if (from !== undefined) for (let j = from; j <= i; j++) depth[j] = (depth[j] as number) + 1;
      }
      open.fallsThrough = item.op !== "jmp" && item.op !== "ret";
      open = undefined;
    }
  }
  blocks.forEach((block, i) => {
    if (block.fallsThrough && i + 1 < blocks.length) block.successors.push(i + 1);
    if (block.target !== undefined) block.successors.push(labelled.get(block.target) as number);
  });
  return blocks;
}

/** Live ranges of all nodes. `effectsOf` holds the effects of every instruction. */
export function findLiveness(items: readonly Item[], effectsOf: ItemEffects, nodes: number): Liveness {
  const depth = new Uint8Array(items.length);
  const blocks = findBlocks(items, depth);
  const words = (nodes + 31) >>> 5;
  const count = blocks.length;
  const used = new Uint32Array(count * words);
  const defined = new Uint32Array(count * words);
  const liveIn = new Uint32Array(count * words);
  for (let b = 0; b < count; b++) {
    const { start, end } = blocks[b] as BasicBlock;
    const base = b * words;
    for (let i = start; i < end; i++) {
      const effect = effectsOf[i];
      if (effect === undefined) continue;
      const { reads, writes } = effect;
      for (let r = 0; r < reads.length; r++) {
        const node = reads[r] as number;
        const word = base + (node >>> 5);
        const bit = 1 << (node & 31);
        if (((defined[word] as number) & bit) === 0) used[word] = (used[word] as number) | bit;
      }
      for (let w = 0; w < writes.length; w++) {
        const node = writes[w] as number;
        const word = base + (node >>> 5);
        defined[word] = (defined[word] as number) | (1 << (node & 31));
      }
    }
  }
  for (let changed = true; changed;) {
    changed = false;
    for (let b = count - 1; b >= 0; b--) {
      const base = b * words;
      const { successors } = blocks[b] as BasicBlock;
      for (let w = 0; w < words; w++) {
        let out = 0;
        for (let s = 0; s < successors.length; s++) out |= liveIn[(successors[s] as number) * words + w] as number;
        const next = ((used[base + w] as number) | (out & ~(defined[base + w] as number))) >>> 0;
        if (next !== liveIn[base + w]) {
          liveIn[base + w] = next;
          changed = true;
        }
      }
    }
  }
  return { ...buildRanges(blocks, effectsOf, liveIn, words, nodes, items.length), depth };
}

/** Shared by the nodes that do not occur. */
const NO_RANGES: number[] = [];

function buildRanges(
  blocks: readonly BasicBlock[],
  effectsOf: ItemEffects,
  liveIn: Uint32Array,
  words: number,
  nodes: number,
  length: number,
): Omit<Liveness, "depth"> {
  const ranges: number[][] = [];
  for (let node = 0; node < nodes; node++) ranges.push(NO_RANGES);
  const dead = new Uint8Array(length);
  const live = new Uint8Array(nodes);
  const addRange = (node: number, start: number, end: number): void => {
    const list = ranges[node] as number[];
    const last = list.length - 2;
    if (last < 0) ranges[node] = [start, end];
    else if ((list[last] as number) <= end) {
      if (start < (list[last] as number)) list[last] = start;
    } else list.push(start, end);
  };
  for (let b = blocks.length - 1; b >= 0; b--) {
    const block = blocks[b] as BasicBlock;
    const from = block.start * 2;
    live.fill(0);
    const { successors } = block;
    for (let next = 0; next < successors.length; next++) {
      const s = successors[next] as number;
      for (let w = 0; w < words; w++) {
        for (let bits = liveIn[s * words + w] as number; bits !== 0; bits &= bits - 1) {
          const node = (w << 5) + 31 - Math.clz32(bits & -bits);
          if (live[node] === 1) continue;
          live[node] = 1;
          addRange(node, from, block.end * 2);
        }
      }
    }
    // Flags never live across blocks: selection emits a comparison right before its use.
    let flagsLive = false;
    for (let i = block.end - 1; i >= block.start; i--) {
      const effect = effectsOf[i];
      if (effect === undefined) continue;
      const { reads, writes } = effect;
      if (writes.length > 0 && !effect.writesMemory && !(flagsLive && effect.writesFlags)) {
        let needed = false;
        for (let w = 0; w < writes.length; w++) {
          const node = writes[w] as number;
          if (node < PHYSICAL || live[node] === 1) needed = true;
        }
        if (!needed) {
          dead[i] = 1;
          continue;
        }
      }
      if (effect.writesFlags) flagsLive = false;
      if (effect.readsFlags) flagsLive = true;
      for (let w = 0; w < writes.length; w++) {
        const node = writes[w] as number;
        if (live[node] === 1) {
          const list = ranges[node] as number[];
          list[list.length - 2] = i * 2 + 1;
          live[node] = 0;
        } else addRange(node, i * 2 + 1, i * 2 + 2);
      }
      for (let r = 0; r < reads.length; r++) {
        const node = reads[r] as number;
        if (live[node] === 1) continue;
        live[node] = 1;
        addRange(node, from, i * 2 + 1);
      }
    }
  }
  return { ranges, dead };
}
