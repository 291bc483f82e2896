/**
 * Builds graphs: creates nodes, infers their types through the op records, shares equal nodes.
 *
 * In: op names, input values and attributes. Out: an immutable `Graph`. Typed methods (`builder.matmul(a, b)`) and
 * chaining (`x.add(b).relu()`) stand in `methods.ts`; everything ends in `apply`.
 */

import { type Dim, type Shape, printDim, printShape, symbol } from "../dim.ts";
import type { DType } from "../dtype.ts";
import { constantBytes } from "../encoding/encoded.ts";
import { UserError, invariant } from "../errors.ts";
import type { InferContext } from "../ops/op.ts";
import { findOp } from "../ops/registry.ts";
import {
  type Attr,
  type Attrs,
  type ConstantData,
  type Graph,
  type NamedValue,
  type Node,
  type TensorType,
  type Value,
  isConstantData,
  isGraph,
  reachableNodes,
} from "./graph.ts";
import { stateProblem } from "./state.ts";

/** Integer tensors of up to this many elements are tracked as dimensions. */
const MAX_TRACKED_DIMS = 64;

/** Attributes of a hostile file reach the shapes: what op rules let through stops here. */
function requireSizes(op: string, types: readonly TensorType[]): void {
  for (const { shape } of types) {
    if (shape.every((dim) => typeof dim !== "number" || (dim >= 0 && Number.isSafeInteger(dim)))) continue;
    throw new UserError(`${op}: the output would have shape ${printShape(shape)}`);
  }
}

export class GraphBuilder {
  readonly #inputs: NamedValue[] = [];
  readonly #outputs: NamedValue[] = [];
  /** Results of nodes that update state: they stay, read or not. */
  readonly #updating: Value[] = [];
  readonly #shared = new Map<string, Node>();
  readonly #dims = new Map<Value, readonly Dim[] | undefined>();
  #nextNode = 0;
  #nextSymbol: number;
  /** Source name given to the nodes created next; importers set it per source node. */
  sourceName: string | undefined;

  /** A graph input. Names are unique. */
  input(name: string, dtype: DType, shape: Shape): Value {
    if (this.#inputs.some((input) => input.name === name)) throw new UserError(`graph: two inputs are named "${name}"`);
    const value = this.#create("input", [], { name, dtype, shape }, [{ dtype, shape }]);
    this.#inputs.push({ name, value: value[0] as Value });
    return value[0] as Value;
  }

  /** A constant on the given memory, which must not change afterwards. */
  constant(data: ConstantData): Value {
    const expected = constantBytes(data);
    invariant(data.bytes.byteLength === expected, () => `constant: ${data.bytes.byteLength} bytes for ${expected}`);
    return this.apply("constant", [], { value: data })[0] as Value;
  }

  /** `firstFreshDim` continues the numbering of data-dependent symbols when a graph is rebuilt. */
  constructor(firstFreshDim: number = 0) {
    this.#nextSymbol = firstFreshDim;
  }

  /**
   * Applies op `name`. Throws a `UserError` when the op does not exist or the input types break its rules.
   * `known` output types skip inference: a node that is copied must keep its data-dependent symbols.
   */
  apply(
    name: string,
    inputs: readonly (Value | undefined)[],
    attrs: Attrs = {},
    known?: readonly TensorType[],
  ): readonly Value[] {
    const op = findOp(name);
    const types =
      known ??
      op.infer(
        inputs.map((input) => input?.type),
        attrs,
        this.#context,
        inputs,
      );
    if (known === undefined) requireSizes(name, types);
    if (op.impure === true) {
      const own = this.#create(name, inputs, attrs, types);
      if (op.updates !== undefined) this.#updating.push(own[0] as Value);
      return own;
    }
    const key = this.#key(name, inputs, attrs);
    const shared = this.#shared.get(key);
    if (shared !== undefined) return shared.outputs;
    const outputs = this.#create(name, inputs, attrs, types);
    this.#shared.set(key, (outputs[0] as Value).node);
    return outputs;
  }

  output(name: string, value: Value): void {
    if (this.#outputs.some((output) => output.name === name))
      throw new UserError(`graph: two outputs are named "${name}"`);
    this.#outputs.push({ name, value });
  }

  /** The elements of a small integer value as dimensions, where shape arithmetic knows them. */
  dims(value: Value): readonly Dim[] | undefined {
    if (this.#dims.has(value)) return this.#dims.get(value);
    const { node, type } = value;
    const op = findOp(node.op);
    let dims: readonly Dim[] | undefined;
    const size = type.shape.reduce<number>((n, dim) => (typeof dim === "number" ? n * dim : Infinity), 1);
    // Floats take part where sizes pass through them, as in ⌊n · 2.0⌋.
    const tracked =
      type.dtype === "i64" ||
      type.dtype === "i32" ||
      type.dtype === "bool" ||
      type.dtype === "f32" ||
      type.dtype === "f64";
    if (tracked && size <= MAX_TRACKED_DIMS && node.outputs.length === 1 && op.dims !== undefined) {
      const inputs = node.inputs.map((input) => (input === undefined ? undefined : this.dims(input)));
      try {
        dims = op.dims(
          inputs,
          node.attrs,
          node.inputs.map((input) => input?.type),
        );
      } catch (error) {
        // Too large to be the size of anything: just a number that is computed when the graph runs.
        if (!(error instanceof UserError)) throw error;
      }
    }
    // In a graph that breaks a rule which only shows later, such as a reshape to fewer elements, rules contradict types.
    if (dims !== undefined && (dims.length !== size || dims.includes(undefined as never))) dims = undefined;
    this.#dims.set(value, dims);
    return dims;
  }

  freshDim(hint: string): Dim {
    return symbol(`${hint.replace(/\W/g, "_")}$${this.#nextSymbol++}`);
  }

  /**
   * The finished graph: outputs as declared, nodes that outputs need (inputs and updates of state always stay). Throws a
   * `UserError` where state is read twice or shown.
   */
  build(name: string): Graph {
    const nodes = reachableNodes(
      this.#outputs.map((o) => o.value),
      [...this.#inputs.map((i) => i.value), ...this.#updating],
    );
    const graph: Graph = { name, inputs: [...this.#inputs], outputs: [...this.#outputs], nodes };
    const problem = stateProblem(graph);
    if (problem !== undefined) throw new UserError(`graph "${name}": ${problem}`);
    return graph;
  }

  readonly #context: InferContext = {
    dims: (value) => this.dims(value),
    freshDim: (hint) => this.freshDim(hint),
  };

  #create(
    op: string,
    inputs: readonly (Value | undefined)[],
    attrs: Attrs,
    types: readonly TensorType[],
  ): readonly Value[] {
    const outputs: Value[] = [];
    const node: Node = { id: this.#nextNode++, op, inputs: [...inputs], attrs, outputs, name: this.sourceName };
    types.forEach((type, index) => outputs.push({ node, index, type }));
    return outputs;
  }

  #key(name: string, inputs: readonly (Value | undefined)[], attrs: Attrs): string {
    let key = `${name}(`;
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      key += input === undefined ? "_," : `${input.node.id}.${input.index},`;
    }
    return key + attrsKey(attrs);
  }
}

/** Keys of attributes that were asked for: nodes keep the object when they are copied from graph to graph. */
const attrsKeys = new WeakMap<Attrs, string>();
const identities = new WeakMap<object, number>();
let nextIdentity = 0;

function attrsKey(attrs: Attrs): string {
  let key = attrsKeys.get(attrs);
  if (key === undefined) {
    const entries = Object.entries(attrs).map(([name, attr]) => `${name}=${attrKey(attr)}`);
    key = `){${entries.sort().join()}}`;
    attrsKeys.set(attrs, key);
  }
  return key;
}

function attrKey(attr: Attr): string {
  if (typeof attr === "string") return JSON.stringify(attr);
  if (typeof attr === "boolean") return String(attr);
  if (typeof attr === "number") return Object.is(attr, -0) ? "-0" : String(attr);
  if (Array.isArray(attr)) return `[${attr.map((item: Attr) => attrKey(item)).join()}]`;
  if (isConstantData(attr as Attr)) {
    const data = attr as ConstantData;
    // Small constants are shared by content, large ones by identity of their memory view.
    const content = data.bytes.byteLength <= 64 ? data.bytes.join(" ") : `#${identityOf(data.bytes)}`;
    return `${data.dtype}[${data.shape.join()}]${data.encoding?.name ?? ""}${content}`;
  }
  if (isGraph(attr as Attr)) return `graph#${identityOf(attr as Graph)}`;
  return printDim(attr as Dim);
}

function identityOf(object: object): number {
  let id = identities.get(object);
  if (id === undefined) identities.set(object, (id = nextIdentity++));
  return id;
}
