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

export type ItemEffects = (Effects | undefined)[];

/** The effects of every instruction, `undefined` for other items. */
export function itemEffects(items: readonly Item[], known: ItemEffects): void {
  for (let i = 0; i < items.length; i++) {
    const item = items[i] as Item;
    if (known[i] === undefined && isInstr(item)) known[i] = effects(item);
  }
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
  blocks.forEach((block, b) => {
    const base = b * words;
    for (let i = block.start; i < block.end; i++) {
      const effect = effectsOf[i];
      if (effect === undefined) continue;
      for (const reg of effect.reads) {
        const node = nodeOf(reg);
        const word = base + (node >>> 5);
        const bit = 1 << (node & 31);
        if (((defined[word] as number) & bit) === 0) used[word] = (used[word] as number) | bit;
      }
      for (const reg of effect.writes) {
        const node = nodeOf(reg);
        defined[base + (node >>> 5)] = (defined[base + (node >>> 5)] as number) | (1 << (node & 31));
      }
    }
  });
  for (let changed = true; changed;) {
    changed = false;
    for (let b = count - 1; b >= 0; b--) {
      const base = b * words;
      const { successors } = blocks[b] as BasicBlock;
      for (let w = 0; w < words; w++) {
        let out = 0;
        for (const s of successors) out |= liveIn[s * words + w] as number;
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

function buildRanges(
  blocks: readonly BasicBlock[],
  effectsOf: ItemEffects,
  liveIn: Uint32Array,
  words: number,
  nodes: number,
  length: number,
): Omit<Liveness, "depth"> {
  const ranges: number[][] = Array.from({ length: nodes }, () => []);
  const dead = new Uint8Array(length);
  const live = new Uint8Array(nodes);
  const addRange = (node: number, start: number, end: number): void => {
    const list = ranges[node] as number[];
    const last = list.length - 2;
    if (last >= 0 && (list[last] as number) <= end) {
      if (start < (list[last] as number)) list[last] = start;
    } else list.push(start, end);
  };
  for (let b = blocks.length - 1; b >= 0; b--) {
    const block = blocks[b] as BasicBlock;
    const from = block.start * 2;
    live.fill(0);
    for (const s of block.successors) {
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
        for (const reg of writes) needed ||= reg.id < 1000 || live[nodeOf(reg)] === 1;
        if (!needed) {
          dead[i] = 1;
          continue;
        }
      }
      if (effect.writesFlags) flagsLive = false;
      if (effect.readsFlags) flagsLive = true;
      for (const reg of writes) {
        const node = nodeOf(reg);
        if (live[node] === 1) {
          const list = ranges[node] as number[];
          list[list.length - 2] = i * 2 + 1;
          live[node] = 0;
        } else addRange(node, i * 2 + 1, i * 2 + 2);
      }
      for (const reg of reads) {
        const node = nodeOf(reg);
        if (live[node] === 1) continue;
        live[node] = 1;
        addRange(node, from, i * 2 + 1);
      }
    }
  }
  return { ranges, dead };
}
