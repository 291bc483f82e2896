/**
 * The graph of one case of one op: what conformance tests compile on every device.
 */

import { constantBytes } from "../encoding/encoded.ts";
import { blockTypeNamed } from "../encoding/registry.ts";
import { invariant } from "../errors.ts";
import type { ConstantData, Graph, Value } from "../graph/graph.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { stateOf } from "../graph/state.ts";
import { Tensor } from "../runtime/tensor.ts";
import type { CaseInput, Op, OpCase } from "./op.ts";

export interface CaseRun {
  readonly graph: Graph;
  /** Tensors of the inputs that are not constants, by name. */
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/** The same run with copies of the tensors that it updates, so that it can start again. */
export function freshCase({ graph, inputs }: CaseRun): CaseRun {
  const copies = { ...inputs };
  for (const name of stateNames(graph)) {
    const { dtype, shape, data } = copies[name] as Tensor;
    copies[name] = new Tensor(dtype, shape, data.slice());
  }
  return { graph, inputs: copies };
}

/** Names of the inputs that a run updates. */
export function stateNames(graph: Graph): string[] {
  const state = stateOf(graph);
  return graph.inputs.filter(({ value }) => state.has(value)).map(({ name }) => name);
}

/** The constant with the elements of a tensor, or with what its encoding makes of them. */
export function caseConstant({ encoding: name }: CaseInput, tensor: Tensor): ConstantData {
  const { dtype, shape } = tensor;
  if (name === undefined) return { dtype, shape, bytes: tensor.bytes() };
  const encoding = blockTypeNamed(name);
  invariant(encoding?.quantise !== undefined, () => `case: "${name}" cannot be encoded`);
  const bytes = new Uint8Array(constantBytes({ dtype, shape, encoding }));
  encoding.quantise(tensor.data as Float32Array, bytes);
  return { dtype, shape, bytes, encoding };
}

/** A graph with inputs `x0`, `x1`, … (constants built in) and outputs `y0`, `y1`, …. `tensors` come from `caseInputs`. */
export function caseGraph(op: Op, opCase: OpCase, tensors: readonly (Tensor | undefined)[]): CaseRun {
  const builder = new GraphBuilder();
  const inputs: Record<string, Tensor> = {};
  const args = opCase.inputs.map((input, i): Value | undefined => {
    const tensor = tensors[i];
    if (input === undefined || tensor === undefined) return undefined;
    if (input.constant === true) return builder.constant(caseConstant(input, tensor));
    inputs[`x${i}`] = tensor;
    return builder.input(`x${i}`, tensor.dtype, tensor.shape);
  });
  builder.apply(op.name, args, opCase.attrs).forEach((value, i) => builder.output(`y${i}`, value));
  return { graph: builder.build(`${op.name}: ${opCase.name}`), inputs };
}
