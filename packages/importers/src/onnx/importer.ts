/**
 * From GraphProto to graph: scopes of names, nodes in order, sub-graphs, model-local functions.
 *
 * One `Scope` is one ONNX graph or function body being imported into one builder. Nodes whose op is unsupported leave
 * their outputs unknown; whatever depends on them is skipped, so that one pass finds every unsupported node.
 */

import {
  type ConstantData,
  type Graph,
  type TensorType,
  type Value,
  GraphBuilder,
  InternalError,
  UnsupportedError,
  UserError,
} from "@quern/core";
import { capture } from "./capture.ts";
import { type Item, type OpResult, OnnxNode, isValue } from "./node.ts";
import { findOpFunction } from "./ops/registry.ts";
import { describeNode, freeNames, orderNodes, subgraphsOf } from "./order.ts";
import type { AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto } from "./proto/schema.ts";
import { type ImportSession, type Opsets, functionKey, normalDomain, opsetsOf } from "./session.ts";
import { constantOf } from "./tensor.ts";
import { DimNames, inputType } from "./types.ts";

/** A value that a node would have made, had its op been supported. */
const UNKNOWN = Symbol("unknown");
type Entry = Item | typeof UNKNOWN;

interface ScopeParts {
  readonly session: ImportSession;
  readonly builder: GraphBuilder;
  readonly opsets: Opsets;
  readonly where: string;
  /** Scope whose names are visible, for branches imported in place. */
  readonly parent?: Scope;
  /** Attributes of the call, for function bodies. */
  readonly attributes?: ReadonlyMap<string, AttributeProto>;
  /** Functions being inlined around this scope. */
  readonly calls?: readonly string[];
  /** Prefix of node names: where the function was called. */
  readonly prefix?: string;
}

export class Scope {
  readonly #parts: ScopeParts;
  readonly #entries = new Map<string, Entry>();
  readonly #initializers = new Map<string, TensorProto>();

  constructor(parts: ScopeParts) {
    this.#parts = parts;
  }

  /** Imports the main graph of a model. */
  static importModel(session: ImportSession, graph: GraphProto, opsets: Opsets): Graph {
    const builder = new GraphBuilder();
    const scope = new Scope({ session, builder, opsets, where: session.file });
    scope.#declareInitializers(graph);
    const names = new DimNames(graph.input);
    const seen = new Set<string>();
    for (const info of graph.input) {
      const where = `input "${info.name}", ${session.file}`;
      if (seen.has(info.name)) throw new UserError(`two graph inputs are named "${info.name}"`, { where });
      seen.add(info.name);
      const known = Object.hasOwn(session.constants, info.name) ? session.constants[info.name] : undefined;
      if (known !== undefined) {
        scope.#entries.set(info.name, builder.constant(known));
        continue;
      }
      // Before IR version 4 every initializer is listed as an input; as a constant it can be folded.
      if (scope.#initializers.has(info.name)) continue;
      try {
        const { dtype, shape } = inputType(info, names, session.shapes[info.name], where);
        scope.#entries.set(info.name, builder.input(info.name, dtype, shape));
      } catch (error) {
        if (!(error instanceof UnsupportedError)) throw error;
        session.report(error.items);
        scope.#entries.set(info.name, UNKNOWN);
      }
    }
    const outputs = scope.#importBody(
      graph.node,
      graph.output.map((output) => output.name),
      session.file,
    );
    graph.output.forEach(({ name }, i) => {
      const item = outputs[i] as Entry;
      if (item === UNKNOWN) return;
      if (isValue(item)) builder.output(name, item);
      else
        session.report([
          {
            op: `graph output of type ${item.kind}`,
            where: `output "${name}", ${session.file}`,
            reason: "graph outputs are tensors",
          },
        ]);
    });
    return builder.build(graph.name);
  }

  #declareInitializers(graph: GraphProto): void {
    const { where, session } = this.#parts;
    for (const tensor of graph.initializer) {
      if (this.#initializers.has(tensor.name))
        throw new UserError(`two initializers are named "${tensor.name}"`, { where });
      this.#initializers.set(tensor.name, tensor);
    }
    for (const { values } of graph.sparseInitializer) {
      const name = values?.name ?? "";
      session.report([{ op: "sparse initializer", where: `"${name}", ${where}`, reason: "tensors are dense" }]);
      this.#entries.set(name, UNKNOWN);
    }
  }

  #importBody(nodes: readonly NodeProto[], outputs: readonly string[], where: string): Entry[] {
    for (const node of orderNodes(nodes, outputs, (name) => this.#defines(name), where)) this.#importNode(node);
    return outputs.map((name) => this.#lookup(name));
  }

  #defines(name: string): boolean {
    const { parent } = this.#parts;
    return this.#entries.has(name) || this.#initializers.has(name) || (parent !== undefined && parent.#defines(name));
  }

  #lookup(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    const tensor = this.#initializers.get(name);
    if (tensor === undefined) {
      const { parent, where } = this.#parts;
      if (parent === undefined) throw new UserError(`value "${name}" is produced nowhere`, { where });
      return parent.#lookup(name);
    }
    let made: Entry = UNKNOWN;
    this.#collecting(() => {
      made = this.#parts.builder.constant(this.#constant(tensor, `initializer "${name}"`));
    });
    this.#entries.set(name, made);
    return made;
  }

  #constant(tensor: TensorProto, what: string): ConstantData {
    const { session } = this.#parts;
    const where = `${what}, ${session.file}`;
    return placed(() => constantOf(tensor, where, session.external), where);
  }

  /** Runs `work`; what it finds unsupported is reported instead of thrown. */
  #collecting(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      this.#parts.session.report(error.items);
    }
  }

  #importNode(node: NodeProto): void {
    const { session, builder, prefix = "" } = this.#parts;
    const where = `${prefix}${describeNode(node)}, ${session.file}`;
    session.countNode(where);
    const setOutputs = (results: readonly (Entry | undefined)[]): void => {
      node.output.forEach((name, i) => {
        if (name !== "") this.#entries.set(name, results[i] ?? UNKNOWN);
      });
    };
    setOutputs([]);
    this.#collecting(() => {
      const attributes = this.#attributesOf(node, where);
      const body = session.functions.get(functionKey(node.domain, node.opType, node.overload));
      const inputs = node.input.map((name) => (name === "" ? undefined : this.#lookup(name)));
      const blocked = [
        ...inputs,
        ...subgraphsOf(node)
          .flatMap(freeNames)
          .map((name) => this.#lookup(name)),
      ].includes(UNKNOWN);
      if (body !== undefined) {
        if (!blocked) setOutputs(this.#call(body, inputs as (Item | undefined)[], attributes, where));
        return;
      }
      const domain = normalDomain(node.domain);
      const opset = this.#parts.opsets.get(domain);
      if (opset === undefined) throw new UserError(`domain "${domain}" is not imported by the model`, { where });
      const run = findOpFunction(domain, node.opType);
      if (run === undefined) {
        const name = `${domain === "" ? "" : `${domain}.`}${node.opType}`;
        throw new UnsupportedError({ op: `${name} (opset ${opset})`, where, reason: "no such operator is known" });
      }
      if (blocked) return;
      builder.sourceName = `${prefix}${node.name === "" ? (node.output[0] ?? node.opType) : node.name}`;
      const onnx = new OnnxNode({
        op: node.opType,
        domain,
        opset,
        where,
        builder,
        attributes,
        inputs: inputs as (Item | undefined)[],
        inputNames: node.input,
        outputs: node.output,
        subgraphs: {
          freeNames,
          lookup: (name) => this.#lookup(name) as Item,
          build: (graph, types, captured) => this.#buildSubgraph(graph, types, captured, where),
          inline: (graph, items) => this.#inlineSubgraph(graph, items, where),
        },
        constantOf: (tensor, what) => placed(() => constantOf(tensor, what, session.external), what),
      });
      const results = resultList(runGuarded(() => run(onnx), where));
      const missing = node.output.findIndex((name, i) => name !== "" && results[i] === undefined);
      setOutputs(results);
      // Known while it is near: later the builder would have to follow the whole chain behind a value.
      for (const item of results) if (item !== undefined && isKnownValue(item)) builder.dims(item);
      if (missing >= 0)
        throw new UnsupportedError({
          op: onnx.title,
          where,
          reason: `output ${missing} ("${node.output[missing]}") is not computed`,
        });
    });
    builder.sourceName = undefined;
  }

  /** Attributes by name, references to attributes of the enclosing function replaced. */
  #attributesOf(node: NodeProto, where: string): Map<string, AttributeProto> {
    const attributes = new Map<string, AttributeProto>();
    for (const attribute of node.attribute) {
      if (attributes.has(attribute.name))
        throw new UserError(`attribute "${attribute.name}" is given twice`, { where });
      if (attribute.refAttrName === "") {
        attributes.set(attribute.name, attribute);
        continue;
      }
      const bound = this.#parts.attributes?.get(attribute.refAttrName);
      if (bound !== undefined) attributes.set(attribute.name, bound);
    }
    return attributes;
  }

  /** Inlines a call of a model-local function. */
  #call(
    body: FunctionProto,
    inputs: readonly (Item | undefined)[],
    given: ReadonlyMap<string, AttributeProto>,
    where: string,
  ): Entry[] {
    const { session, builder, opsets: outer, calls = [], prefix = "" } = this.#parts;
    const key = functionKey(body.domain, body.name, body.overload);
    if (calls.includes(key)) throw new UserError(`function ${key} calls itself`, { where });
    const opsets = new Map([...outer, ...opsetsOf(body.opsetImport, `function ${key}, ${session.file}`)]);
    const defaults = body.attributeProto.map((attribute) => [attribute.name, attribute] as const);
    const attributes = new Map([...defaults, ...given]);
    const scope = new Scope({
      session,
      builder,
      opsets,
      where,
      attributes,
      calls: [...calls, key],
      prefix: `${prefix}${body.name}/`,
    });
    if (inputs.length > body.input.length)
      throw new UserError(`function ${key} takes ${body.input.length} inputs, got ${inputs.length}`, { where });
    body.input.forEach((name, i) => {
      const item = inputs[i];
      if (item !== undefined) scope.#entries.set(name, item);
      else scope.#absent.add(name);
    });
    const nodes = scope.#absent.size === 0 ? body.node : body.node.map((node) => scope.#withoutAbsent(node));
    return scope.#importBody(nodes, body.output, `function ${key}, ${session.file}`);
  }

  /** Optional inputs of a function that the call leaves out. */
  readonly #absent = new Set<string>();

  #withoutAbsent(node: NodeProto): NodeProto {
    return { ...node, input: node.input.map((name) => (this.#absent.has(name) ? "" : name)) };
  }

  #inlineSubgraph(graph: GraphProto, items: readonly Item[], where: string): readonly Item[] {
    const scope = new Scope({ ...this.#parts, where, parent: this });
    scope.#declareInitializers(graph);
    if (graph.input.length !== items.length) {
      throw new UserError(
        `sub-graph "${graph.name}" has ${graph.input.length} inputs, the operator passes ${items.length}`,
        { where },
      );
    }
    graph.input.forEach(({ name }, i) => scope.#entries.set(name, items[i] as Item));
    const outputs = scope.#importBody(
      graph.node,
      graph.output.map(({ name }) => name),
      where,
    );
    // What is missing has been reported already.
    if (outputs.includes(UNKNOWN)) throw new UnsupportedError([]);
    return outputs as Item[];
  }

  #buildSubgraph(
    graph: GraphProto,
    types: readonly TensorType[],
    captured: readonly { readonly name: string; readonly value: Item }[],
    where: string,
  ): Graph {
    const { prefix, calls, attributes, session, opsets } = this.#parts;
    const builder = new GraphBuilder();
    const scope = new Scope({
      session,
      builder,
      opsets,
      where,
      ...(prefix === undefined ? {} : { prefix }),
      ...(calls === undefined ? {} : { calls }),
      ...(attributes === undefined ? {} : { attributes }),
    });
    scope.#declareInitializers(graph);
    if (graph.input.length !== types.length) {
      throw new UserError(
        `sub-graph "${graph.name}" has ${graph.input.length} inputs, the operator passes ${types.length}`,
        { where },
      );
    }
    graph.input.forEach(({ name }, i) => {
      const { dtype, shape } = types[i] as TensorType;
      if (scope.#defines(name))
        throw new UserError(`two inputs of sub-graph "${graph.name}" are named "${name}"`, { where });
      scope.#entries.set(name, builder.input(name, dtype, shape));
    });
    for (const { name, value } of captured)
      scope.#entries.set(name, capture(builder, this.#parts.builder, name, value, where));
    const outputs = scope.#importBody(
      graph.node,
      graph.output.map(({ name }) => name),
      where,
    );
    if (outputs.includes(UNKNOWN)) throw new UnsupportedError([]);
    outputs.forEach((item, i) => {
      if (!isValue(item as Item))
        throw new UnsupportedError({
          op: "sub-graph output that is no tensor",
          where,
          reason: "sub-graphs exchange tensors",
        });
      // The same value may leave under one name several times.
      builder.output(`${i}:${(graph.output[i] as { name: string }).name}`, item as never);
    });
    return builder.build(graph.name === "" ? "body" : graph.name);
  }
}

function isKnownValue(entry: Entry): entry is Value {
  return entry !== UNKNOWN && isValue(entry);
}

function resultList(result: OpResult): readonly (Item | undefined)[] {
  return Array.isArray(result) ? (result as readonly (Item | undefined)[]) : [result as Item];
}

/** Adds the place to errors that have none. */
function placed<T>(work: () => T, where: string): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UnsupportedError)
      throw new UnsupportedError(error.items.map((item) => ({ ...item, where: item.where ?? where })));
    if (error instanceof UserError && error.where === undefined)
      throw new UserError(error.message, { where, cause: error });
    throw error;
  }
}

/** Adds the place to errors of the graph builder; anything else that escapes is a defect of ours. */
function runGuarded<T>(work: () => T, where: string): T {
  try {
    return placed(work, where);
  } catch (error) {
    if (error instanceof UserError || error instanceof InternalError) throw error;
    throw new InternalError(`importing ${where}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
