/**
 * Kernels that compute what stands behind their anchor: every case of their ops with a residual, a factor per channel
 * and an activation behind it, fused into one launch. On the kernel interpreter and as machine code.
 */

import {
  type Graph,
  type Op,
  type OpCase,
  type Tensor,
  type TensorType,
  type Value,
  GraphBuilder,
  allOps,
  type CaseInput,
  caseConstant,
  caseInput,
  caseInputs,
  randomNumbers,
  referenceDevice,
  toleranceOf,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { CPU_KERNELS } from "./index.ts";
import type { CpuKernel } from "./kernel.ts";
import { machine, machineTargets } from "./machine-trial.ts";
import { difference } from "./record-cases.ts";
import { type Execute, TRIAL_TARGETS, interpreted, trial } from "./site-trial.ts";

const SEED = 20268;
/** Rounding of the three operations behind the anchor, on values of a few units. */
const EPILOGUE_ERROR = 2 ** -18;

interface Fused {
  readonly graph: Graph;
  readonly inputs: Record<string, Tensor>;
}

/** relu(op(…) + residual) · factor, where the result is f32 and has elements; the factor has one value per channel. */
function withEpilogue(op: Op, opCase: OpCase): Fused | undefined {
  const tensors = caseInputs(opCase, SEED);
  const builder = new GraphBuilder();
  const inputs: Record<string, Tensor> = {};
  const argument = (name: string, tensor: Tensor, constant: CaseInput | undefined): Value => {
    if (constant !== undefined) return builder.constant(caseConstant(constant, tensor));
    inputs[name] = tensor;
    return builder.input(name, tensor.dtype, tensor.shape);
  };
  const args = tensors.map((tensor, i) => {
    const input = opCase.inputs[i];
    return tensor && argument(`x${i}`, tensor, input?.constant === true ? input : undefined);
  });
  const [y] = builder.apply(op.name, args, opCase.attrs) as [Value];
  const shape = y.type.shape as readonly number[];
  if (y.type.dtype !== "f32" || shape.includes(0)) return undefined;
  const random = randomNumbers(SEED + 1);
  const residual = argument("residual", caseInput({ dtype: "f32", shape }, random), undefined);
  const channel = opCase.attrs["layout"] === "nchw" ? 1 : shape.length - 1;
  const factorShape = shape.map((size, axis) => (axis === channel ? size : 1));
  const fill = { low: 0.5, high: 1 };
  const factors: CaseInput = { dtype: "f32", shape: factorShape, fill };
  const factor = argument("factor", caseInput(factors, random), factors);
  const [sum] = builder.apply("add", [y, residual]) as [Value];
  const [active] = builder.apply("relu", [sum]) as [Value];
  builder.output("y", builder.apply("mul", [active, factor])[0] as Value);
  return { graph: builder.build(`${op.name} with an epilogue`), inputs };
}

/** The layout stated, so that the layout pass moves it to the one that the kernels want. */
function withLayout(op: Op, opCase: OpCase): OpCase {
  const spatial = op.name === "conv" || op.name.endsWith("Pool");
  return spatial ? { ...opCase, attrs: { layout: "nchw", ...opCase.attrs } } : opCase;
}

function runCases(
  kernel: CpuKernel,
  targets: typeof TRIAL_TARGETS,
  execute: Execute,
): { failures: string[]; used: number } {
  const failures: string[] = [];
  let used = 0;
  for (const op of allOps().filter(({ name }) => kernel.ops.includes(name))) {
    for (const opCase of op.cases().map((one) => withLayout(op, one))) {
      const fused = withEpilogue(op, opCase);
      if (fused === undefined) continue;
      const expected = referenceDevice().compile(fused.graph).runSync(fused.inputs)["y"] as Tensor;
      const types = opCase.inputs.map((input): TensorType | undefined => input);
      const { rtol, atol } = toleranceOf(op, types, opCase.attrs, "f32");
      // The sum may cancel: relative errors of the anchor become absolute ones.
      const tolerance = { rtol: rtol + EPILOGUE_ERROR, atol: atol + 8 * rtol + EPILOGUE_ERROR };
      for (const target of targets) {
        const result = trial(fused.graph, fused.inputs, kernel, { target, threads: 2, precision: "highest" }, execute);
        used += result.used;
        const wrong = difference(result.outputs["y"] as Tensor, expected, tolerance);
        if (wrong !== undefined) failures.push(`${op.name} "${opCase.name}" on ${target.name}, seed ${SEED}: ${wrong}`);
      }
    }
  }
  return { failures, used };
}

/** Compute at precision "medium" only: `blocks/blocks.test.ts` and `blocks/expert-matmul.test.ts`. */
const MEDIUM = new Set(["matmul_blocks", "expert_matmul_blocks"]);

// Kernels for a unit that this processor may lack have tests of their own.
const takers = CPU_KERNELS.filter(
  ({ name, epilogue, unit }) => epilogue !== false && unit === undefined && !MEDIUM.has(name),
);

describe.each([
  ["interpreter", TRIAL_TARGETS, interpreted(SEED)],
  ["machine code", machineTargets(), machine()],
] as const)("%s", (_name, targets, execute) => {
  test.each(takers.map((kernel) => [kernel.name, kernel] as const))("%s", (_, kernel) => {
    const { failures, used } = runCases(kernel, targets, execute);
    expect(failures, failures.join("\n")).toEqual([]);
    expect(used).toBeGreaterThan(0);
  });
});
