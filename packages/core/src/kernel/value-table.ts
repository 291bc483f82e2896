/**
 * The values of a kernel that is being recorded, and the blocks they are recorded in. A pure value is shared with an equal one of the
 * enclosing blocks: it is found by its key, and forgotten with the block that computes it.
 */

import { invariant } from "../errors.ts";
import { type Block, type Def, INDEX, type KType, type KValue, type Stmt } from "./ir.ts";

interface Scope {
  readonly statements: Stmt[];
  /** Keys of the values that later statements of the block share, by the kind of key. */
  readonly names: string[];
  readonly pairs: number[];
  readonly triples: number[];
}

/** Keys of operations on one or two values are numbers: the code of the operation and two value ids. */
const PAIR_IDS = 2 ** 20;
/** The same for three values. */
const TRIPLE_IDS = 2 ** 15;

function newScope(): Scope {
  return { statements: [], names: [], pairs: [], triples: [] };
}

export class ValueTable {
  readonly #scopes: Scope[] = [newScope()];
  #scope: Scope = this.#scopes[0] as Scope;
  /** Literals, parameters and the values of the open blocks, by key. */
  readonly #named = new Map<string, KValue>();
  readonly #pairs = new Map<number, KValue>();
  readonly #triples = new Map<number, KValue>();
  #nextValue = 0;

  /** Values so far. */
  get size(): number {
    return this.#nextValue;
  }

  /** Blocks that are open within the outermost. */
  get depth(): number {
    return this.#scopes.length - 1;
  }

  /** Statements of the innermost open block. */
  get statements(): Block {
    return this.#scope.statements;
  }

  push(statement: Stmt): void {
    this.#scope.statements.push(statement);
  }

  /** A value that no statement computes by itself, such as an axis. */
  fresh(type: KType, def: Def): KValue {
    return { id: this.#nextValue++, type, def };
  }

  axis(): KValue {
    return this.fresh(INDEX, { kind: "axis" });
  }

  /** A literal or parameter: known in every block. */
  leaf(type: KType, def: Def, key: string): KValue {
    const known = this.#named.get(key);
    if (known !== undefined) return known;
    const value = this.fresh(type, def);
    this.#named.set(key, value);
    return value;
  }

  /** A value that nothing else can stand for, such as a load. */
  let(type: KType, def: Def): KValue {
    const value: KValue = { id: this.#nextValue++, type, def };
    this.#scope.statements.push({ kind: "let", value });
    return value;
  }

  /** The value shared under `key`, or a new one that `def` makes. */
  shared(type: KType, def: Def, key: string): KValue {
    const known = this.#named.get(key);
    if (known !== undefined) return known;
    const value = this.let(type, def);
    this.#named.set(key, value);
    this.#scope.names.push(key);
    return value;
  }

  /** The same under an operation, which has a code, on the values with the ids `a` and perhaps `b`. */
  sharedPair(type: KType, def: Def, code: number, a: number, b: number): KValue {
    invariant(a < PAIR_IDS && b < PAIR_IDS, () => `more than ${PAIR_IDS} values`);
    const key = (code * PAIR_IDS + a) * PAIR_IDS + b;
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const value = this.let(type, def);
    this.#pairs.set(key, value);
    this.#scope.pairs.push(key);
    return value;
  }

  sharedTriple(type: KType, def: Def, code: number, a: number, b: number, c: number): KValue {
    if (a >= TRIPLE_IDS || b >= TRIPLE_IDS || c >= TRIPLE_IDS) return this.shared(type, def, `${code} ${a} ${b} ${c}`);
    const key = ((code * TRIPLE_IDS + a) * TRIPLE_IDS + b) * TRIPLE_IDS + c;
    const known = this.#triples.get(key);
    if (known !== undefined) return known;
    const value = this.let(type, def);
    this.#triples.set(key, value);
    this.#scope.triples.push(key);
    return value;
  }

  /** What `body` records, as a block. */
  record(body: () => void): Block {
    const outer = this.#scope;
    const scope = newScope();
    this.#scopes.push(scope);
    this.#scope = scope;
    try {
      body();
    } finally {
      this.#scopes.pop();
      this.#scope = outer;
      // Values of a block are not known after it.
      for (let i = 0; i < scope.pairs.length; i++) this.#pairs.delete(scope.pairs[i] as number);
      for (let i = 0; i < scope.names.length; i++) this.#named.delete(scope.names[i] as string);
      for (let i = 0; i < scope.triples.length; i++) this.#triples.delete(scope.triples[i] as number);
    }
    return scope.statements;
  }
}
