/**
 * Control flow between native segments: branches of `if` and bodies of `loop` and `scan` run as programs of their own.
 *
 * They are compiled with the program around them. What a node does is a generator that asks for runs of sub-graphs, so
 * that one description serves both `run`, which awaits them, and `runSync`. Semantics are those of the op's reference
 * implementation (core/ops/control.ts), which computes nodes whose sub-graphs cannot be compiled.
 */

import {
  type Dim,
  type DimBindings,
  type Executable,
  type Graph,
  type Node,
  type TensorType,
  type Tensors,
  Tensor,
  UnsupportedError,
  collectSymbols,
  evaluateShape,
  isGraph,
  runNodeOnHost,
} from "@quern/core";
import { putSlice, takeSlice } from "./turns.ts";

/** A run that a control-flow node waits for. */
interface SubgraphRun {
  readonly executable: Executable;
  readonly inputs: Tensors;
}

/** Asks for runs and is given their outputs; returns the results of the node. */
export type ControlFlow = Generator<SubgraphRun, Tensor[], Record<string, Tensor>>;

/** Compiled sub-graphs of each control-flow node. */
export type Subgraphs = ReadonlyMap<Node, ReadonlyMap<Graph, Executable>>;

/** Compiles the sub-graphs of control-flow nodes, for operand sizes that are known. Nodes that the reference computes are absent. */
export function compileSubgraphs(
  nodes: readonly Node[],
  compile: (graph: Graph, bindings: DimBindings) => Executable,
): Subgraphs {
  const compiled = new Map<Node, ReadonlyMap<Graph, Executable>>();
  for (const node of nodes) {
    const programs = new Map<Graph, Executable>();
    try {
      for (const { graph, types } of subgraphsOf(node)) programs.set(graph, compile(graph, knownSizes(graph, types)));
      if (programs.size > 0) compiled.set(node, programs);
    } catch (error) {
      for (const program of programs.values()) program.dispose();
      if (!(error instanceof UnsupportedError)) throw error;
    }
  }
  return compiled;
}

/** What a step of the host does: runs of sub-graphs, or all at once on the reference. */
export function hostFlow(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  symbols: DimBindings,
  subgraphs: Subgraphs,
): ControlFlow {
  const programs = subgraphs.get(node);
  if (programs === undefined) return runOnReference(node, inputs, symbols);
  const call: Call = (graph, given) => callGraph(programs.get(graph) as Executable, graph, given);
  if (node.op === "if") return runIf(node, inputs as readonly Tensor[], call);
  const results = node.outputs.map(({ type }) => Tensor.zeros(type.dtype, evaluateShape(type.shape, symbols)));
  return node.op === "loop" ? runLoop(node, inputs, results, call) : runScan(node, inputs as Tensor[], results, call);
}

export function finishSync(flow: ControlFlow): Tensor[] {
  let step = flow.next();
  while (step.done !== true) step = flow.next(step.value.executable.runSync(step.value.inputs));
  return step.value;
}

export async function finishAsync(flow: ControlFlow): Promise<Tensor[]> {
  let step = flow.next();
  while (step.done !== true) step = flow.next(await step.value.executable.run(step.value.inputs));
  return step.value;
}

// oxlint-disable-next-line require-yield -- it needs no run of a sub-graph
function* runOnReference(node: Node, inputs: readonly (Tensor | undefined)[], symbols: DimBindings): ControlFlow {
  return runNodeOnHost(node, inputs, symbols);
}

type Call = (graph: Graph, inputs: readonly Tensor[]) => ControlFlow;

function* callGraph(executable: Executable, graph: Graph, inputs: readonly Tensor[]): ControlFlow {
  const named: Record<string, Tensor> = {};
  graph.inputs.forEach(({ name }, i) => (named[name] = inputs[i] as Tensor));
  const outputs = yield { executable, inputs: named };
  return graph.outputs.map(({ name }) => outputs[name] as Tensor);
}

function* runIf(node: Node, [condition, ...captured]: readonly Tensor[], call: Call): ControlFlow {
  const taken = isTrue(condition as Tensor) ? "then" : "else";
  return yield* call(node.attrs[taken] as Graph, captured);
}

function* runLoop(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  results: readonly Tensor[],
  call: Call,
): ControlFlow {
  const body = node.attrs["body"] as Graph;
  const carried = node.attrs["carried"] as number;
  const limit = inputs[0] === undefined ? Infinity : Number(inputs[0].data[0]);
  const outside = inputs.slice(2 + carried) as Tensor[];
  const state = new CarriedState(inputs.slice(2, 2 + carried) as Tensor[]);
  let going = inputs[1] === undefined || isTrue(inputs[1]);
  for (let turn = 0; turn < limit && going; turn++) {
    const given = [Tensor.from("i64", [turn], []), Tensor.from("bool", [1], []), ...state.tensors, ...outside];
    const [again, ...rest] = yield* call(body, given);
    going = isTrue(again as Tensor);
    state.replace(rest.slice(0, carried));
    rest.slice(carried).forEach((slice, i) => {
      putSlice(results[carried + i] as Tensor, 0, turn, slice);
      slice.dispose();
    });
  }
  return [...state.tensors, ...results.slice(carried)];
}

function* runScan(node: Node, inputs: readonly Tensor[], results: readonly Tensor[], call: Call): ControlFlow {
  const body = node.attrs["body"] as Graph;
  const [carried, scanned] = [node.attrs["carried"] as number, node.attrs["scanned"] as number];
  const lists = inputs.slice(carried, carried + scanned);
  const list = (name: string): readonly number[] => (node.attrs[name] as readonly number[] | undefined) ?? [];
  const [inputAxes, inputDirections] = [list("inputAxes"), list("inputDirections")];
  const [outputAxes, outputDirections] = [list("outputAxes"), list("outputDirections")];
  const turns = lists[0]?.shape[inputAxes[0] ?? 0] as number;
  const state = new CarriedState(inputs.slice(0, carried));
  for (let turn = 0; turn < turns; turn++) {
    const place = (direction: number | undefined): number => (direction === 1 ? turns - 1 - turn : turn);
    const slices = lists.map((tensor, i) => takeSlice(tensor, inputAxes[i] ?? 0, place(inputDirections[i])));
    const given = yield* call(body, [...state.tensors, ...slices, ...inputs.slice(carried + scanned)]);
    state.replace(given.slice(0, carried));
    given.slice(carried).forEach((slice, i) => {
      putSlice(results[carried + i] as Tensor, outputAxes[i] ?? 0, place(outputDirections[i]), slice);
      slice.dispose();
    });
  }
  return [...state.tensors, ...results.slice(carried)];
}

/** Carried values; those of past turns are disposed, which the first ones, being the node's operands, are not. */
class CarriedState {
  tensors: readonly Tensor[];
  #own = false;

  constructor(initial: readonly Tensor[]) {
    this.tensors = initial;
  }

  replace(tensors: readonly Tensor[]): void {
    if (this.#own) for (const tensor of this.tensors) tensor.dispose();
    this.tensors = tensors;
    this.#own = true;
  }
}

function isTrue(condition: Tensor): boolean {
  return Number(condition.data[0]) !== 0;
}

const COUNTER: TensorType = { dtype: "i64", shape: [] };
const FLAG: TensorType = { dtype: "bool", shape: [] };

/** Sub-graphs of a node with the types of what they are given. */
function subgraphsOf({ op, inputs, attrs }: Node): { graph: Graph; types: readonly (TensorType | undefined)[] }[] {
  const types = inputs.map((input) => input?.type);
  const graphs = (names: readonly string[]): Graph[] => names.map((name) => attrs[name]).filter(isGraph);
  switch (op) {
    case "if":
      return graphs(["then", "else"]).map((graph) => ({ graph, types: types.slice(1) }));
    case "loop":
      return graphs(["body"]).map((graph) => ({ graph, types: [COUNTER, FLAG, ...types.slice(2)] }));
    case "scan":
      return graphs(["body"]).map((graph) => ({ graph, types: scanTypes(types, attrs) }));
    default:
      return [];
  }
}

function scanTypes(types: readonly (TensorType | undefined)[], attrs: Node["attrs"]): (TensorType | undefined)[] {
  const [carried, scanned] = [attrs["carried"] as number, attrs["scanned"] as number];
  const axes = (attrs["inputAxes"] as readonly number[] | undefined) ?? [];
  return types.map((type, i) => {
    if (type === undefined || i < carried || i >= carried + scanned) return type;
    return { dtype: type.dtype, shape: type.shape.toSpliced(axes[i - carried] ?? 0, 1) };
  });
}

/** Symbols of the sub-graph's inputs that the node's operands give a number. */
function knownSizes(graph: Graph, types: readonly (TensorType | undefined)[]): DimBindings {
  const bindings: Record<string, number> = {};
  graph.inputs.forEach(({ value }, i) => {
    value.type.shape.forEach((dim: Dim, axis) => {
      const outer = types[i]?.shape[axis];
      if (typeof dim === "number" || typeof outer !== "number") return;
      const names = new Set<string>();
      collectSymbols(dim, names);
      if (names.has(dim.key)) bindings[dim.key] = outer;
    });
  });
  return bindings;
}
