/**
 * Reads the text form that `print.ts` writes. Types are inferred again through the op records and must agree with the
 * types in the text, so that a parsed graph is as sound as a built one.
 */

import { type Dim, parseDim, printDim, printShape, sameShape } from "../dim.ts";
import { type DType, isDType } from "../dtype.ts";
import { constantBytes } from "../encoding/encoded.ts";
import { blockTypeNamed } from "../encoding/registry.ts";
import { UserError } from "../errors.ts";
import { elementCount } from "../runtime/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import type { Attr, ConstantData, Graph, TensorType, Value } from "./graph.ts";
import { type ConstantTable, printTensorType } from "./print.ts";

/** Parses one graph. Throws a `UserError` with line and column for malformed text. */
export function parseGraph(text: string, table: ConstantTable = { constants: [] }): Graph {
  const reader = new Reader(text, table);
  const graph = reader.graph();
  reader.end();
  return graph;
}

class Reader {
  readonly #text: string;
  readonly #table: ConstantTable;
  #at = 0;

  constructor(text: string, table: ConstantTable) {
    this.#text = text;
    this.#table = table;
  }

  graph(): Graph {
    this.#expect("graph");
    this.#expect("@");
    const name = this.#string();
    const builder = new GraphBuilder();
    const values = new Map<string, Value>();
    this.#expect("(");
    this.#list(")", () => {
      const id = this.#match(/%\d+/y, "a value");
      const inputName = this.#string();
      this.#expect(":");
      const type = this.#type();
      values.set(id, builder.input(inputName, type.dtype, type.shape));
    });
    this.#expect("{");
    while (!this.#accept("return")) this.#node(builder, values);
    while (this.#peek("%")) {
      const value = this.#value(values);
      builder.output(this.#string(), value);
      if (!this.#accept(",")) break;
    }
    this.#expect("}");
    return builder.build(name);
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) this.#fail("the end");
  }

  #node(builder: GraphBuilder, values: Map<string, Value>): void {
    const results: string[] = [];
    do results.push(this.#match(/%\d+/y, "a value"));
    while (this.#accept(","));
    this.#expect("=");
    const op = this.#match(/[A-Za-z]\w*/y, "an op name");
    const inputs: (Value | undefined)[] = [];
    if (this.#accept("(")) {
      this.#list(")", () => inputs.push(this.#accept("_") ? undefined : this.#value(values)));
    }
    const attrs: Record<string, Attr> = {};
    if (this.#accept("{")) {
      this.#list("}", () => {
        const key = this.#match(/[A-Za-z]\w*/y, "an attribute name");
        this.#expect("=");
        attrs[key] = this.#attr();
      });
    }
    this.#expect(":");
    const start = this.#at;
    const types: TensorType[] = [];
    do types.push(this.#type());
    while (this.#accept(","));
    builder.sourceName = this.#accept("//") ? this.#string() : undefined;
    // Data-dependent symbols (`name$number`) are numbered by whoever built the graph: the text decides.
    const fresh = types.some((type) => type.shape.some((dim) => printDim(dim).includes("$")));
    const outputs = builder.apply(op, inputs, attrs, fresh ? types : undefined);
    const agree =
      outputs.length === types.length &&
      outputs.every((output, i) => {
        const type = types[i] as TensorType;
        return output.type.dtype === type.dtype && sameShape(output.type.shape, type.shape);
      });
    if (!agree) {
      this.#at = start;
      this.#fail(`the inferred types ${outputs.map((output) => printTensorType(output.type)).join(", ")}`);
    }
    results.forEach((result, i) => {
      const output = outputs[i];
      if (output === undefined) this.#fail(`${outputs.length} results`);
      else values.set(result, output);
    });
  }

  #value(values: Map<string, Value>): Value {
    const id = this.#match(/%\d+/y, "a value");
    return values.get(id) ?? this.#fail(`a value defined before (${id} is not)`);
  }

  #type(): TensorType {
    const dtype = this.#match(/[a-z]+\d*/y, "a dtype");
    if (!isDType(dtype)) return this.#fail("a dtype");
    return { dtype, shape: this.#dims() };
  }

  #dims(): Dim[] {
    this.#expect("[");
    const text = this.#balanced("]");
    return splitTopLevel(text).map(parseDim);
  }

  #attr(): Attr {
    if (this.#peek('"')) return this.#string();
    if (this.#accept("[")) {
      const items: Attr[] = [];
      this.#list("]", () => items.push(this.#attr()));
      return items;
    }
    if (this.#accept("<")) return parseDim(this.#balanced(">"));
    if (this.#peek("graph @")) return this.graph();
    const word = this.#tryMatch(/true|false|nan|[+-]inf|-?\d[\d.]*(e[+-]?\d+)?/y);
    if (word === undefined) return this.#constant();
    if (word === "true" || word === "false") return word === "true";
    return word === "nan" ? NaN : word.endsWith("inf") ? (word.startsWith("-") ? -Infinity : Infinity) : Number(word);
  }

  #constant(): ConstantData {
    const type = this.#type();
    const shape = type.shape.map((dim) => (typeof dim === "number" ? dim : this.#fail("a static shape")));
    const encodingName = this.#tryMatch(/[A-Z][A-Z0-9_]*/y);
    const encoding = encodingName === undefined ? undefined : blockTypeNamed(encodingName);
    if (encodingName !== undefined && encoding === undefined) return this.#fail("the name of a block encoding");
    if (this.#accept("@")) {
      const at = Number(this.#match(/\d+/y, "a constant number"));
      const data = this.#table.constants[at];
      if (data === undefined) return this.#fail(`a constant of the table (it has ${this.#table.constants.length})`);
      if (data.dtype !== type.dtype || printShape(data.shape) !== printShape(shape) || data.encoding !== encoding)
        this.#fail("the type of the constant");
      return data;
    }
    this.#expect('x"');
    const hex = this.#match(/(?:[0-9a-f]{2})*/y, "hex bytes");
    this.#expect('"');
    const bytes = new Uint8Array(hex.length / 2);
    for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
    const data: ConstantData = { dtype: type.dtype as DType, shape, bytes, ...(encoding && { encoding }) };
    if (elementCount(shape) > 0 && bytes.length !== constantBytes(data)) this.#fail("as many bytes as elements need");
    return data;
  }

  #string(): string {
    return JSON.parse(this.#match(/"(?:[^"\\]|\\.)*"/y, "a string")) as string;
  }

  /** Items up to `close`, separated by commas. */
  #list(close: string, item: () => unknown): void {
    if (this.#accept(close)) return;
    do item();
    while (this.#accept(","));
    this.#expect(close);
  }

  /** Text up to the closing bracket of this level, which is consumed. */
  #balanced(close: string): string {
    const start = this.#at;
    let depth = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at] as string;
      if (depth === 0 && char === close) return this.#text.slice(start, this.#at++);
      if (char === "(") depth += 1;
      if (char === ")") depth -= 1;
    }
    return this.#fail(close);
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? "x")) this.#at += 1;
  }

  #peek(token: string): boolean {
    this.#space();
    return this.#text.startsWith(token, this.#at);
  }

  #accept(token: string): boolean {
    if (!this.#peek(token)) return false;
    this.#at += token.length;
    return true;
  }

  #expect(token: string): void {
    if (!this.#accept(token)) this.#fail(`"${token}"`);
  }

  #tryMatch(pattern: RegExp): string | undefined {
    this.#space();
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match !== undefined) this.#at += match.length;
    return match;
  }

  #match(pattern: RegExp, expected: string): string {
    return this.#tryMatch(pattern) ?? this.#fail(expected);
  }

  #fail(expected: string): never {
    const before = this.#text.slice(0, this.#at).split("\n");
    const where = `line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
    const found = this.#text.slice(this.#at, this.#at + 20).split("\n")[0];
    throw new UserError(`graph text: expected ${expected}, found "${found}"`, { where });
  }
}

function splitTopLevel(text: string): string[] {
  if (text.trim() === "") return [];
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const char = text[i];
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    if (i === text.length || (char === "," && depth === 0)) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return parts;
}
