/**
 * Last step of recording, and of every pass that rebuilds a kernel: removes what nothing uses, numbers the rest.
 *
 * In: a kernel with any unique ids. Out: an equal kernel without dead `let`s, dead locals, empty loops and empty
 * ifs; values are numbered in program order, axes and `let`s first, then literals and parameters by first use;
 * locals and buffers are numbered in order. Equal kernels therefore print alike.
 */

import type { Block, Buffer, Def, KValue, Kernel, Local, Stmt } from "./ir.ts";

/** Values that a definition uses directly. */
export function operandsOf(def: Def): readonly KValue[] {
  switch (def.kind) {
    case "const":
    case "param":
    case "axis":
    case "read":
    case "reduced":
      return [];
    case "prim":
    case "intrinsic":
      return def.args;
    case "load":
      return [def.index, def.mask, def.other].filter((value) => value !== undefined);
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
  }
}

/** Values that a statement uses directly, not those in its blocks (a reduce's `yields` belongs to its block). */
export function operandsOfStatement(statement: Stmt): readonly KValue[] {
  switch (statement.kind) {
    case "let":
      return operandsOf(statement.value.def);
    case "assign":
      return [statement.value];
    case "store":
      return [statement.index, statement.value, statement.mask].filter((value) => value !== undefined);
    case "tileStore":
      return [statement.index, statement.stride, statement.value];
    case "tileMma":
      return [statement.a, statement.b];
    case "for":
      return [statement.start, statement.end];
    case "if":
      return [statement.condition];
    case "parallel":
    case "each":
    case "reduce":
      return [statement.count];
    case "barrier":
      return [];
    case "prefetch":
      return [statement.index];
  }
}

/** Direct blocks of a statement. */
export function blocksOf(statement: Stmt): readonly Block[] {
  switch (statement.kind) {
    case "for":
    case "parallel":
    case "each":
    case "reduce":
      return [statement.body];
    case "if":
      return [statement.then, statement.else];
    default:
      return [];
  }
}

/** Visits every statement, outer ones first. */
export function visitStatements(block: Block, visit: (statement: Stmt) => void): void {
  for (const statement of block) {
    visit(statement);
    for (const inner of blocksOf(statement)) visitStatements(inner, visit);
  }
}

/** True when a statement of the block, at any depth, satisfies `test`. */
export function someStatement(block: Block, test: (statement: Stmt) => boolean): boolean {
  return block.some((statement) => test(statement) || blocksOf(statement).some((inner) => someStatement(inner, test)));
}

export function finishKernel(kernel: Kernel): Kernel {
  let body = kernel.body;
  // Dropping an assignment may leave its value unused, and the other way round; each round drops something.
  for (;;) {
    const next = new Sweeper(body).block(body);
    if (countStatements(next) === countStatements(body)) break;
    body = next;
  }
  return new Numbering(kernel).run(body);
}

function countStatements(block: Block): number {
  let count = 0;
  visitStatements(block, () => count++);
  return count;
}

/** Removes dead statements, walking backwards so that uses come before definitions. */
class Sweeper {
  readonly #used = new Set<KValue>();
  readonly #read = new Set<Local>();

  constructor(body: Block) {
    visitStatements(body, (statement) => {
      if (statement.kind === "let" && statement.value.def.kind === "read") this.#read.add(statement.value.def.local);
      if (statement.kind === "tileMma") this.#read.add(statement.acc);
    });
  }

  block(block: Block): Block {
    const kept: Stmt[] = [];
    for (const statement of [...block].reverse()) {
      const live = this.#statement(statement);
      if (live === undefined) continue;
      for (const value of operandsOfStatement(live)) this.#used.add(value);
      kept.push(live);
    }
    return kept.reverse();
  }

  #statement(statement: Stmt): Stmt | undefined {
    switch (statement.kind) {
      case "let":
        return this.#used.has(statement.value) ? statement : undefined;
      case "assign":
        return this.#read.has(statement.local) ? statement : undefined;
      case "reduce": {
        const used = this.#used.has(statement.result);
        if (!used && !hasEffect(statement.body)) return undefined;
        this.#used.add(statement.yields);
        return { ...statement, body: this.block(statement.body) };
      }
      case "for":
      case "parallel":
      case "each": {
        const body = this.block(statement.body);
        return body.length === 0 ? undefined : { ...statement, body };
      }
      case "if": {
        const otherwise = this.block(statement.else);
        const then = this.block(statement.then);
        return then.length + otherwise.length === 0 ? undefined : { ...statement, then, else: otherwise };
      }
      default:
        return statement;
    }
  }
}

/** True when a block does more than compute values: stores, assignments, barriers. */
export function hasEffect(block: Block): boolean {
  let found = false;
  visitStatements(block, (statement) => {
    if (
      statement.kind === "store" ||
      statement.kind === "tileStore" ||
      statement.kind === "assign" ||
      statement.kind === "barrier"
    )
      found = true;
    if (statement.kind === "tileMma") found = true;
  });
  return found;
}

class Numbering {
  readonly #kernel: Kernel;
  readonly #values = new Map<KValue, KValue>();
  readonly #leaves: KValue[] = [];
  readonly #locals = new Map<Local, Local>();
  readonly #buffers = new Map<Buffer, Buffer>();
  #next = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  run(body: Block): Kernel {
    const { name, scalars, symbols } = this.#kernel;
    const renumber = (buffer: Buffer): Buffer => {
      const renamed = { ...buffer, id: this.#buffers.size };
      this.#buffers.set(buffer, renamed);
      return renamed;
    };
    const buffers = this.#kernel.buffers.map(renumber);
    const scratch = this.#kernel.scratch.map(renumber);
    const numbered = this.#block(body);
    for (const leaf of this.#leaves) (leaf as { id: number }).id = this.#next++;
    return {
      name,
      buffers,
      scalars: [...scalars],
      symbols: [...symbols],
      scratch,
      locals: [...this.#locals.values()],
      body: numbered,
    };
  }

  #define(value: KValue, def: Def): KValue {
    const numbered: KValue = { id: this.#next++, type: value.type, def };
    this.#values.set(value, numbered);
    return numbered;
  }

  #value(value: KValue): KValue {
    const known = this.#values.get(value);
    if (known !== undefined) return known;
    // Literals and parameters get their numbers at the end; values of other kinds are defined before use, and the
    // verifier names the offender where a caller broke that rule.
    const leaf: KValue = { id: value.id, type: value.type, def: value.def };
    this.#values.set(value, leaf);
    this.#leaves.push(leaf);
    return leaf;
  }

  #local(local: Local): Local {
    let numbered = this.#locals.get(local);
    if (numbered === undefined) {
      numbered = { ...local, id: this.#locals.size };
      this.#locals.set(local, numbered);
    }
    return numbered;
  }

  #buffer(buffer: Buffer): Buffer {
    return this.#buffers.get(buffer) ?? buffer;
  }

  #optional(value: KValue | undefined): KValue | undefined {
    return value === undefined ? undefined : this.#value(value);
  }

  #def(def: Def): Def {
    switch (def.kind) {
      case "const":
      case "param":
      case "axis":
      case "reduced":
        return def;
      case "prim":
        return { ...def, args: def.args.map((arg) => this.#value(arg)) };
      case "intrinsic":
        return { ...def, args: def.args.map((arg) => this.#value(arg)) };
      case "read":
        return { ...def, local: this.#local(def.local) };
      case "load":
        return {
          kind: "load",
          buffer: this.#buffer(def.buffer),
          index: this.#value(def.index),
          mask: this.#optional(def.mask),
          other: this.#optional(def.other),
        };
      case "broadcast":
      case "horizontal":
      case "extract":
        return { ...def, value: this.#value(def.value) };
      case "iota":
        return { ...def, start: this.#value(def.start) };
      case "shuffle":
        return { ...def, a: this.#value(def.a), b: this.#value(def.b) };
      case "tileLoad":
        return {
          ...def,
          buffer: this.#buffer(def.buffer),
          index: this.#value(def.index),
          stride: this.#value(def.stride),
        };
    }
  }

  #block(block: Block): Block {
    return block.map((statement) => this.#statement(statement));
  }

  #statement(statement: Stmt): Stmt {
    switch (statement.kind) {
      case "let": {
        const def = this.#def(statement.value.def);
        return { kind: "let", value: this.#define(statement.value, def) };
      }
      case "assign":
        return { kind: "assign", local: this.#local(statement.local), value: this.#value(statement.value) };
      case "store":
        return {
          kind: "store",
          buffer: this.#buffer(statement.buffer),
          index: this.#value(statement.index),
          value: this.#value(statement.value),
          mask: this.#optional(statement.mask),
        };
      case "tileStore":
        return {
          kind: "tileStore",
          buffer: this.#buffer(statement.buffer),
          index: this.#value(statement.index),
          stride: this.#value(statement.stride),
          value: this.#value(statement.value),
        };
      case "tileMma":
        return {
          kind: "tileMma",
          acc: this.#local(statement.acc),
          a: this.#value(statement.a),
          b: this.#value(statement.b),
        };
      case "for": {
        const start = this.#value(statement.start);
        const end = this.#value(statement.end);
        const axis = this.#define(statement.axis, statement.axis.def);
        return { ...statement, start, end, axis, body: this.#block(statement.body) };
      }
      case "if": {
        const condition = this.#value(statement.condition);
        return { kind: "if", condition, then: this.#block(statement.then), else: this.#block(statement.else) };
      }
      case "parallel":
      case "each": {
        const count = this.#value(statement.count);
        const axis = this.#define(statement.axis, statement.axis.def);
        return { ...statement, count, axis, body: this.#block(statement.body) };
      }
      case "reduce": {
        const count = this.#value(statement.count);
        const axis = this.#define(statement.axis, statement.axis.def);
        const body = this.#block(statement.body);
        const yields = this.#value(statement.yields);
        return {
          ...statement,
          count,
          axis,
          body,
          yields,
          result: this.#define(statement.result, statement.result.def),
        };
      }
      case "barrier":
        return statement;
      case "prefetch":
        return { ...statement, buffer: this.#buffer(statement.buffer), index: this.#value(statement.index) };
    }
  }
}
