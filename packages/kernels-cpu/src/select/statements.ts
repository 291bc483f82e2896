/**
 * Walks the statements of a block. Values computed from values of an outer region are computed out there.
 */
import { InternalError } from "@quern/core";
import type { Block, KValue, Stmt } from "@quern/core/kernel";
import type { Reg } from "../asm/index.ts";
import { argsOf } from "./analysis.ts";
import { GENERAL, VECTOR } from "./code.ts";
import { assignConstant } from "./assign.ts";
import { waitsForBranch } from "./compare.ts";
import { selectFor, selectIf } from "./control.ts";
import { selectPrefetch, selectStore } from "./memory.ts";
import { isFloating } from "./element.ts";
import type { Selector } from "./selector.ts";
import { selectTileMma, selectTileStore } from "./tiles.ts";
import { overwritesSafely } from "./values.ts";

export function selectBlock(s: Selector, block: Block): void {
  for (const stmt of block) selectStatement(s, stmt);
}

function selectStatement(s: Selector, stmt: Stmt): void {
  switch (stmt.kind) {
    case "let":
      return selectLet(s, stmt.value);
    case "assign":
      return selectAssign(s, stmt);
    case "store":
      return selectStore(s, stmt);
    case "for":
      return selectFor(s, stmt);
    case "if":
      return selectIf(s, stmt);
    case "barrier":
      return;
    case "prefetch":
      return selectPrefetch(s, stmt);
    case "tileStore":
      return selectTileStore(s, stmt);
    case "tileMma":
      return selectTileMma(s, stmt);
    case "parallel":
    case "each":
    case "reduce":
      throw new InternalError(`kernel ${s.kernel.name}: "${stmt.kind}" reached instruction selection`);
  }
}

function selectLet(s: Selector, value: KValue): void {
  const { def, id } = value;
  const { facts, code, index } = s;
  if (facts.uses[id] === 0) return;
  if (def.kind === "read") return selectRead(s, value, def.local);
  const same = facts.sameLoad[id];
  if (same !== undefined) {
    s.aliases[id] = 1;
    s.bind(value, s.regs(same));
    return;
  }
  if (def.kind === "load" || def.kind === "tileLoad") {
    if (def.kind === "load" && facts.deferrable[id] === 1 && def.other === undefined) {
      s.pending[id] = 1;
      return;
    }
    s.bind(value, s.operations.materialise(s, value, destination(s, value)));
    return;
  }
  // Already computed in an outer region by an earlier copy of this body.
  if (s.values[id] !== undefined) return;
  if (index.isFormula(value)) return;
  if (
    def.kind === "broadcast" &&
    facts.deferrable[id] === 1 &&
    s.pending[def.value.id] === 1 &&
    def.value.def.kind === "load"
  ) {
    s.pending[id] = 1;
    return;
  }
  if (facts.branchOnly[id] === 1 && waitsForBranch(value)) {
    for (const arg of argsOf(def)) if (!index.isLazy(arg)) s.regs(arg);
    return;
  }
  const into = destination(s, value);
  let depth = into === undefined ? 0 : code.depth;
  for (const arg of argsOf(def)) depth = Math.max(depth, s.depthOf(arg));
  // A division stays in its loop: outside, the divisor may be zero because the loop never runs.
  if (mayTrap(value)) depth = code.depth;
  const place = code.placeFor(Math.min(depth, code.depth), s.shape(value.type).file !== GENERAL);
  if (place === code.depth) {
    s.bind(value, s.operations.materialise(s, value, into));
    return;
  }
  code.at(place, () => s.bind(value, s.operations.materialise(s, value, undefined)));
}

function mayTrap({ def, type }: KValue): boolean {
  if (def.kind !== "prim" || (def.prim !== "div" && def.prim !== "rem") || isFloating(type.dtype)) return false;
  const [, divisor] = def.args;
  return divisor?.def.kind !== "const" || Number(divisor.def.value) === 0;
}

/** The registers of the local that the value goes to, when it may be computed right there. */
function destination(s: Selector, value: KValue): readonly Reg[] | undefined {
  const local = s.facts.destination[value.id];
  if (local === undefined) return undefined;
  const regs = s.local(local);
  const readsIt = argsOf(value.def).some((arg) => s.aliases[arg.id] === 1 && s.values[arg.id]?.[0]?.id === regs[0]?.id);
  return readsIt && !overwritesSafely(value) ? undefined : regs;
}

function selectRead(s: Selector, value: KValue, local: Parameters<Selector["local"]>[0]): void {
  const regs = s.local(local);
  const { file } = s.shape(value.type);
  // Uses of general registers may be delayed past an assignment, so they always get a copy.
  if (s.facts.copiedReads[value.id] === 1 || file === GENERAL || (file !== VECTOR && file !== 3)) {
    const copy = s.fresh(value.type);
    s.moveAll(copy, regs);
    s.aliases[value.id] = 0;
    s.bind(value, copy);
    s.index.forget(value);
    return;
  }
  s.aliases[value.id] = 1;
  s.bind(value, regs);
}

function selectAssign(s: Selector, stmt: Extract<Stmt, { kind: "assign" }>): void {
  const regs = s.local(stmt.local);
  const { value } = stmt;
  if (value.def.kind === "const") return assignConstant(s, regs, value.type, value.def.value);
  if (s.pending[value.id] === 1) {
    s.pending[value.id] = 0;
    s.bind(value, s.operations.materialise(s, value, regs));
    return;
  }
  s.moveAll(regs, s.regs(value));
}
