/**
 * The reference interpreter: runs graphs node by node with the references of the op records, in float64.
 *
 * It judges every device, so it shares nothing with them: no passes, no fusion, no kernels. In: a graph and tensors.
 * Out: tensors, rounded to their dtype once. Invariant: every result has the dtype and shape that inference declared;
 * data-dependent symbols get their value from the result that defines them.
 */

import { type Dim, type DimBindings, collectSymbols, evaluateDim, printDim, printShape } from "../dim.ts";
import type { DType } from "../dtype.ts";
import { InternalError, UnsupportedError, UserError } from "../errors.ts";
import type { ConstantData, Graph, Node, TensorType, Value } from "../graph/graph.ts";
import { printGraph } from "../graph/print.ts";
import { stateOf } from "../graph/state.ts";
import { verifyGraph } from "../graph/verify.ts";
import type { RefContext, RefTensor } from "../ops/op.ts";
import { constantFromRef, refFromConstant, refFromTensor, tensorFromRef } from "../ops/ref-convert.ts";
import { findOp } from "../ops/registry.ts";
import type { CompileOptions, CompileReport, Device, DumpStage, Executable, TensorSpec, Tensors } from "./device.ts";
import { bindInputs } from "./inputs.ts";
import { Tensor } from "./tensor.ts";

/** Runs `graph` on float64 tensors, given in the order of its inputs. `outer` has symbols known around it. */
export function runReference(graph: Graph, inputs: readonly RefTensor[], outer: DimBindings = {}): RefTensor[] {
  const steps = interpret(graph, inputs, outer);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/** Applies one node to constants, for constant folding. Absent optional inputs are `undefined`. */
export function evaluateConstantNode(node: Node, constants: readonly (ConstantData | undefined)[]): ConstantData[] {
  const scope = new Scope({});
  return scope
    .run(
      node,
      constants.map((data) => data && refFromConstant(data)),
    )
    .map(constantFromRef);
}

/**
 * Runs one node on tensors, for devices that have no kernel for it. `bindings` has the values of its symbols. State is
 * updated in the tensors given.
 */
export function runNodeOnHost(node: Node, inputs: readonly (Tensor | undefined)[], bindings: DimBindings): Tensor[] {
  const scope = new Scope(bindings);
  const refs = inputs.map((tensor) => tensor && refFromTensor(tensor));
  const results = scope.run(node, refs).map(tensorFromRef);
  for (const at of findOp(node.op).updates ?? []) {
    const [tensor, ref] = [inputs[at], refs[at]];
    if (tensor !== undefined && ref !== undefined) writeBack(tensor, ref);
  }
  return results;
}

/** Stores what a reference made of a state in the tensor that holds it. */
function writeBack(tensor: Tensor, ref: RefTensor): void {
  tensor.bytes().set(tensorFromRef(ref).bytes());
}

/** Runs one node after another; pauses after each, so that a caller may do other work in between. */
function* interpret(graph: Graph, inputs: readonly RefTensor[], outer: DimBindings): Generator<Node, RefTensor[]> {
  const scope = new Scope(outer);
  const values = new Map<Value, RefTensor>();
  if (inputs.length !== graph.inputs.length)
    throw new InternalError(
      `reference: graph "${graph.name}" takes ${graph.inputs.length} inputs, got ${inputs.length}`,
    );
  graph.inputs.forEach(({ name, value }, i) => {
    const tensor = inputs[i] as RefTensor;
    scope.declare(value.type, tensor, () => `input "${name}" of graph "${graph.name}"`);
    values.set(value, tensor);
  });
  const lastUse = lastUses(graph);
  for (const node of graph.nodes) {
    if (node.op !== "input") {
      const results = scope.run(
        node,
        node.inputs.map((input) => input && values.get(input)),
      );
      node.outputs.forEach((output, i) => values.set(output, results[i] as RefTensor));
      yield node;
    }
    // Results that nothing reads any more would fill the memory for large graphs.
    for (const value of lastUse.get(node) ?? []) values.delete(value);
  }
  return graph.outputs.map(({ value }) => values.get(value) as RefTensor);
}

/** The values that nothing reads after each node. */
function lastUses(graph: Graph): Map<Node, Value[]> {
  const kept = new Set(graph.outputs.map((output) => output.value));
  const last = new Map<Value, Node>();
  for (const node of graph.nodes) for (const input of node.inputs) if (input !== undefined) last.set(input, node);
  const byNode = new Map<Node, Value[]>();
  for (const [value, node] of last) {
    if (kept.has(value)) continue;
    const list = byNode.get(node);
    if (list === undefined) byNode.set(node, [value]);
    else list.push(value);
  }
  return byNode;
}

/** The symbol values of one run of one graph. Symbols of the graphs around it are visible unless redefined. */
class Scope implements RefContext {
  readonly #bindings: Record<string, number>;

  constructor(outer: DimBindings) {
    this.#bindings = Object.create(outer) as Record<string, number>;
  }

  dim(dim: Dim): number {
    return evaluateDim(dim, this.#bindings);
  }

  runGraph(graph: Graph, inputs: readonly RefTensor[]): RefTensor[] {
    return runReference(graph, inputs, this.#bindings);
  }

  run(node: Node, inputs: readonly (RefTensor | undefined)[]): readonly RefTensor[] {
    const op = findOp(node.op);
    if (op.reference === undefined)
      throw new UnsupportedError({
        op: op.name,
        target: "reference",
        where: node.name,
        reason: "it has no reference, only a decomposition",
      });
    const types = node.outputs.map((output) => output.type);
    let results: readonly RefTensor[];
    try {
      results = op.reference(inputs, node.attrs, types, this);
    } catch (error) {
      if (!(error instanceof UserError) || node.name === undefined || error.where !== undefined) throw error;
      throw new UserError(error.message, { where: `%${node.id} "${node.name}"`, cause: error });
    }
    if (results.length !== types.length)
      throw new InternalError(`reference: ${node.op} gave ${results.length} results for ${types.length} outputs`);
    types.forEach((type, i) =>
      this.declare(
        type,
        results[i] as RefTensor,
        () => `result ${i} of %${node.id} ${node.op}${node.name === undefined ? "" : ` "${node.name}"`}`,
      ),
    );
    return results;
  }

  /** Checks a tensor against its declared type; plain symbols without a value get theirs. */
  declare(type: TensorType, tensor: RefTensor, what: () => string): void {
    const mismatch = `is ${tensor.dtype}${printShape(tensor.shape)}, declared ${type.dtype}${printShape(type.shape)}`;
    if (tensor.dtype !== type.dtype || tensor.shape.length !== type.shape.length)
      throw new InternalError(`reference: ${what()} ${mismatch}`);
    type.shape.forEach((dim, axis) => {
      const size = tensor.shape[axis] as number;
      if (typeof dim !== "number") this.#bindPlain(dim, size);
      const expected = this.#known(dim);
      if (expected === undefined || expected === size) return;
      if (typeof dim === "number") throw new InternalError(`reference: ${what()} ${mismatch}`);
      // Inference takes bounds on symbolic sizes for granted; these inputs break one.
      throw new UserError(`${what()} ${mismatch}, where ${printDim(dim)} is ${expected} for these inputs`);
    });
  }

  #bindPlain(dim: Dim, size: number): void {
    const name = printDim(dim);
    const [only] = symbolNames(dim);
    if (only !== name || Object.hasOwn(this.#bindings, name)) return;
    // A symbol of this graph hides one of a graph around it with the same name.
    this.#bindings[name] = size;
  }

  #known(dim: Dim): number | undefined {
    return symbolNames(dim).every((name) => this.#bindings[name] !== undefined) ? this.dim(dim) : undefined;
  }
}

function symbolNames(dim: Dim): string[] {
  const names = new Set<string>();
  collectSymbols(dim, names);
  return [...names];
}

/** A device on the reference interpreter: slow, and the measure of all others. */
export function referenceDevice(): Device {
  return new ReferenceDevice();
}

class ReferenceDevice implements Device {
  readonly name: string = "reference";

  compile(graph: Graph, options: CompileOptions = {}): Executable {
    verifyGraph(graph, "reference");
    return new ReferenceExecutable(graph, options);
  }

  empty(dtype: DType, shape: readonly number[]): Tensor {
    return Tensor.zeros(dtype, shape);
  }

  dispose(): void {}

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Longest time without giving way to other work, in milliseconds. */
const SLICE_MS = 10;

class ReferenceExecutable implements Executable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly report: CompileReport;
  readonly #graph: Graph;
  readonly #state: ReadonlySet<Value>;
  readonly #options: CompileOptions;
  #disposed = false;

  constructor(graph: Graph, options: CompileOptions) {
    const spec = ({ name, value }: { name: string; value: Value }): TensorSpec => ({ name, ...value.type });
    this.#graph = graph;
    this.#state = stateOf(graph);
    this.#options = options;
    this.inputs = graph.inputs.map(spec);
    this.outputs = graph.outputs.map(spec);
    const nodes = graph.nodes.filter((node) => node.op !== "input" && node.op !== "constant");
    this.report = {
      compileMs: 0,
      passes: [],
      launches: nodes.map((node) => ({ kernel: node.op, nodes: [node.name ?? `%${node.id}`], decision: "reference" })),
      plannedPeakBytes: 0,
      weightBytes: 0,
      codeBytes: 0,
    };
  }

  runSync(inputs: Tensors): Record<string, Tensor> {
    const { steps, end } = this.#start(inputs);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    return end(step.value);
  }

  async run(inputs: Tensors): Promise<Record<string, Tensor>> {
    const { steps, end } = this.#start(inputs);
    let resumed = Date.now();
    let step = steps.next();
    while (step.done !== true) {
      if (Date.now() - resumed > SLICE_MS) {
        await nextTask();
        resumed = Date.now();
      }
      step = steps.next();
    }
    return end(step.value);
  }

  dump(stage: DumpStage): string {
    if (stage === "graph") return printGraph(this.#graph);
    throw new UserError(`the reference device has no stage "${stage}", only "graph"`);
  }

  dispose(): void {
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Begins a run; `end` takes its results and updates the state. */
  #start(inputs: Tensors): {
    steps: Generator<Node, RefTensor[]>;
    end: (results: readonly RefTensor[]) => Record<string, Tensor>;
  } {
    if (this.#disposed) throw new UserError(`executable "${this.#graph.name}": used after dispose`);
    const { tensors, bindings } = bindInputs(this.inputs, inputs, this.#options.bindings);
    const refs = tensors.map(refFromTensor);
    return {
      steps: interpret(this.#graph, refs, bindings),
      end: (results) => {
        this.#graph.inputs.forEach(({ value }, i) => {
          if (this.#state.has(value)) writeBack(tensors[i] as Tensor, refs[i] as RefTensor);
        });
        return Object.fromEntries(
          this.#graph.outputs.map(({ name }, i) => [name, tensorFromRef(results[i] as RefTensor)]),
        );
      },
    };
  }
}

/** Resolves in a later task of the event loop where the host has timers, else at once. */
function nextTask(): Promise<void> {
  const { setTimeout } = globalThis as { setTimeout?: (callback: () => void, ms: number) => unknown };
  return new Promise((resolve) => (setTimeout === undefined ? resolve() : void setTimeout(resolve, 0)));
}
