/**
 * `QUERN_CHECK=1`, the results: compares those of every node with the reference interpreter on the same operands, so that
 * a wrong kernel is named at the first wrong element. `checked-launch.ts` has the rest of the checks.
 */

import {
  type DimBindings,
  type MatmulPrecision,
  type Node,
  DTYPE_INFO,
  InternalError,
  Tensor,
  findOp,
  isGraph,
  printTensorType,
  runNodeOnHost,
  toleranceOf,
} from "@quern/core";

/** What products below "highest" may lose, in units of the largest result. */
const LOSS: Readonly<Record<MatmulPrecision, number>> = { highest: 0, high: 1e-4, medium: 2e-2 };

/** Throws an `InternalError` that names kernel, node and element where `actual` is not what the reference gives. */
export function checkResults(
  kernel: string,
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  actual: readonly Tensor[],
  bindings: DimBindings,
  precision: MatmulPrecision = "highest",
): void {
  const { updates = [] } = findOp(node.op);
  // The reference updates copies of the new state, which must leave them as they are.
  const operands = inputs.map((input, at) => (updates.includes(at) && input !== undefined ? copyOf(input) : input));
  const results = runNodeOnHost(node, operands, bindings);
  const state = updates.filter((at) => inputs[at] !== undefined);
  const expected = [...results, ...state.map((at) => operands[at] as Tensor)];
  const found = [...actual, ...state.map((at) => inputs[at] as Tensor)];
  const names = [...results.map(() => ""), ...state.map((at) => ` of the new state of input ${at}`)];
  expected.forEach((reference, i) => {
    const result = found[i] as Tensor;
    const { rtol, atol } = looseTolerance(node, reference);
    const [wanted, got] = [reference.toArray(), result.toArray()];
    const scale = wanted.reduce((most, value) => Math.max(most, Number.isFinite(value) ? Math.abs(value) : 0), 0);
    for (let at = 0; at < wanted.length; at++) {
      const [a, b] = [wanted[at] as number, got[at] as number];
      if (Object.is(a, b) || a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
      if (Math.abs(a - b) <= atol + rtol * (Math.abs(a) + 1e-2 * scale) + LOSS[precision] * scale) continue;
      throw new InternalError(
        `check: ${kernel} computed ${b} for element ${at}${names[i]} of ${describeNode(node)}, the reference gives ${a}`,
      );
    }
  });
}

function copyOf({ dtype, shape, data }: Tensor): Tensor {
  return new Tensor(dtype, shape, data.slice());
}

/** Op (of a group: those of its body), operand types and name of a node. */
export function describeNode(node: Node): string {
  const types = node.inputs.map((input) => (input === undefined ? "_" : printTensorType(input.type))).join(", ");
  const ops = nodesWithin(node).map(({ op }) => op);
  return `${ops.join("+")}(${types})${node.name === undefined ? "" : ` "${node.name}"`}`;
}

/** The loosest tolerance among the ops of a node: errors of one op travel through the others of its group. */
function looseTolerance(node: Node, result: Tensor): { rtol: number; atol: number } {
  if (DTYPE_INFO[result.dtype].kind !== "float") return { rtol: 0, atol: 0 };
  let [rtol, atol] = [1e-5, 1e-6];
  for (const inner of nodesWithin(node)) {
    const types = inner.inputs.map((input) => input?.type);
    const own = toleranceOf(findOp(inner.op), types, inner.attrs, result.dtype);
    [rtol, atol] = [Math.max(rtol, 4 * own.rtol), Math.max(atol, 4 * own.atol)];
  }
  return { rtol, atol };
}

/** What a node computes: itself, or the nodes of a group. */
function nodesWithin(node: Node): readonly Node[] {
  const body = node.attrs["body"];
  if (node.op !== "group" || !isGraph(body)) return [node];
  return body.nodes.filter((inner) => inner.op !== "input" && inner.op !== "constant");
}
