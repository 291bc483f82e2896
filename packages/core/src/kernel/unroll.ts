/**
 * Unrolls loops that ask for it: `unroll` copies of the body per iteration, and a loop for what is left.
 *
 * In: a kernel of either level. Out: an equal kernel in which every `unroll` is 1.
 */

import { someStatement } from "./finish.ts";
import { type KValue, type Kernel, type Stmt } from "./ir.ts";
import { Rebuilder } from "./rebuild.ts";

export function unrollLoops(kernel: Kernel): Kernel {
  if (!someStatement(kernel.body, (statement) => statement.kind === "for" && statement.unroll > 1)) return kernel;
  return new Unroller(kernel).run();
}

class Unroller extends Rebuilder {
  override statement(statement: Stmt): void {
    if (statement.kind === "for" && statement.unroll > 1) return this.#unroll(statement);
    super.statement(statement);
  }

  #unroll(statement: Stmt & { kind: "for" }): void {
    const { k } = this;
    const { step, unroll } = statement;
    const start = this.value(statement.start);
    const end = this.value(statement.end);
    const copy = (at: KValue): void => {
      this.values.set(statement.axis, at);
      this.block(statement.body);
    };
    const wide = step * unroll;
    if (start.def.kind === "const" && end.def.kind === "const") {
      const [from, to] = [Number(start.def.value), Number(end.def.value)];
      const trips = Math.max(0, Math.ceil((to - from) / step));
      const blocks = Math.floor(trips / unroll);
      if (blocks === 1) for (let i = 0; i < unroll; i++) copy(k.index(from + i * step));
      else if (blocks > 1) this.#wideLoop(start, k.index(from + blocks * wide), step, unroll, copy);
      for (let trip = blocks * unroll; trip < trips; trip++) copy(k.index(from + trip * step));
      return;
    }
    // An empty range must not run backwards.
    const length = k.max(0, k.sub(end, start));
    const trips = k.div(k.add(length, step - 1), step);
    const middle = k.add(start, k.mul(k.div(trips, unroll), wide));
    this.#wideLoop(start, middle, step, unroll, copy);
    k.for({ start: middle, end, step }, copy);
  }

  #wideLoop(start: KValue, end: KValue, step: number, unroll: number, copy: (at: KValue) => void): void {
    this.k.for({ start, end, step: step * unroll }, (axis) => {
      for (let i = 0; i < unroll; i++) copy(this.k.add(axis, i * step));
    });
  }
}
