/**
 * Checks the rules of the kernel IR; run on what the builder and every pass hand out.
 *
 * Rules: values are defined before use and in scope, ids are unique, operand types fit, buffers and locals are
 * declared, read-only buffers are not stored to, `parallel` stands at the top and perfectly nested (only pure values
 * beside it), bodies of `each` and `reduce` are scalar and own the locals they assign.
 */

import { UserError } from "../errors.ts";
import { blocksOf, operandsOfStatement } from "./finish.ts";
import { type Block, type Buffer, type KValue, type Kernel, type Local, type Stmt, printType } from "./ir.ts";
import { printStatement } from "./print.ts";
import { checkTypes } from "./verify-types.ts";

/** Throws a `UserError` naming the first statement that breaks a rule. */
export function verifyKernel(kernel: Kernel): void {
  new Verifier(kernel).run();
}

/** Where a block stands: what it may contain. */
interface Place {
  /** Still on the chain of `parallel` statements from the top. */
  readonly top: boolean;
  /** Innermost enclosing `each` or `reduce`. */
  readonly element: Stmt | undefined;
}

interface LocalUse {
  readonly element: Stmt | undefined;
  readonly assigns: boolean;
}

/** Kinds of values that depend on nothing but their operands. */
const PURE: ReadonlySet<string> = new Set(["prim", "iota", "broadcast"]);

class Verifier {
  readonly #kernel: Kernel;
  readonly #defined = new Set<KValue>();
  readonly #ids = new Set<number>();
  readonly #buffers: ReadonlySet<Buffer>;
  readonly #locals: ReadonlySet<Local>;
  readonly #uses = new Map<Local, LocalUse[]>();
  /** Enclosing `each` or `reduce` of each `each` or `reduce`. */
  readonly #outer = new Map<Stmt, Stmt | undefined>();
  #statement: Stmt | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#buffers = new Set([...kernel.buffers, ...kernel.scratch]);
    this.#locals = new Set(kernel.locals);
  }

  run(): void {
    const { buffers, scalars, symbols, scratch, body } = this.#kernel;
    const names = [
      ...buffers.map((b) => b.name),
      ...scalars.map((s) => s.name),
      ...symbols,
      ...scratch.map((b) => b.name),
    ];
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) this.#fail(`two parameters are named "${twice}"`);
    this.#block(body, { top: true, element: undefined });
    for (const [local, uses] of this.#uses) this.#ownership(local, uses);
  }

  #fail(message: string): never {
    const where =
      this.#statement === undefined
        ? `kernel ${this.#kernel.name}`
        : `${printStatement(this.#statement)} of kernel ${this.#kernel.name}`;
    throw new UserError(message, { where });
  }

  #expect(condition: boolean, message: string): void {
    if (!condition) this.#fail(message);
  }

  /** A local assigned in an element body must not be visible outside, or iterations would depend on each other. */
  #ownership(local: Local, uses: readonly LocalUse[]): void {
    for (const { element, assigns } of uses) {
      if (!assigns || element === undefined) continue;
      for (const use of uses) {
        let at = use.element;
        while (at !== undefined && at !== element) at = this.#outer.get(at);
        this.#statement = element;
        this.#expect(
          at === element,
          `local "${local.name}" is assigned in the body of ${element.kind} and used outside it`,
        );
      }
    }
    this.#statement = undefined;
  }

  #define(value: KValue): void {
    this.#expect(!this.#ids.has(value.id), `two values have the id %${value.id}`);
    this.#ids.add(value.id);
    this.#defined.add(value);
    const { lanes, rows } = value.type;
    this.#expect(
      lanes >= 1 && rows >= 1 && (rows > 1 || (lanes & (lanes - 1)) === 0),
      `${printType(value.type)} is not a type`,
    );
  }

  #use(value: KValue): void {
    if (value.def.kind === "const") return;
    if (value.def.kind !== "param") {
      this.#expect(this.#defined.has(value), `%${value.id} is used before it is defined, or outside its block`);
      return;
    }
    const { name } = value.def;
    const scalar = this.#kernel.scalars.find((other) => other.name === name);
    const declared = scalar === undefined ? (this.#kernel.symbols.includes(name) ? "index" : undefined) : scalar.dtype;
    this.#expect(declared !== undefined, `parameter $${name} is not declared`);
    this.#expect(
      declared === value.type.dtype && value.type.lanes === 1,
      `parameter $${name} is not ${printType(value.type)}`,
    );
  }

  #block(block: Block, place: Place): void {
    // Definitions of a block end with it.
    const before = new Set(this.#defined);
    this.#statements(block, place);
    for (const value of this.#defined) {
      if (!before.has(value)) this.#defined.delete(value);
    }
  }

  #statements(block: Block, place: Place): void {
    const parallels = block.filter((statement) => statement.kind === "parallel");
    if (parallels.length > 0) {
      this.#statement = parallels[0];
      this.#expect(place.top, "parallel stands below a sequential statement; it must be at the top of the kernel");
      this.#expect(
        block.at(-1) === parallels[0],
        "parallel is not perfectly nested: it must be the last statement of its block",
      );
      for (const statement of block.slice(0, -1)) {
        this.#statement = statement;
        this.#expect(
          statement.kind === "let" && PURE.has(statement.value.def.kind),
          "only pure values may stand beside parallel",
        );
      }
    }
    for (const statement of block) this.#one(statement, place);
  }

  #one(statement: Stmt, place: Place): void {
    this.#statement = statement;
    for (const operand of operandsOfStatement(statement)) this.#use(operand);
    if (place.element !== undefined) this.#scalarOnly(statement);
    this.#memory(statement, place);
    checkTypes(statement, (condition, message) => this.#expect(condition, message));
    this.#statement = statement;
    switch (statement.kind) {
      case "let":
        return this.#define(statement.value);
      case "parallel":
        this.#define(statement.axis);
        return this.#block(statement.body, { ...place, top: true });
      case "for":
        this.#define(statement.axis);
        return this.#block(statement.body, { ...place, top: false });
      case "if":
        for (const block of blocksOf(statement)) this.#block(block, { ...place, top: false });
        return;
      case "each":
      case "reduce": {
        this.#outer.set(statement, place.element);
        this.#define(statement.axis);
        const before = new Set(this.#defined);
        this.#statements(statement.body, { top: false, element: statement });
        this.#statement = statement;
        if (statement.kind === "reduce") this.#use(statement.yields);
        for (const value of this.#defined) {
          if (!before.has(value)) this.#defined.delete(value);
        }
        if (statement.kind === "reduce") this.#define(statement.result);
        return;
      }
      default:
    }
  }

  #scalarOnly(statement: Stmt): void {
    for (const value of [...operandsOfStatement(statement), ...(statement.kind === "let" ? [statement.value] : [])]) {
      this.#expect(value.type.lanes === 1 && value.type.rows === 1, "bodies of each and reduce are scalar");
    }
    this.#expect(statement.kind !== "each", "each within each or reduce; nest loops with for");
    this.#expect(
      statement.kind !== "barrier" && statement.kind !== "tileMma",
      `${statement.kind} within each or reduce`,
    );
  }

  /** Buffers and locals are declared; who uses a local is remembered. */
  #memory(statement: Stmt, place: Place): void {
    switch (statement.kind) {
      case "let": {
        const { def } = statement.value;
        if (def.kind === "read") this.#local(def.local, place, false);
        if (def.kind === "load" || def.kind === "tileLoad") this.#buffer(def.buffer);
        return;
      }
      case "assign":
        return this.#local(statement.local, place, true);
      case "tileMma":
        return this.#local(statement.acc, place, true);
      case "store":
      case "tileStore":
      case "prefetch":
        return this.#buffer(statement.buffer);
      default:
    }
  }

  #buffer(buffer: Buffer): void {
    this.#expect(this.#buffers.has(buffer), `buffer "${buffer.name}" is not declared`);
  }

  #local(local: Local, place: Place, assigns: boolean): void {
    this.#expect(this.#locals.has(local), `local "${local.name}" is not declared`);
    const uses = this.#uses.get(local) ?? [];
    uses.push({ element: place.element, assigns });
    this.#uses.set(local, uses);
  }
}
