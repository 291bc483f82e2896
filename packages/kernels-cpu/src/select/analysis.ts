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
      return [def.index, ...(def.mask ? [def.mask] : []), ...(def.other ? [def.other] : [])];
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
      return [];
  }
}

/** The values a statement uses itself, not those of its body. */
export function operandsOf(stmt: Stmt): readonly KValue[] {
  switch (stmt.kind) {
    case "let":
      return argsOf(stmt.value.def);
    case "assign":
      return [stmt.value];
    case "store":
      return [stmt.index, stmt.value, ...(stmt.mask ? [stmt.mask] : [])];
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
      return [];
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
    for (const loop of loops) if (definition.position < loop.start) loop.outside.add(id);
  };
  const visit = (block: Block): void => {
    const number = blocks.length;
    blocks.push(block);
    const loads = new Map<string, KValue>();
    block.forEach((stmt, index) => {
      position += 1;
      if (mayWrite(stmt)) loads.clear();
      if (stmt.kind === "let" && stmt.value.def.kind === "load") {
        const { buffer, index: at, mask, other } = stmt.value.def;
        const key = `${buffer.id} ${at.id} ${stmt.value.type.lanes} ${mask?.id ?? "-"} ${other?.id ?? "-"}`;
        const first = loads.get(key);
        if (first === undefined) loads.set(key, stmt.value);
        else {
          sameLoad[stmt.value.id] = first;
          uses[first.id]! += 1;
        }
      }
      for (const value of operandsOf(stmt)) use(value, stmt, number, index);
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
    });
  };
  visit(kernel.body);

  /** Reads of each local that are aliases so far. */
  for (const { value, position: at } of reads) {
    if (value.def.kind !== "read") continue;
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
    const between = (blocks[block] as Block).slice(index + 1, at.index);
    const { kind } = value.def;
    if ((kind === "load" || kind === "broadcast") && !between.some(mayWrite)) deferrable[value.id] = 1;
    if (at.stmt.kind === "assign" && !between.some((stmt) => touches(stmt, (at.stmt as { local: Local }).local))) {
      const { local } = at.stmt;
      const blocked = reads.some(
        (read) =>
          read.value.def.kind === "read" &&
          read.value.def.local.id === local.id &&
          copiedReads[read.value.id] === 0 &&
          read.position < definition.position &&
          lastUse[read.value.id]! > definition.position,
      );
      if (!blocked) destination[value.id] = local;
    }
  }
  return { uses, deferrable, destination, copiedReads, usedInBlock, sameLoad, branchOnly };
}

function mayWrite(stmt: Stmt): boolean {
  return stmt.kind === "store" || stmt.kind === "tileStore" || stmt.kind === "barrier" || blocksOf(stmt).length > 0;
}

function touches(stmt: Stmt, local: Local): boolean {
  if (blocksOf(stmt).length > 0) return true;
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
    for (const stmt of block) {
      operandsOf(stmt).forEach(see);
      if (stmt.kind === "let") see(stmt.value);
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
