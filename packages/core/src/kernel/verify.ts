/**
 * Checks the rules of the kernel IR; run on what the builder and every pass hand out.
 *
 * Rules: values are defined before use and in scope, ids are unique, operand types fit, buffers and locals are
 * declared, read-only buffers are not stored to, `parallel` stands at the top and perfectly nested (only pure values
 * beside it), bodies of `each` and `reduce` are scalar and own the locals they assign.
 */

import { DTYPE_INFO } from "../dtype.ts";
import { UserError } from "../errors.ts";
import { isFloatType, isIntegerType } from "./evaluate.ts";
import { blocksOf, operandsOf, operandsOfStatement } from "./finish.ts";
import {
  type Block,
  type Buffer,
  type Def,
  INDEX,
  type KType,
  type KValue,
  type Kernel,
  type Local,
  type Prim,
  type Stmt,
  printType,
  sameType,
} from "./ir.ts";
import { printStatement } from "./print.ts";

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
    this.#types(statement, place);
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

  #buffer(buffer: Buffer): void {
    this.#expect(this.#buffers.has(buffer), `buffer "${buffer.name}" is not declared`);
  }

  #local(local: Local, place: Place, assigns: boolean): void {
    this.#expect(this.#locals.has(local), `local "${local.name}" is not declared`);
    const uses = this.#uses.get(local) ?? [];
    uses.push({ element: place.element, assigns });
    this.#uses.set(local, uses);
  }

  #index(value: KValue, lanes = 1): void {
    const fits =
      value.type.dtype === "index" && value.type.rows === 1 && (value.type.lanes === 1 || value.type.lanes === lanes);
    this.#expect(fits, `%${value.id} should be an index of one or ${lanes} lanes, is ${printType(value.type)}`);
  }

  #mask(mask: KValue | undefined, lanes: number): void {
    if (mask !== undefined)
      this.#expect(
        sameType(mask.type, { dtype: "bool", lanes, rows: 1 }),
        `the mask should be bool of ${lanes} lanes, is ${printType(mask.type)}`,
      );
  }

  #types(statement: Stmt, place: Place): void {
    switch (statement.kind) {
      case "let":
        return this.#def(statement.value.def, statement.value.type, place);
      case "assign":
        this.#local(statement.local, place, true);
        return this.#expect(
          sameType(statement.value.type, statement.local.type),
          `local "${statement.local.name}" is ${printType(statement.local.type)}, not ${printType(statement.value.type)}`,
        );
      case "store": {
        const { buffer, index, value, mask } = statement;
        this.#buffer(buffer);
        this.#expect(buffer.access !== "read", `store to the read-only buffer "${buffer.name}"`);
        this.#expect(
          value.type.dtype === buffer.dtype && value.type.rows === 1,
          `"${buffer.name}" holds ${buffer.dtype}, not ${printType(value.type)}`,
        );
        this.#index(index, value.type.lanes);
        return this.#mask(mask, value.type.lanes);
      }
      case "tileStore":
        this.#buffer(statement.buffer);
        this.#expect(statement.buffer.access !== "read", `store to the read-only buffer "${statement.buffer.name}"`);
        this.#expect(
          statement.value.type.dtype === statement.buffer.dtype,
          `"${statement.buffer.name}" holds ${statement.buffer.dtype}`,
        );
        this.#index(statement.index);
        return this.#index(statement.stride);
      case "tileMma": {
        this.#local(statement.acc, place, true);
        const [acc, a, b] = [statement.acc.type, statement.a.type, statement.b.type];
        const group = b.lanes / acc.lanes;
        const fits = acc.rows === a.rows && Number.isInteger(group) && a.lanes === b.rows * group;
        return this.#expect(fits, `tileMma: ${printType(acc)} += ${printType(a)} × ${printType(b)} does not fit`);
      }
      case "for":
        this.#expect(
          Number.isInteger(statement.step) && statement.step > 0,
          `step ${statement.step} is not a positive integer`,
        );
        this.#expect(
          Number.isInteger(statement.unroll) && statement.unroll > 0,
          `unroll ${statement.unroll} is not a positive integer`,
        );
        this.#index(statement.start);
        return this.#index(statement.end);
      case "if":
        return this.#expect(
          sameType(statement.condition.type, { dtype: "bool", lanes: 1, rows: 1 }),
          "the condition of if should be a scalar bool",
        );
      case "parallel":
      case "each":
        this.#expect(sameType(statement.axis.type, INDEX), "the axis should be an index");
        return this.#index(statement.count);
      case "reduce":
        this.#index(statement.count);
        return this.#expect(
          sameType(statement.yields.type, statement.result.type),
          "the result of reduce should have the type of its yields",
        );
      case "barrier":
        return;
      case "prefetch":
        this.#buffer(statement.buffer);
        return this.#index(statement.index);
    }
  }

  #def(def: Def, type: KType, place: Place): void {
    const lanesOf = (value: KValue): boolean => value.type.lanes === type.lanes && value.type.rows === 1;
    switch (def.kind) {
      case "const":
      case "param":
      case "axis":
      case "reduced":
        return this.#fail(`a ${def.kind} value does not stand in a let`);
      case "prim":
        return this.#prim(def.prim, def.args, type);
      case "read":
        this.#local(def.local, place, false);
        return this.#expect(
          sameType(type, def.local.type),
          `local "${def.local.name}" is ${printType(def.local.type)}`,
        );
      case "load":
        this.#buffer(def.buffer);
        this.#expect(
          type.dtype === def.buffer.dtype && type.rows === 1,
          `"${def.buffer.name}" holds ${def.buffer.dtype}, not ${printType(type)}`,
        );
        this.#index(def.index, type.lanes);
        this.#mask(def.mask, type.lanes);
        return this.#expect(
          def.other === undefined || (def.mask !== undefined && sameType(def.other.type, type)),
          "other needs a mask and the type of the load",
        );
      case "broadcast":
        return this.#expect(
          def.value.type.lanes === 1 && def.value.type.dtype === type.dtype,
          "broadcast takes a scalar of its type",
        );
      case "iota":
        return this.#expect(
          def.start.type.lanes === 1 && def.start.type.dtype === type.dtype && isIntegerType(type.dtype),
          "iota takes a scalar integer of its type",
        );
      case "horizontal":
        return this.#expect(
          type.lanes === 1 && def.value.type.dtype === type.dtype,
          "horizontal gives a scalar of its type",
        );
      case "shuffle": {
        const inRange = def.pattern.every((at) => at >= 0 && at < 2 * def.a.type.lanes);
        return this.#expect(
          sameType(def.a.type, def.b.type) &&
            def.pattern.length === type.lanes &&
            inRange &&
            def.a.type.dtype === type.dtype,
          "shuffle does not fit its operands",
        );
      }
      case "extract":
        return this.#expect(
          type.lanes === 1 && def.lane < def.value.type.lanes && def.value.type.dtype === type.dtype,
          "extract does not fit its operand",
        );
      case "tileLoad":
        this.#buffer(def.buffer);
        this.#index(def.index);
        this.#index(def.stride);
        return this.#expect(type.dtype === def.buffer.dtype, `"${def.buffer.name}" holds ${def.buffer.dtype}`);
      case "intrinsic":
        return this.#expect(
          operandsOf(def).length > 0 &&
            (def.args.every(lanesOf) || def.name === "packBytes" || def.name === "bf16Pair"),
          `intrinsic ${def.name}: lanes differ`,
        );
    }
  }

  #prim(prim: Prim, args: readonly KValue[], type: KType): void {
    const types = args.map((arg) => printType(arg.type)).join(", ");
    const rule = PRIM_RULES[prim];
    const fits =
      args.length === rule.count &&
      args.every((arg) => arg.type.lanes === type.lanes && arg.type.rows === 1) &&
      type.rows === 1;
    this.#expect(
      fits &&
        rule.check(
          args.map((arg) => arg.type),
          type,
        ),
      `${prim}(${types}) does not give ${printType(type)}`,
    );
  }
}

interface PrimRule {
  readonly count: number;
  check(args: readonly KType[], type: KType): boolean;
}

function alike(count: number, allowed: (dtype: KType["dtype"]) => boolean): PrimRule {
  return { count, check: (args, type) => args.every((arg) => arg.dtype === type.dtype) && allowed(type.dtype) };
}

const numeric = (dtype: KType["dtype"]): boolean => dtype !== "bool";
const bits = (dtype: KType["dtype"]): boolean => dtype === "bool" || isIntegerType(dtype);
const comparison: PrimRule = { count: 2, check: ([a, b], type) => type.dtype === "bool" && a?.dtype === b?.dtype };

const PRIM_RULES: Readonly<Record<Prim, PrimRule>> = {
  add: alike(2, numeric),
  sub: alike(2, numeric),
  mul: alike(2, numeric),
  div: alike(2, numeric),
  rem: alike(2, isIntegerType),
  min: alike(2, numeric),
  max: alike(2, numeric),
  neg: alike(1, numeric),
  abs: alike(1, numeric),
  sqrt: alike(1, isFloatType),
  fma: alike(3, isFloatType),
  floor: alike(1, isFloatType),
  ceil: alike(1, isFloatType),
  trunc: alike(1, isFloatType),
  round: alike(1, isFloatType),
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  eq: comparison,
  ne: comparison,
  and: alike(2, bits),
  or: alike(2, bits),
  xor: alike(2, bits),
  not: alike(1, bits),
  shl: alike(2, isIntegerType),
  shr: alike(2, isIntegerType),
  select: {
    count: 3,
    check: ([c, a, b], type) => c?.dtype === "bool" && a?.dtype === type.dtype && b?.dtype === type.dtype,
  },
  cast: { count: 1, check: () => true },
  bitcast: {
    count: 1,
    check: ([a], type) =>
      a !== undefined &&
      a.dtype !== "index" &&
      type.dtype !== "index" &&
      DTYPE_INFO[a.dtype].bytes === DTYPE_INFO[type.dtype].bytes,
  },
  scale2: alike(2, isFloatType),
};
