/**
 * What an op function sees of one ONNX node: inputs as values of the graph being built, typed attributes, the opset
 * version of its domain, and ways to say what is wrong.
 *
 * An op function returns its output, or a list of outputs (`undefined` for ones it does not make). It throws through
 * `fail` where the file breaks a rule, and through `unsupported` where the request is valid but not served; the
 * importer goes on after the latter, to report every unsupported node of a file at once.
 */

import {
  type ConstantData,
  type DType,
  type Dim,
  type Graph,
  type GraphBuilder,
  type Value,
  UnsupportedError,
  UserError,
  isConstantData,
} from "@quern/core";
import { evaluateConstant } from "./evaluate.ts";
import type { AttributeProto, GraphProto, TensorProto } from "./proto/schema.ts";
import { dtypeOf } from "./tensor.ts";

/** A sequence whose length is known at import: its elements are plain values. */
export interface Sequence {
  readonly kind: "sequence";
  readonly elements: readonly Item[];
}

/** An optional: `value` is absent for an empty one. */
export interface Optional {
  readonly kind: "optional";
  readonly value: Item | undefined;
}

/** What a name of an ONNX graph can stand for. */
export type Item = Value | Sequence | Optional;

export function isValue(item: Item): item is Value {
  return !("kind" in item);
}

export type OpResult = Item | readonly (Item | undefined)[];
export type OpFunction = (n: OnnxNode) => OpResult;

/** A family module of op functions: exports named as ONNX names the ops. */
export type OpFamily = Readonly<Record<string, OpFunction>>;

/** Services of the importer that control-flow ops need. */
export interface SubgraphImporter {
  /** Names that the sub-graph takes from outside, in order of first use. */
  freeNames(graph: GraphProto): readonly string[];
  /** The item that `name` stands for where the node is. */
  lookup(name: string): Item;
  /**
   * Imports `graph` as a graph of its own. The leading inputs are declared with the given types under their own names;
   * `captured` are values of the enclosing graph, which become further inputs.
   */
  build(
    graph: GraphProto,
    inputs: readonly Value["type"][],
    captured: readonly { readonly name: string; readonly value: Item }[],
  ): Graph;
  /** Imports the nodes of `graph` in place, its inputs bound to `items`: a branch that is always taken, a loop unrolled. */
  inline(graph: GraphProto, items: readonly Item[]): readonly Item[];
}

/** AttributeProto.AttributeType. */
const TYPE_NAMES = ["untyped", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings"] as const;

export interface OnnxNodeParts {
  readonly op: string;
  readonly domain: string;
  readonly opset: number;
  readonly where: string;
  readonly builder: GraphBuilder;
  readonly inputs: readonly (Item | undefined)[];
  readonly inputNames: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, AttributeProto>;
  readonly subgraphs: SubgraphImporter;
  readonly constantOf: (tensor: TensorProto, where: string) => ConstantData;
}

export class OnnxNode {
  readonly op: string;
  readonly domain: string;
  /** Version of the node's domain: what `since` numbers in op functions are compared to. */
  readonly opset: number;
  readonly where: string;
  readonly b: GraphBuilder;
  readonly items: readonly (Item | undefined)[];
  /** Names of the inputs in the ONNX graph, for sub-graphs that read them from outside. */
  readonly inputNames: readonly string[];
  readonly outputs: readonly string[];
  readonly subgraphs: SubgraphImporter;
  readonly #attributes: ReadonlyMap<string, AttributeProto>;
  readonly #constantOf: OnnxNodeParts["constantOf"];

  constructor(parts: OnnxNodeParts) {
    this.op = parts.op;
    this.domain = parts.domain;
    this.opset = parts.opset;
    this.where = parts.where;
    this.b = parts.builder;
    this.items = parts.inputs;
    this.inputNames = parts.inputNames;
    this.outputs = parts.outputs;
    this.subgraphs = parts.subgraphs;
    this.#attributes = parts.attributes;
    this.#constantOf = parts.constantOf;
  }

  /** The file breaks a rule of the op. */
  fail(what: string, hint?: string): never {
    throw new UserError(`${this.op}: ${what}`, { where: this.where, hint });
  }

  /** A valid request that is not served yet. */
  unsupported(reason: string, dtype?: DType): never {
    throw new UnsupportedError({ op: this.title, dtype, where: this.where, reason });
  }

  /** Op, domain and opset for reports. */
  get title(): string {
    return `${this.domain === "" ? "" : `${this.domain}.`}${this.op} (opset ${this.opset})`;
  }

  /** True where output `index` has a name, so somebody may read it. */
  wants(index: number): boolean {
    return (this.outputs[index] ?? "") !== "";
  }

  // ── inputs

  get inputCount(): number {
    return this.items.length;
  }

  input(index: number): Value {
    return this.optional(index) ?? this.fail(`input ${index} is missing`);
  }

  optional(index: number): Value | undefined {
    const item = this.items[index];
    if (item === undefined || isValue(item)) return item;
    return this.fail(
      `input ${index} is ${item.kind === "sequence" ? "a sequence" : "an optional"}, a tensor is needed`,
    );
  }

  /** Inputs from `start` on, all present. */
  rest(start: number = 0): Value[] {
    return this.items.slice(start).map((_, i) => this.input(start + i));
  }

  sequence(index: number): readonly Item[] {
    const item = this.items[index];
    if (item === undefined || isValue(item) || item.kind !== "sequence")
      return this.fail(`input ${index} must be a sequence`);
    return item.elements;
  }

  /** Elements of integer input `index` as dimensions, where shape arithmetic knows them. */
  dims(index: number): readonly Dim[] | undefined {
    const value = this.optional(index);
    if (value === undefined) return undefined;
    return this.b.dims(value) ?? evaluateConstant(this.b, value);
  }

  /** Elements of input `index` as numbers, where they do not depend on graph inputs. */
  numbers(index: number): readonly number[] | undefined {
    const value = this.optional(index);
    return value === undefined ? undefined : numbersOf(this.b, value);
  }

  /** As `numbers`, for arguments that must be constant. */
  constantNumbers(index: number, what: string): readonly number[] {
    return this.numbers(index) ?? this.unsupported(`${what} must be constant`);
  }

  /** The one element of input `index`, where it is constant. */
  number(index: number): number | undefined {
    const numbers = this.numbers(index);
    if (numbers !== undefined && numbers.length !== 1)
      return this.fail(`input ${index} must have one element, it has ${numbers.length}`);
    return numbers?.[0];
  }

  // ── attributes

  has(name: string): boolean {
    return this.#attributes.has(name);
  }

  #attribute(name: string, type: number): AttributeProto | undefined {
    const attribute = this.#attributes.get(name);
    // Files before IR version 2 have no attribute types.
    if (attribute === undefined || attribute.type === type || attribute.type === 0) return attribute;
    return this.fail(`attribute "${name}" must be of type ${TYPE_NAMES[type]}`);
  }

  #required(name: string): never {
    return this.fail(`attribute "${name}" is missing`);
  }

  int(name: string, fallback?: number): number {
    const value = this.#attribute(name, 2)?.i ?? fallback ?? this.#required(name);
    return value;
  }

  flag(name: string, fallback: boolean): boolean {
    return this.int(name, fallback ? 1 : 0) !== 0;
  }

  float(name: string, fallback?: number): number {
    return this.#attribute(name, 1)?.f ?? fallback ?? this.#required(name);
  }

  string(name: string, fallback?: string): string {
    const attribute = this.#attribute(name, 3);
    if (attribute === undefined) return fallback ?? this.#required(name);
    return TEXT.decode(attribute.s ?? new Uint8Array(0));
  }

  /** A string attribute out of `choices`. */
  choice<T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const value = this.string(name, fallback);
    const found = choices.find((choice) => choice === value);
    return found ?? this.fail(`attribute "${name}" is "${value}", expected one of ${choices.join(", ")}`);
  }

  ints(name: string): readonly number[] | undefined {
    return this.#attribute(name, 7)?.ints;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#attribute(name, 6)?.floats;
  }

  strings(name: string): readonly string[] | undefined {
    return this.#attribute(name, 8)?.strings.map((bytes) => TEXT.decode(bytes));
  }

  tensor(name: string): ConstantData | undefined {
    const attribute = this.#attribute(name, 4);
    if (attribute === undefined) return undefined;
    if (attribute.t === undefined) return this.fail(`attribute "${name}" holds no tensor`);
    return this.#constantOf(attribute.t, `${this.where}, attribute "${name}"`);
  }

  graph(name: string): GraphProto {
    return this.#attribute(name, 5)?.g ?? this.#required(name);
  }

  /** Attribute that holds a TensorProto.DataType. */
  dtype(name: string): DType | undefined {
    return this.has(name) ? dtypeOf(this.int(name), this.where) : undefined;
  }

  // ── checks shared by many ops

  /** `axis` counted from the first axis, for a tensor of `rank` axes. */
  axis(axis: number, rank: number): number {
    const normal = axis < 0 ? axis + rank : axis;
    if (!Number.isInteger(normal) || normal < 0 || normal >= rank)
      return this.fail(`axis ${axis} is not an axis of a tensor with ${rank} axes`);
    return normal;
  }

  axes(axes: readonly number[], rank: number): number[] {
    const normal = axes.map((axis) => this.axis(axis, rank));
    if (new Set(normal).size !== normal.length) return this.fail(`an axis occurs twice in [${axes.join(", ")}]`);
    return normal;
  }
}

const TEXT = new TextDecoder();

/** Elements of a value that does not depend on graph inputs: constants, and small computations on them. */
export function numbersOf(b: GraphBuilder, value: Value): readonly number[] | undefined {
  const dims = b.dims(value);
  if (dims?.every((dim) => typeof dim === "number") === true) return dims as readonly number[];
  return evaluateConstant(b, value);
}

/** The stored data behind a value, where it is a constant. */
export function storedConstant(value: Value): ConstantData | undefined {
  const data = value.node.attrs["value"];
  return value.node.op === "constant" && isConstantData(data) ? data : undefined;
}
