/**
 * Facts about a kernel that selection asks for before it comes to the place: how often a value is used, whether a
 * load may wait for its only use, whether a value can be computed in the register of the local it is assigned to,
 * and whether a read of a local needs a copy.
 *
 * Statements are numbered in program order. A use inside a loop of a value from outside counts at the loop's end.
 */
import type { Block, Def, Kernel, KValue, Local, Stmt } from "@quern/core/kernel";

export interface Facts {
  /** Uses of each value, by value id. */
  readonly uses: Uint16Array;
  /** Values (loads, broadcasts) that may be computed at their only use instead of at their place. */
  readonly deferrable: Uint8Array;
  /** By value id: the local whose register the value can be computed in. */
  readonly destination: (Local | undefined)[];
  /** Reads of locals that must copy, because the local changes while the value is in use. */
  readonly copiedReads: Uint8Array;
  /** Values whose only use lies in the same block. */
  readonly usedInBlock: Uint8Array;
  /** By value id: an earlier load of the same elements in the same block, with no store between. */
  readonly sameLoad: (KValue | undefined)[];
  /** Values whose only use is the condition of an `if` in the same block. */
  readonly branchOnly: Uint8Array;
}

export function argsOf(def: Def): readonly KValue[] {
  switch (def.kind) {
    case "prim":
    case "intrinsic":
      return def.args;
    case "load":
      if (def.mask === undefined) return [def.index];
      return def.other === undefined ? [def.index, def.mask] : [def.index, def.mask, def.other];
    case "broadcast":
    case "horizontal":
    case "extract":
      return [def.value];
    case "iota":
      return [def.start];
    case "shuffle":
      return [def.a, def.b];
    case "tileLoad":
      return [def.index, def.stride];
    default:
      return NONE;
  }
}

const NONE: readonly never[] = [];

/** The values a statement uses itself, not those of its body. */
export function operandsOf(stmt: Stmt): readonly KValue[] {
  switch (stmt.kind) {
    case "let":
      return argsOf(stmt.value.def);
    case "assign":
      return [stmt.value];
    case "store":
      return stmt.mask === undefined ? [stmt.index, stmt.value] : [stmt.index, stmt.value, stmt.mask];
    case "tileStore":
      return [stmt.index, stmt.stride, stmt.value];
    case "tileMma":
      return [stmt.a, stmt.b];
    case "for":
      return [stmt.start, stmt.end];
    case "if":
      return [stmt.condition];
    case "parallel":
      return [stmt.count];
    case "prefetch":
      return [stmt.index];
    default:
      return [];
  }
}

export function blocksOf(stmt: Stmt): readonly Block[] {
  switch (stmt.kind) {
    case "for":
    case "parallel":
    case "each":
    case "reduce":
      return [stmt.body];
    case "if":
      return [stmt.then, stmt.else];
    default:
      return NONE;
  }
}

interface Definition {
  readonly value: KValue;
  readonly position: number;
  readonly block: number;
  readonly index: number;
}

interface Use {
  readonly position: number;
  readonly block: number;
  readonly index: number;
  readonly stmt: Stmt;
}

export function analyse(kernel: Kernel, ids: number): Facts {
  const uses = new Uint16Array(ids);
  const deferrable = new Uint8Array(ids);
  const usedInBlock = new Uint8Array(ids);
  const sameLoad: (KValue | undefined)[] = new Array<KValue | undefined>(ids).fill(undefined);
  const branchOnly = new Uint8Array(ids);
  const copiedReads = new Uint8Array(ids);
  const destination: (Local | undefined)[] = new Array<Local | undefined>(ids).fill(undefined);
  const definitions: (Definition | undefined)[] = new Array<Definition | undefined>(ids).fill(undefined);
  const lastUse = new Int32Array(ids).fill(-1);
  const onlyUse: (Use | undefined)[] = new Array<Use | undefined>(ids).fill(undefined);
  const assigns = new Map<number, number[]>();
  const reads: Definition[] = [];
  const blocks: Block[] = [];
  /** Loops open at this place: their first position and the values used inside that come from outside. */
  const loops: { start: number; outside: Set<number> }[] = [];
  let position = 0;

  const use = (value: KValue, stmt: Stmt, block: number, index: number): void => {
    const { id } = value;
    uses[id]! += 1;
    if (lastUse[id]! < position) lastUse[id] = position;
    onlyUse[id] = { position, block, index, stmt };
    const definition = definitions[id];
    if (definition === undefined) return;
    for (let i = 0; i < loops.length; i++) {
      const loop = loops[i] as (typeof loops)[number];
      if (definition.position < loop.start) loop.outside.add(id);
    }
  };
  const visit = (block: Block): void => {
    const number = blocks.length;
    blocks.push(block);
    const loads = new Map<string | number, KValue>();
    for (let index = 0; index < block.length; index++) {
      const stmt = block[index] as Stmt;
      position += 1;
      if (mayWrite(stmt)) loads.clear();
      if (stmt.kind === "let" && stmt.value.def.kind === "load") {
        const { buffer, index: at, mask, other } = stmt.value.def;
        const { lanes } = stmt.value.type;
        const key =
          mask === undefined && buffer.id < 256 && lanes < 4096
            ? (at.id * 256 + buffer.id) * 4096 + lanes
            : `${buffer.id} ${at.id} ${lanes} ${mask?.id ?? "-"} ${other?.id ?? "-"}`;
        const first = loads.get(key);
        if (first === undefined) loads.set(key, stmt.value);
        else {
          sameLoad[stmt.value.id] = first;
          uses[first.id]! += 1;
        }
      }
      const operands = operandsOf(stmt);
      for (let i = 0; i < operands.length; i++) use(operands[i] as KValue, stmt, number, index);
      if (stmt.kind === "let") {
        const definition = { value: stmt.value, position, block: number, index };
        definitions[stmt.value.id] = definition;
        if (stmt.value.def.kind === "read") reads.push(definition);
      }
      const changed = stmt.kind === "assign" ? stmt.local : stmt.kind === "tileMma" ? stmt.acc : undefined;
      if (changed !== undefined) {
        const list = assigns.get(changed.id);
        if (list === undefined) assigns.set(changed.id, [position]);
        else list.push(position);
      }
      const isLoop = stmt.kind === "for" || stmt.kind === "parallel";
      if (isLoop) loops.push({ start: position, outside: new Set() });
      for (const inner of blocksOf(stmt)) visit(inner);
      if (isLoop) {
        position += 1;
        for (const id of loops.pop()?.outside ?? []) lastUse[id] = Math.max(lastUse[id]!, position);
      }
    }
  };
  visit(kernel.body);

  const readsOf = new Map<number, Definition[]>();
  for (const read of reads) {
    const { value, position: at } = read;
    if (value.def.kind !== "read") continue;
    const list = readsOf.get(value.def.local.id);
    if (list === undefined) readsOf.set(value.def.local.id, [read]);
    else list.push(read);
    const last = lastUse[value.id]!;
    if ((assigns.get(value.def.local.id) ?? []).some((q) => q > at && q < last)) copiedReads[value.id] = 1;
  }
  for (const definition of definitions) {
    if (definition === undefined || uses[definition.value.id] !== 1) continue;
    const { value, block, index } = definition;
    const at = onlyUse[value.id] as Use;
    if (at.block !== block) continue;
    usedInBlock[value.id] = 1;
    if (at.stmt.kind === "if") branchOnly[value.id] = 1;
    const statements = blocks[block] as Block;
    const { kind } = value.def;
    if (kind === "load" || kind === "broadcast") {
      let waits = true;
      for (let i = index + 1; i < at.index && waits; i++) waits = !mayWrite(statements[i] as Stmt);
      if (waits) deferrable[value.id] = 1;
    }
    if (at.stmt.kind === "assign") {
      const { local } = at.stmt;
      let isFree = true;
      for (let i = index + 1; i < at.index && isFree; i++) isFree = !touches(statements[i] as Stmt, local);
      const others = isFree ? (readsOf.get(local.id) ?? []) : [];
      for (let i = 0; i < others.length && isFree; i++) {
        const read = others[i] as Definition;
        isFree =
          copiedReads[read.value.id] !== 0 ||
          read.position >= definition.position ||
          lastUse[read.value.id]! <= definition.position;
      }
      if (isFree) destination[value.id] = local;
    }
  }
  return { uses, deferrable, destination, copiedReads, usedInBlock, sameLoad, branchOnly };
}

function hasBlocks({ kind }: Stmt): boolean {
  return kind === "for" || kind === "if" || kind === "parallel" || kind === "each" || kind === "reduce";
}

function mayWrite(stmt: Stmt): boolean {
  return stmt.kind === "store" || stmt.kind === "tileStore" || stmt.kind === "barrier" || hasBlocks(stmt);
}

function touches(stmt: Stmt, local: Local): boolean {
  if (hasBlocks(stmt)) return true;
  if (stmt.kind === "assign") return stmt.local.id === local.id;
  if (stmt.kind === "tileMma") return stmt.acc.id === local.id;
  return stmt.kind === "let" && stmt.value.def.kind === "read" && stmt.value.def.local.id === local.id;
}

/** One more than the largest value id in the kernel. */
export function valueCount(kernel: Kernel): number {
  let count = 0;
  const see = (value: KValue): void => {
    if (value.id >= count) count = value.id + 1;
  };
  const visit = (block: Block): void => {
    for (let i = 0; i < block.length; i++) {
      const stmt = block[i] as Stmt;
      const operands = operandsOf(stmt);
      for (let a = 0; a < operands.length; a++) see(operands[a] as KValue);
      if (stmt.kind === "let") {
        see(stmt.value);
        continue;
      }
      if (stmt.kind === "for" || stmt.kind === "parallel" || stmt.kind === "each" || stmt.kind === "reduce")
        see(stmt.axis);
      blocksOf(stmt).forEach(visit);
    }
  };
  visit(kernel.body);
  return count;
}

/** Does the block contain a loop? */
export function hasLoop(block: Block): boolean {
  return block.some((stmt) => stmt.kind === "for" || blocksOf(stmt).some(hasLoop));
}
