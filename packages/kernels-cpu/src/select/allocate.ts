/**
 * Register allocation: virtual registers become physical ones or stack slots.
 *
 * Linear scan over live ranges with holes (Poletto and Sarkar 1999; Wimmer and Mössenböck 2005), in order of first
 * definition. A register that finds none free evicts the cheapest overlapping ones when their uses, weighted by loop
 * depth, cost less than its own. Evicted registers live in memory, with a short-lived temporary around each use, and
 * the scan starts over. Copies prefer the register of their other side, so most of them vanish.
 */
import { gpr16, gpr8, isInstr, k, r32, r64, rsp, tmm, xmm, ymm, zmm } from "../asm/index.ts";
import type { Instr, Item, Operand, Reg } from "../asm/index.ts";
import { InternalError } from "@quern/core";
import type { Abi } from "./abi.ts";
import { GENERAL, MASK, TILE, VECTOR } from "./code.ts";
import type { Code, Virtual } from "./code.ts";
import { PHYSICAL, findLiveness, itemEffects, nodeOf } from "./liveness.ts";
import type { ItemEffects, Liveness, NodeEffects } from "./liveness.ts";
import { Spiller } from "./spill.ts";

type Form = NodeEffects["form"];

export interface Allocation {
  readonly items: Item[];
  /** The form of each item where it is known. */
  readonly forms: (Form | undefined)[];
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
/** The first vector register that VEX cannot name. */
const HIGH = fileStart[VECTOR] + 16;

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
      const alive: Item[] = [];
      const aliveEffects: ItemEffects = [];
      for (let i = 0; i < current.length; i++) {
        if (dead[i] === 1) continue;
        alive.push(current[i] as Item);
        aliveEffects.push(known[i]);
      }
      current = alive;
      known = aliveEffects;
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
  const { op, operands } = instr;
  switch (op) {
    case "mov":
    case "vmovaps":
    case "vmovups":
    case "kmovq":
    case "kmovw":
    case "kmovd":
      break;
    default:
      return false;
  }
  if (operands.length !== 2 || instr.mask !== undefined) return false;
  const to = operands[0] as Operand;
  const from = operands[1] as Operand;
  return to.kind === "reg" && from.kind === "reg" && to.cls === from.cls && (op !== "mov" || to.cls === "r64");
}

/** Cost of an instruction by the number of loops around it. */
const COST = [1, 8, 64, 512, 4096, 32768, 262144] as const;

/** Sort keys hold a position and a node. */
const KEY_NODES = 2 ** 24;

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
    const cost = COST[Math.min(6, depth[i] as number)] as number;
    const { reads, writes } = effect;
    for (let r = 0; r < reads.length; r++) weights[reads[r] as number]! += cost;
    for (let w = 0; w < writes.length; w++) weights[writes[w] as number]! += cost;
    const instr = items[i] as Instr;
    if (isCopy(instr)) {
      const to = nodeOf(instr.operands[0] as Reg);
      const from = nodeOf(instr.operands[1] as Reg);
      addHint(to, from);
      addHint(from, to);
    }
  }

  const starts = new Int32Array(nodes);
  const keys: number[] = [];
  for (let node = PHYSICAL; node < nodes; node++) {
    const list = ranges[node] as number[];
    if (list.length === 0) continue;
    starts[node] = list[list.length - 2] as number;
    keys.push((starts[node] as number) * KEY_NODES + node);
    const { recreate, temporary } = code.virtuals[node - PHYSICAL] as Virtual;
    let length = 0;
    for (let r = 0; r < list.length; r += 2) length += (list[r + 1] as number) - (list[r] as number);
    weights[node] = temporary
      ? Infinity
      : ((weights[node] as number) / (length + 4)) * (recreate === undefined ? 1 : 0.5);
  }
  const order = Float64Array.from(keys).sort();

  // Per physical register: the nodes placed there that have not ended.
  const placed: number[][] = [];
  for (let p = 0; p < PHYSICAL; p++) placed.push((ranges[p] as number[]).length > 0 ? [p] : []);
  const spilled = new Set<number>();
  const tileShapes = new Map<number, number>();
  /** Could a node with these ranges live in the register? Forgets nodes there that have ended. */
  const isFree = (physical: number, mine: readonly number[], start: number): boolean => {
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
  for (let at = 0; at < order.length; at++) {
    const node = (order[at] as number) % KEY_NODES;
    const mine = ranges[node] as number[];
    const start = starts[node] as number;
    const virtual = code.virtuals[node - PHYSICAL] as Virtual;
    const registers = candidates[virtual.file] as number[];
    const isTile = virtual.file === TILE;
    const fits = (physical: number): boolean =>
      (!isTile || (tileShapes.get(physical) ?? virtual.bytes) === virtual.bytes) && isFree(physical, mine, start);
    let place = -1;
    const wanted = hints[node];
    if (wanted !== undefined) {
      for (let h = 0; h < wanted.length && place < 0; h++) {
        const physical = places[wanted[h] as number] as number;
        if (physical >= 0 && registers.includes(physical) && fits(physical)) place = physical;
      }
    }
    for (let r = 0; r < registers.length && place < 0; r++) {
      const physical = registers[r] as number;
      if (fits(physical)) place = physical;
    }
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
  const forms: (Form | undefined)[] = [];
  const usedGeneral = new Set<number>();
  const usedVector = new Set<number>();
  // Forms were chosen as if every register were one of the first sixteen.
  let isHigh = false;
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
        if (place >= HIGH) isHigh = true;
        return xmm(place - fileStart[VECTOR]);
      case "ymm":
        if (place >= HIGH) isHigh = true;
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
    const effect = known[i];
    if (!isInstr(item) || effect === undefined) {
      out.push(item);
      forms.push(undefined);
      continue;
    }
    if (liveness.dead[i] === 1) continue;
    const { writes } = effect;
    for (let w = 0; w < writes.length; w++) {
      const place = places[writes[w] as number] as number;
      if (place < fileStart[VECTOR]) usedGeneral.add(place - fileStart[GENERAL]);
      else if (place < fileStart[MASK]) usedVector.add(place - fileStart[VECTOR]);
    }
    isHigh = false;
    const operands: Operand[] = [];
    for (let o = 0; o < item.operands.length; o++)
      operands.push(replaceRegisters(item.operands[o] as Operand, physical));
    if (isCopy(item) && (operands[0] as Reg).id === (operands[1] as Reg).id) continue;
    // A shift by cl is the one form that takes a register by its number.
    forms.push(isHigh || effect.form.hasByteReg ? undefined : effect.form);
    if (reloads(out[out.length - 1], item, operands)) {
      forms.pop();
      continue;
    }
    out.push(
      item.mask === undefined
        ? { op: item.op, operands }
        : { op: item.op, operands, mask: physical(item.mask), zeroing: item.zeroing },
    );
  }
  return {
    items: out,
    forms,
    spills: spiller.count,
    usedGeneral,
    usedVector,
    tileShapes,
    frameBytes: spiller.frameBytes,
  };
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
  const { scale, disp, label, broadcast, size } = operand;
  return {
    kind: "mem",
    base: base && replace(base),
    index: index && replace(index),
    scale,
    disp,
    label,
    broadcast,
    size,
  };
}
