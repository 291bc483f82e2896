/**
 * Moves pure values that do not change in a loop in front of it.
 *
 * In: a kernel of either level. Out: an equal kernel. Integer divisions move only with a constant divisor, since the
 * loop may have guarded them by not running; loads move only from read-only buffers out of loops that run at least
 * once. Bodies of `if` stay as they are: what they compute may be needed rarely.
 */

import { isIntegerType } from "./element.ts";
import { operandsOf } from "./finish.ts";
import type { Block, KValue, Kernel, Stmt } from "./ir.ts";
import { Rebuilder } from "./rebuild.ts";

export function hoist(kernel: Kernel): Kernel {
  return new Hoister(kernel).run();
}

type Loop = Stmt & { kind: "for" | "each" | "reduce" | "parallel" };

class Hoister extends Rebuilder {
  override statement(statement: Stmt): void {
    switch (statement.kind) {
      // A value in front of `parallel` would be computed by the host or by every task alike.
      case "for":
      case "each":
      case "reduce":
        this.#inFrontOf(statement);
        break;
      case "let":
        if (this.values.has(statement.value)) return;
        break;
      default:
    }
    super.statement(statement);
  }

  #inFrontOf(loop: Loop): void {
    const inside = new Set<KValue>();
    collect(loop, inside);
    const move = (block: Block, runs: boolean): void => {
      for (const statement of block) {
        if (statement.kind === "for" || statement.kind === "each" || statement.kind === "reduce")
          move(statement.body, runs && runsAtLeastOnce(statement));
        if (statement.kind !== "let") continue;
        const { value } = statement;
        if (!isMovable(value, runs) || operandsOf(value.def).some((operand) => inside.has(operand))) continue;
        inside.delete(value);
        if (!this.values.has(value)) this.values.set(value, this.define(value));
      }
    };
    move(loop.body, runsAtLeastOnce(loop));
  }
}

function runsAtLeastOnce(loop: Loop): boolean {
  if (loop.kind === "for")
    return (
      loop.start.def.kind === "const" &&
      loop.end.def.kind === "const" &&
      Number(loop.start.def.value) < Number(loop.end.def.value)
    );
  return loop.count.def.kind === "const" && Number(loop.count.def.value) > 0;
}

function isMovable(value: KValue, runs: boolean): boolean {
  const { def, type } = value;
  switch (def.kind) {
    case "prim": {
      const divides = (def.prim === "div" || def.prim === "rem") && isIntegerType(type.dtype);
      const divisor = def.args[1];
      return !divides || (divisor?.def.kind === "const" && Number(divisor.def.value) !== 0);
    }
    case "broadcast":
    case "iota":
    case "horizontal":
    case "shuffle":
    case "extract":
    case "intrinsic":
      return true;
    case "load":
      return runs && def.buffer.access === "read" && def.mask === undefined;
    default:
      return false;
  }
}

/** All values that a statement defines, in its blocks as well. */
function collect(statement: Stmt, into: Set<KValue>): void {
  switch (statement.kind) {
    case "let":
      return void into.add(statement.value);
    case "if":
      for (const inner of [...statement.then, ...statement.else]) collect(inner, into);
      return;
    case "for":
    case "parallel":
    case "each":
    case "reduce":
      into.add(statement.axis);
      if (statement.kind === "reduce") into.add(statement.result);
      for (const inner of statement.body) collect(inner, into);
      return;
    default:
  }
}
