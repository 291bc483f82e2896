/**
 * Register allocation: virtual registers become physical ones or stack slots.
 *
 * Linear scan over live ranges with holes (Poletto and Sarkar 1999; Wimmer and Mössenböck 2005), in order of first
 * definition. A register that finds none free evicts the cheapest overlapping ones when their uses, weighted by loop
 * depth, cost less than its own. Evicted registers live in memory, with a short-lived temporary around each use, and
 * the scan starts over. Copies prefer the register of their other side, so most of them vanish.
 */
import { gpr16, gpr8, isInstr, k, mem, r32, r64, rsp, tmm, xmm, ymm, zmm } from "../asm/index.ts";
import type { Instr, Item, Mem, Operand, Reg } from "../asm/index.ts";
import { InternalError } from "@quern/core";
import type { Abi } from "./abi.ts";
import { GENERAL, MASK, TILE, VECTOR } from "./code.ts";
import type { Code, Virtual } from "./code.ts";
import { PHYSICAL, findLiveness, itemEffects, nodeOf } from "./liveness.ts";
import type { ItemEffects, Liveness } from "./liveness.ts";
import { Spiller } from "./spill.ts";

export interface Allocation {
  readonly items: Item[];
  /** Virtual registers that were given a place in memory or are made anew at each use. */
  readonly spills: number;
  /** Physical general and vector registers that the code writes. */
  readonly usedGeneral: ReadonlySet<number>;
  readonly usedVector: ReadonlySet<number>;
  /** The shape of every tile register in use (see `tiles.ts`). */
  readonly tileShapes: ReadonlyMap<number, number>;
  /** Bytes of the stack frame below the saved registers. */
  readonly frameBytes: number;
}

const fileStart = [0, 16, 48, 56] as const;

/** Replaces every virtual register in `items`. `vectorRegisters` is 16 or 32; `frameBytes` is what selection already uses of the frame. */
export function allocate(code: Code, items: Item[], vectorRegisters: number, abi: Abi, frameBytes: number): Allocation {
  const candidates: number[][] = [
    [...abi.generalOrder],
    vectorOrder(vectorRegisters, abi),
    [1, 2, 3, 4, 5, 6, 7],
    [0, 1, 2, 3, 4, 5, 6, 7],
  ].map((list, file) => list.map((id) => id + (fileStart[file] as number)));
  const spiller = new Spiller(code, frameBytes, vectorRegisters === 32);
  let current = items;
  let known: ItemEffects = [];
  for (let round = 0; round < 40; round++) {
    const nodes = PHYSICAL + code.virtuals.length;
    let liveness: Liveness;
    for (;;) {
      itemEffects(current, known);
      liveness = findLiveness(current, known, nodes);
      if (!liveness.dead.includes(1)) break;
      // What only dead code used is dead as well, across blocks too.
      const { dead } = liveness;
      const alive = current.map((_, i) => i).filter((i) => dead[i] === 0);
      const before: ItemEffects = known;
      const all: Item[] = current;
      current = alive.map((i) => all[i] as Item);
      known = alive.map((i) => before[i]);
    }
    const { places, spilled, tileShapes } = scan(code, current, known, liveness, candidates);
    if (spilled.size === 0) return finish(code, current, known, liveness, places, tileShapes, spiller);
    ({ items: current, effects: known } = spiller.rewrite(current, known, liveness.dead, spilled));
  }
  throw new InternalError("register allocation does not end");
}

function vectorOrder(count: number, abi: Abi): number[] {
  const all = Array.from({ length: count }, (_, i) => i);
  const saved = new Set(abi.savedVector);
  return [...all.filter((id) => !saved.has(id)), ...abi.savedVector];
}

interface Scan {
  /** Physical node of every virtual node, -1 where spilled or unused. */
  readonly places: Int16Array;
  /** Virtual register indices to spill. */
  readonly spilled: ReadonlySet<number>;
  readonly tileShapes: ReadonlyMap<number, number>;
}

function isCopy(instr: Instr): boolean {
  const [to, from] = instr.operands;
  if (
    instr.operands.length !== 2 ||
    instr.mask !== undefined ||
    to?.kind !== "reg" ||
    from?.kind !== "reg" ||
    to.cls !== from.cls
  )
    return false;
  return instr.op === "mov"
    ? to.cls === "r64"
    : instr.op === "vmovaps" ||
        instr.op === "vmovups" ||
        instr.op === "kmovq" ||
        instr.op === "kmovw" ||
        instr.op === "kmovd";
}

function scan(
  code: Code,
  items: readonly Item[],
  known: ItemEffects,
  liveness: Liveness,
  candidates: readonly number[][],
): Scan {
  const { ranges, depth, dead } = liveness;
  const nodes = ranges.length;
  const places = new Int16Array(nodes).fill(-1);
  for (let p = 0; p < PHYSICAL; p++) places[p] = p;
  const weights = new Float64Array(nodes);
  const hints: (number[] | undefined)[] = [];
  const addHint = (node: number, other: number): void => {
    const list = hints[node];
    if (list === undefined) hints[node] = [other];
    else list.push(other);
  };
  for (let i = 0; i < items.length; i++) {
    const effect = known[i];
    if (effect === undefined || dead[i] === 1) continue;
    const cost = 8 ** Math.min(6, depth[i] as number);
    for (const reg of effect.reads) weights[nodeOf(reg)]! += cost;
    for (const reg of effect.writes) weights[nodeOf(reg)]! += cost;
    const instr = items[i] as Instr;
    if (isCopy(instr)) {
      const to = nodeOf(instr.operands[0] as Reg);
      const from = nodeOf(instr.operands[1] as Reg);
      addHint(to, from);
      addHint(from, to);
    }
  }

  const order: number[] = [];
  for (let node = PHYSICAL; node < nodes; node++) {
    const list = ranges[node] as number[];
    if (list.length === 0) continue;
    order.push(node);
    const { recreate, temporary } = code.virtuals[node - PHYSICAL] as Virtual;
    let length = 0;
    for (let r = 0; r < list.length; r += 2) length += (list[r + 1] as number) - (list[r] as number);
    weights[node] = temporary
      ? Infinity
      : ((weights[node] as number) / (length + 4)) * (recreate === undefined ? 1 : 0.5);
  }
  const startOf = (node: number): number => {
    const list = ranges[node] as number[];
    return list[list.length - 2] as number;
  };
  order.sort((a, b) => startOf(a) - startOf(b) || a - b);

  // Per physical register: the nodes placed there that have not ended.
  const placed: number[][] = Array.from({ length: PHYSICAL }, (_, p) =>
    (ranges[p] as number[]).length > 0 ? [p] : [],
  );
  const spilled = new Set<number>();
  const tileShapes = new Map<number, number>();
  for (const node of order) {
    const mine = ranges[node] as number[];
    const start = startOf(node);
    const virtual = code.virtuals[node - PHYSICAL] as Virtual;
    const registers = candidates[virtual.file] as number[];
    const isFree = (physical: number): boolean => {
      if (virtual.file === TILE && (tileShapes.get(physical) ?? virtual.bytes) !== virtual.bytes) return false;
      const list = placed[physical] as number[];
      for (let i = 0; i < list.length; i++) {
        const other = list[i] as number;
        const theirs = ranges[other] as number[];
        if ((theirs[1] as number) <= start) {
          if (other >= PHYSICAL) {
            list[i] = list[list.length - 1] as number;
            list.pop();
            i -= 1;
          }
          continue;
        }
        if (overlaps(mine, theirs)) return false;
      }
      return true;
    };
    let place = -1;
    for (const other of hints[node] ?? []) {
      const physical = places[other] as number;
      if (physical >= 0 && registers.includes(physical) && isFree(physical)) {
        place = physical;
        break;
      }
    }
    if (place < 0) place = registers.find(isFree) ?? -1;
    if (place < 0) {
      let best = weights[node] as number;
      let victim = -1;
      for (const physical of virtual.file === TILE ? [] : registers) {
        let cost = 0;
        for (const other of placed[physical] as number[]) {
          if (overlaps(mine, ranges[other] as number[]))
            cost += other < PHYSICAL ? Infinity : (weights[other] as number);
        }
        if (cost < best) {
          best = cost;
          victim = physical;
        }
      }
      if (victim < 0) {
        if (virtual.temporary) throw new InternalError("no register is free for a spilled value");
        spilled.add(node - PHYSICAL);
        continue;
      }
      const kept: number[] = [];
      for (const other of placed[victim] as number[]) {
        if (overlaps(mine, ranges[other] as number[])) {
          spilled.add(other - PHYSICAL);
          places[other] = -1;
        } else kept.push(other);
      }
      placed[victim] = kept;
      place = victim;
    }
    places[node] = place;
    if (virtual.file === TILE) tileShapes.set(place, virtual.bytes);
    (placed[place] as number[]).push(node);
  }
  return {
    places,
    spilled,
    tileShapes: new Map([...tileShapes].map(([node, shape]) => [node - fileStart[TILE], shape])),
  };
}

/** Do two lists of ranges (last first) have a position in common? */
function overlaps(a: readonly number[], b: readonly number[]): boolean {
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if ((a[i] as number) >= (b[j + 1] as number)) i += 2;
    else if ((b[j] as number) >= (a[i + 1] as number)) j += 2;
    else return true;
  }
  return false;
}

function finish(
  code: Code,
  items: readonly Item[],
  known: ItemEffects,
  liveness: Liveness,
  places: Int16Array,
  tileShapes: ReadonlyMap<number, number>,
  spiller: Spiller,
): Allocation {
  const out: Item[] = [];
  const usedGeneral = new Set<number>();
  const usedVector = new Set<number>();
  const physical = (reg: Reg): Reg => {
    if (reg.id < 1000) return reg;
    const node = nodeOf(reg);
    const assigned = places[node] as number;
    // A register that is only combined with itself to zero (xor) is never live: any one will do.
    const place = assigned >= 0 ? assigned : (fileStart[(code.virtuals[node - PHYSICAL] as Virtual).file] as number);
    switch (reg.cls) {
      case "r64":
        return r64(place);
      case "r32":
        return r32(place);
      case "r16":
        return gpr16(place);
      case "r8":
        return gpr8(place);
      case "xmm":
        return xmm(place - fileStart[VECTOR]);
      case "ymm":
        return ymm(place - fileStart[VECTOR]);
      case "zmm":
        return zmm(place - fileStart[VECTOR]);
      case "k":
        return k(place - fileStart[MASK]);
      case "tmm":
        return tmm(place - fileStart[TILE]);
    }
  };
  for (let i = 0; i < items.length; i++) {
    const item = items[i] as Item;
    if (!isInstr(item)) {
      out.push(item);
      continue;
    }
    if (liveness.dead[i] === 1) continue;
    for (const reg of known[i]?.writes ?? []) {
      const place = places[nodeOf(reg)] as number;
      if (place < fileStart[VECTOR]) usedGeneral.add(place - fileStart[GENERAL]);
      else if (place < fileStart[MASK]) usedVector.add(place - fileStart[VECTOR]);
    }
    const operands = item.operands.map((operand) => replaceRegisters(operand, physical));
    const [to, from] = operands;
    if (isCopy(item) && (to as Reg).id === (from as Reg).id) continue;
    if (reloads(out.at(-1), item, operands)) continue;
    out.push(
      item.mask === undefined
        ? { op: item.op, operands }
        : { op: item.op, operands, mask: physical(item.mask), zeroing: item.zeroing },
    );
  }
  return { items: out, spills: spiller.count, usedGeneral, usedVector, tileShapes, frameBytes: spiller.frameBytes };
}

/** Does the instruction load what the one before has just stored from the same register? */
function reloads(before: Item | undefined, item: Instr, operands: readonly Operand[]): boolean {
  if (
    before === undefined ||
    !isInstr(before) ||
    before.op !== item.op ||
    item.mask !== undefined ||
    before.mask !== undefined
  )
    return false;
  if (item.op !== "mov" && item.op !== "vmovups") return false;
  const [place, stored] = before.operands;
  const [reg, loaded] = operands;
  if (place?.kind !== "mem" || loaded?.kind !== "mem" || stored?.kind !== "reg" || reg?.kind !== "reg") return false;
  return (
    place.base?.id === rsp.id &&
    loaded.base?.id === rsp.id &&
    place.index === undefined &&
    loaded.index === undefined &&
    place.disp === loaded.disp &&
    stored.cls === reg.cls &&
    stored.id === reg.id
  );
}

function replaceRegisters(operand: Operand, replace: (reg: Reg) => Reg): Operand {
  if (operand.kind === "reg") return replace(operand);
  if (operand.kind !== "mem") return operand;
  const { base, index } = operand;
  if ((base === undefined || base.id < 1000) && (index === undefined || index.id < 1000)) return operand;
  const replaced: Mem = { ...operand, base: base && replace(base), index: index && replace(index) };
  return mem(replaced);
}
