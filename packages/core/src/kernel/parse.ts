/**
 * Reads the text form of kernels that `print.ts` writes.
 *
 * In: text. Out: a kernel with the ids of the text; literals and parameters get fresh ids after those. Errors are
 * `UserError`s with the line. The result is not verified here: text of broken kernels must be readable for tests.
 */

import { parseDim } from "../dim.ts";
import { DTYPES, type DType, isDType } from "../dtype.ts";
import {
  type Access,
  type Block,
  type Buffer,
  COMBINERS,
  type Combiner,
  type Def,
  INDEX,
  INTRINSICS,
  type Intrinsic,
  type KDType,
  type KType,
  type KValue,
  type Kernel,
  type Local,
  PRIMS,
  type Prim,
  type ScalarParam,
  type Stmt,
  printType,
} from "./ir.ts";
import { TokenReader } from "./tokens.ts";

export function parseKernel(text: string): Kernel {
  return new Parser(text).kernel();
}

const TYPE = new RegExp(`^(${["index", ...DTYPES].join("|")})(?:x(\\d+))?(?:x(\\d+))?$`);

class Parser extends TokenReader {
  readonly #values = new Map<string, KValue>();
  readonly #leaves = new Map<string, KValue>();
  readonly #buffers = new Map<string, Buffer>();
  readonly #locals = new Map<string, Local>();
  readonly #scalars: ScalarParam[] = [];
  readonly #symbols: string[] = [];
  readonly #global: Buffer[] = [];
  readonly #scratch: Buffer[] = [];
  #nextId: number;

  constructor(text: string) {
    super(text);
    const ids = [...text.matchAll(/%(\d+)/g)].map((match) => Number(match[1]));
    this.#nextId = ids.reduce((largest, id) => Math.max(largest, id + 1), 0);
  }

  kernel(): Kernel {
    if (!this.line()) this.fail("no kernel");
    this.take("kernel");
    const name = JSON.parse(this.take()) as string;
    this.take("{");
    this.end();
    if (!this.line()) this.fail("no body");
    while (this.#declaration()) {
      this.end();
      if (!this.line()) this.fail("no closing brace");
    }
    const body = this.#block();
    this.take("}");
    this.end();
    if (this.line()) this.fail("text after the kernel");
    return {
      name,
      buffers: this.#global,
      scalars: this.#scalars,
      symbols: this.#symbols,
      scratch: this.#scratch,
      locals: [...this.#locals.values()],
      body,
    };
  }

  #declaration(): boolean {
    switch (this.peek()) {
      case "buffer":
      case "scratch": {
        const word = this.take();
        const name = this.take();
        this.take(":");
        const dtype = this.#dtype();
        this.take("[");
        let size = "";
        while (this.peek() !== "]") size += `${this.take()} `;
        this.take("]");
        const access = word === "buffer" ? (this.take() as Access) : "readwrite";
        this.take("align");
        const space = word === "buffer" ? "global" : "workgroup";
        const buffer: Buffer = {
          id: this.#buffers.size,
          name,
          dtype,
          space,
          access,
          size: parseDim(size),
          alignBytes: this.integer(),
        };
        this.#buffers.set(name, buffer);
        (word === "buffer" ? this.#global : this.#scratch).push(buffer);
        return true;
      }
      case "scalar": {
        this.take();
        const name = this.take();
        this.take(":");
        const { dtype } = this.#type();
        this.#scalars.push({ name, dtype });
        return true;
      }
      case "symbol":
        this.take();
        this.#symbols.push(this.take());
        return true;
      case "local": {
        this.take();
        const [name, id] = this.take().split("#") as [string, string];
        this.take(":");
        this.#locals.set(`${name}#${id}`, { id: Number(id), name, type: this.#type() });
        return true;
      }
      default:
        return false;
    }
  }

  #dtype(): DType {
    const token = this.take();
    return isDType(token) ? token : this.fail(`${token} is not a dtype`);
  }

  #type(): KType {
    const token = this.take();
    const match = TYPE.exec(token);
    const dtype = match?.[1];
    if (match === null || dtype === undefined) this.fail(`${token} is not a type`);
    const [first, second] = [Number(match[2] ?? 1), match[3]];
    return second === undefined
      ? { dtype: dtype as KDType, lanes: first, rows: 1 }
      : { dtype: dtype as KDType, lanes: Number(second), rows: first };
  }

  #leaf(key: string, type: KType, def: Def): KValue {
    let leaf = this.#leaves.get(key);
    if (leaf === undefined) {
      leaf = { id: this.#nextId++, type, def };
      this.#leaves.set(key, leaf);
    }
    return leaf;
  }

  #value(): KValue {
    const token = this.peek() ?? "";
    if (token.startsWith("%")) {
      this.take();
      return this.#values.get(token) ?? this.fail(`${token} is not defined`);
    }
    if (token.startsWith("$")) {
      const name = this.take().slice(1);
      const dtype = this.#scalars.find((scalar) => scalar.name === name)?.dtype ?? "index";
      return this.#leaf(token, { dtype, lanes: 1, rows: 1 }, { kind: "param", name });
    }
    const type = this.#type();
    this.take("(");
    const literal = this.take();
    this.take(")");
    return this.#leaf(`${printType(type)}(${literal})`, type, { kind: "const", value: this.#literal(type, literal) });
  }

  #literal(type: KType, text: string): number | bigint | boolean {
    if (type.dtype === "bool") return text === "true";
    if (text === "inf") return Infinity;
    if (text === "-inf") return -Infinity;
    if (text === "nan") return Number.NaN;
    const value = Number(text);
    if (Number.isNaN(value)) this.fail(`${text} is not a literal`);
    return (type.dtype === "i64" || type.dtype === "u64") && !Number.isSafeInteger(value) ? BigInt(text) : value;
  }

  #list(): KValue[] {
    const values = [this.#value()];
    while (this.skip(",")) values.push(this.#value());
    return values;
  }

  #buffer(): Buffer {
    const name = this.take();
    return this.#buffers.get(name) ?? this.fail(`buffer ${name} is not declared`);
  }

  #local(name = this.take()): Local {
    return this.#locals.get(name) ?? this.fail(`local ${name} is not declared`);
  }

  #indexed(): { buffer: Buffer; index: KValue } {
    const buffer = this.#buffer();
    this.take("[");
    const index = this.#value();
    this.take("]");
    return { buffer, index };
  }

  #optional(word: string): KValue | undefined {
    return this.skip(word) ? this.#value() : undefined;
  }

  #combiner(): Combiner {
    const token = this.take() as Combiner;
    return COMBINERS.includes(token) ? token : this.fail(`${token} is not a combiner`);
  }

  #define(token: string, type: KType, def: Def): KValue {
    if (this.#values.has(token)) this.fail(`${token} is defined twice`);
    const value: KValue = { id: Number(token.slice(1)), type, def };
    this.#values.set(token, value);
    return value;
  }

  /** Statements up to the line that starts with a closing brace, which stays current. */
  #block(): Block {
    const statements: Stmt[] = [];
    while (this.peek() !== "}") {
      statements.push(this.#statement());
      this.end();
      if (!this.line()) this.fail("no closing brace");
    }
    return statements;
  }

  #body(): Block {
    this.take("{");
    this.end();
    if (!this.line()) this.fail("no closing brace");
    const block = this.#block();
    this.take("}");
    return block;
  }

  #statement(): Stmt {
    const token = this.peek() as string;
    if (token.startsWith("%")) return this.#definition();
    if (token.includes("#")) {
      const local = this.#local();
      this.take("=");
      return { kind: "assign", local, value: this.#value() };
    }
    this.take();
    switch (token) {
      case "store": {
        const { buffer, index } = this.#indexed();
        this.take("=");
        const value = this.#value();
        return { kind: "store", buffer, index, value, mask: this.#optional("mask") };
      }
      case "tileStore": {
        const { buffer, index } = this.#indexed();
        this.take("stride");
        const stride = this.#value();
        this.take("=");
        return { kind: "tileStore", buffer, index, stride, value: this.#value() };
      }
      case "tileMma": {
        const acc = this.#local();
        this.take("+=");
        const [a, b] = this.#list();
        if (a === undefined || b === undefined) this.fail("tileMma takes two operands");
        return { kind: "tileMma", acc, a, b };
      }
      case "for": {
        const axisToken = this.take();
        this.take("=");
        const start = this.#value();
        this.take("to");
        const end = this.#value();
        const step = this.skip("step") ? this.integer() : 1;
        const unroll = this.skip("unroll") ? this.integer() : 1;
        const axis = this.#define(axisToken, INDEX, { kind: "axis" });
        return { kind: "for", axis, start, end, step, unroll, body: this.#body() };
      }
      case "if": {
        const condition = this.#value();
        const then = this.#body();
        const otherwise = this.skip("else") ? this.#body() : [];
        return { kind: "if", condition, then, else: otherwise };
      }
      case "parallel":
      case "each": {
        const axisToken = this.take();
        this.take("<");
        const count = this.#value();
        const axis = this.#define(axisToken, INDEX, { kind: "axis" });
        return { kind: token, axis, count, body: this.#body() };
      }
      case "barrier":
        return { kind: "barrier" };
      case "prefetch": {
        const { buffer, index } = this.#indexed();
        this.take("level");
        return { kind: "prefetch", buffer, index, level: this.integer() as 0 | 1 | 2 };
      }
      default:
        return this.fail(`${token} does not start a statement`);
    }
  }

  #definition(): Stmt {
    const name = this.take();
    this.take(":");
    const type = this.#type();
    this.take("=");
    if (this.skip("reduce")) {
      const combiner = this.#combiner();
      const axisToken = this.take();
      this.take("<");
      const count = this.#value();
      const axis = this.#define(axisToken, INDEX, { kind: "axis" });
      const body = this.#body();
      this.take("yield");
      const yields = this.#value();
      return {
        kind: "reduce",
        result: this.#define(name, type, { kind: "reduced" }),
        combiner,
        axis,
        count,
        body,
        yields,
      };
    }
    const def = this.#def();
    return { kind: "let", value: this.#define(name, type, def) };
  }

  #def(): Def {
    const word = this.take();
    if ((PRIMS as readonly string[]).includes(word)) return { kind: "prim", prim: word as Prim, args: this.#list() };
    switch (word) {
      case "read":
        return { kind: "read", local: this.#local() };
      case "load": {
        const { buffer, index } = this.#indexed();
        const mask = this.#optional("mask");
        return { kind: "load", buffer, index, mask, other: this.#optional("other") };
      }
      case "broadcast":
        return { kind: "broadcast", value: this.#value() };
      case "iota":
        return { kind: "iota", start: this.#value() };
      case "horizontal": {
        const combiner = this.#combiner();
        return { kind: "horizontal", combiner, value: this.#value() };
      }
      case "shuffle": {
        const [a, b] = this.#list();
        if (a === undefined || b === undefined) this.fail("shuffle takes two operands");
        this.take("[");
        const pattern = [this.integer()];
        while (this.skip(",")) pattern.push(this.integer());
        this.take("]");
        return { kind: "shuffle", a, b, pattern };
      }
      case "extract": {
        const value = this.#value();
        this.take("[");
        const lane = this.integer();
        this.take("]");
        return { kind: "extract", value, lane };
      }
      case "tileLoad": {
        const { buffer, index } = this.#indexed();
        this.take("stride");
        return { kind: "tileLoad", buffer, index, stride: this.#value() };
      }
      case "intrinsic": {
        const name = this.take() as Intrinsic;
        if (!INTRINSICS.includes(name)) this.fail(`${name} is not an intrinsic`);
        return { kind: "intrinsic", name, args: this.#list() };
      }
      default:
        return this.fail(`${word} is not an operation`);
    }
  }
}
