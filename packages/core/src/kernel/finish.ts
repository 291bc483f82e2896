/**
 * Last step of recording, and of every pass that rebuilds a kernel: removes what nothing uses, numbers the rest.
 *
 * In: a kernel with unique ids below `count`. Out: an equal kernel without dead `let`s, dead locals, empty loops and empty
 * ifs; values are numbered in program order, axes and `let`s first, then literals and parameters by first use;
 * locals and buffers are numbered in order. Equal kernels therefore print alike.
 */

import type { Block, Def, KValue, Kernel, Local, Stmt } from "./ir.ts";

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

/** `count` is above every value id. The values, locals and buffers are the kernel's own and get their numbers in place. */
export function finishKernel(kernel: Kernel, count: number): Kernel {
  let { body } = kernel;
  // Dropping an assignment may leave its value unused, and the other way round; each round drops something.
  for (;;) {
    const sweeper = new Sweeper(kernel.locals.length, count);
    const next = sweeper.run(body);
    body = next;
    if (!sweeper.changed) break;
  }
  return new Numbering(kernel, count).run(body);
}

/** Removes dead statements, walking backwards so that uses come before definitions. */
class Sweeper {
  changed = false;
  /** By value id and by local id. */
  readonly #used: Uint8Array;
  readonly #read: Uint8Array;

  constructor(locals: number, count: number) {
    this.#used = new Uint8Array(count);
    this.#read = new Uint8Array(locals);
  }

  run(body: Block): Block {
    this.#findReads(body);
    return this.#block(body);
  }

  #findReads(block: Block): void {
    for (let i = 0; i < block.length; i++) {
      const statement = block[i] as Stmt;
      switch (statement.kind) {
        case "let":
          if (statement.value.def.kind === "read") this.#read[statement.value.def.local.id] = 1;
          break;
        case "tileMma":
          this.#read[statement.acc.id] = 1;
          break;
        case "if":
          this.#findReads(statement.then);
          this.#findReads(statement.else);
          break;
        case "for":
        case "parallel":
        case "each":
        case "reduce":
          this.#findReads(statement.body);
          break;
        default:
      }
    }
  }

  /** The same array where everything in it stays. */
  #block(block: Block): Block {
    let kept: Stmt[] | undefined;
    for (let i = block.length - 1; i >= 0; i--) {
      const statement = block[i] as Stmt;
      const live = this.#statement(statement);
      if (live !== statement && kept === undefined) {
        kept = [];
        for (let j = block.length - 1; j > i; j--) kept.push(block[j] as Stmt);
      }
      if (live === undefined) {
        this.changed = true;
        continue;
      }
      this.#useOperands(live);
      if (kept !== undefined) kept.push(live);
    }
    return kept === undefined ? block : kept.reverse();
  }

  #useOperands(statement: Stmt): void {
    const used = this.#used;
    switch (statement.kind) {
      case "let": {
        const { def } = statement.value;
        if (def.kind === "prim") {
          const { args } = def;
          for (let i = 0; i < args.length; i++) used[(args[i] as KValue).id] = 1;
          return;
        }
        if (def.kind === "read") return;
        break;
      }
      case "assign":
        used[statement.value.id] = 1;
        return;
      default:
    }
    const operands = operandsOfStatement(statement);
    for (let i = 0; i < operands.length; i++) used[(operands[i] as KValue).id] = 1;
  }

  #statement(statement: Stmt): Stmt | undefined {
    switch (statement.kind) {
      case "let":
        return this.#used[statement.value.id] === 1 ? statement : undefined;
      case "assign":
        return this.#read[statement.local.id] === 1 ? statement : undefined;
      case "reduce": {
        const used = this.#used[statement.result.id] === 1;
        if (!used && !hasEffect(statement.body)) return undefined;
        this.#used[statement.yields.id] = 1;
        const body = this.#block(statement.body);
        return body === statement.body ? statement : { ...statement, body };
      }
      case "for":
      case "parallel":
      case "each": {
        const body = this.#block(statement.body);
        if (body.length === 0) return undefined;
        return body === statement.body ? statement : { ...statement, body };
      }
      case "if": {
        const otherwise = this.#block(statement.else);
        const then = this.#block(statement.then);
        if (then.length + otherwise.length === 0) return undefined;
        return then === statement.then && otherwise === statement.else
          ? statement
          : { ...statement, then, else: otherwise };
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

/**
 * Numbers values, locals and buffers where they stand. While it runs, a new number n is stored as `count + n`, which
 * tells values that have their number from those that have not.
 */
class Numbering {
  readonly #kernel: Kernel;
  readonly #count: number;
  readonly #values: KValue[] = [];
  readonly #leaves: KValue[] = [];
  readonly #locals: Local[] = [];
  readonly #knownLocals: Uint8Array;

  constructor(kernel: Kernel, count: number) {
    this.#kernel = kernel;
    this.#count = count;
    this.#knownLocals = new Uint8Array(kernel.locals.length);
  }

  run(body: Block): Kernel {
    const { name, scalars, symbols, buffers, scratch } = this.#kernel;
    buffers.forEach((buffer, i) => ((buffer as { id: number }).id = i));
    scratch.forEach((buffer, i) => ((buffer as { id: number }).id = buffers.length + i));
    this.#block(body);
    for (let i = 0; i < this.#values.length; i++) (this.#values[i] as { id: number }).id = i;
    for (let i = 0; i < this.#leaves.length; i++) (this.#leaves[i] as { id: number }).id = this.#values.length + i;
    for (let i = 0; i < this.#locals.length; i++) (this.#locals[i] as { id: number }).id = i;
    return {
      name,
      buffers: [...buffers],
      scalars: [...scalars],
      symbols: [...symbols],
      scratch: [...scratch],
      locals: this.#locals,
      body,
    };
  }

  #define(value: KValue): void {
    (value as { id: number }).id = this.#count + this.#values.length;
    this.#values.push(value);
  }

  #use(value: KValue): void {
    if (value.id >= this.#count) return;
    // Literals and parameters get their numbers at the end; values of other kinds are defined before use, and the
    // verifier names the offender where a caller broke that rule.
    (value as { id: number }).id = this.#count;
    this.#leaves.push(value);
  }

  #local(local: Local): void {
    if (this.#knownLocals[local.id] === 1) return;
    this.#knownLocals[local.id] = 1;
    this.#locals.push(local);
  }

  #useAll(values: readonly KValue[]): void {
    for (let i = 0; i < values.length; i++) this.#use(values[i] as KValue);
  }

  #block(block: Block): void {
    for (let i = 0; i < block.length; i++) this.#statement(block[i] as Stmt);
  }

  #statement(statement: Stmt): void {
    switch (statement.kind) {
      case "let": {
        const { value } = statement;
        const { def } = value;
        if (def.kind === "prim") this.#useAll(def.args);
        else if (def.kind === "read") this.#local(def.local);
        else this.#useAll(operandsOf(def));
        return this.#define(value);
      }
      case "assign":
        this.#local(statement.local);
        return this.#use(statement.value);
      case "tileMma":
        this.#local(statement.acc);
        break;
      case "if":
        this.#use(statement.condition);
        this.#block(statement.then);
        return this.#block(statement.else);
      case "for":
        this.#use(statement.start);
        this.#use(statement.end);
        this.#define(statement.axis);
        return this.#block(statement.body);
      case "parallel":
      case "each":
        this.#use(statement.count);
        this.#define(statement.axis);
        return this.#block(statement.body);
      case "reduce":
        this.#use(statement.count);
        this.#define(statement.axis);
        this.#block(statement.body);
        this.#use(statement.yields);
        return this.#define(statement.result);
      default:
    }
    this.#useAll(operandsOfStatement(statement));
  }
}
