/**
 * The GPU kernels in the kernel interpreter, with no device: every case of their ops, in random task order, with writes
 * visible to others only behind barriers, accesses checked against bounds and races.
 */

import {
  type ConstantData,
  type Node,
  type Op,
  type OpCase,
  Tensor,
  type Value,
  caseGraph,
  caseInputs,
  findOp,
  interpretKernel,
  referenceDevice,
  siteOf,
  toleranceOf,
  decodeConstant,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { renderWgsl } from "../wgsl/render.ts";
import type { GpuKernel } from "./kernel.ts";
import { GPU_KERNELS } from "./index.ts";

const SEED = 20267;

/** Runs the op of the case with `kernel`; `undefined` where it does not apply. */
function runWith(
  kernel: GpuKernel,
  op: Op,
  opCase: OpCase,
): { readonly actual: Tensor; readonly expected: Tensor } | undefined {
  const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, SEED));
  const node = graph.nodes.find((each) => each.op === op.name) as Node;
  const site = siteOf(node);
  if (kernel.when(site) !== true) return undefined;
  const { dtype, shape } = (node.outputs[0] as Value).type;
  const actual = Tensor.zeros(dtype, shape as number[]);
  const memory = (value: Value): Uint8Array => {
    if (value.node === node) return actual.bytes();
    if (value.node.op === "constant") return decodeConstant(value.node.attrs["value"] as ConstantData).bytes;
    return (inputs[graph.inputs.find((input) => input.value === value)?.name ?? ""] as Tensor).bytes();
  };
  for (const launch of kernel.lower(site)) {
    const buffers = launch.kernel.buffers.map((buffer, i) => {
      const operand = launch.operands[i];
      if (operand === undefined || operand.kind === "temporary" || operand.kind === "packed")
        throw new Error("these kernels have no temporaries and pack nothing");
      return [buffer.name, operand.kind === "constant" ? operand.data.bytes : memory(operand.value)] as const;
    });
    interpretKernel(launch.kernel, { buffers: Object.fromEntries(buffers) }, { workgroups: true, shuffleSeed: SEED });
  }
  const expected = referenceDevice().compile(graph).runSync(inputs)["y0"] as Tensor;
  return { actual, expected };
}

describe.each(GPU_KERNELS.map((kernel) => ({ name: kernel.name, kernel })))("$name", ({ kernel }) => {
  test.each([...kernel.ops])(`%s (seed ${SEED})`, (name) => {
    const op = findOp(name);
    let ran = 0;
    for (const opCase of op.cases()) {
      const result = runWith(kernel, op, opCase);
      if (result === undefined) continue;
      ran++;
      const [got, want] = [result.actual.toArray(), result.expected.toArray()];
      const { rtol, atol } = toleranceOf(op, opCase.inputs, opCase.attrs, result.actual.dtype);
      const wrong = got.findIndex(
        (x, i) =>
          !(Object.is(x, want[i]) || Math.abs(x - (want[i] as number)) <= atol + rtol * Math.abs(want[i] as number)),
      );
      expect(wrong < 0 ? "" : `${opCase.name}: element ${wrong} is ${got[wrong]}, not ${want[wrong]}`).toBe("");
    }
    expect(ran).toBeGreaterThan(0);
  });
});

test("the matrix product is the CPU's register tile with vectors of 4", () => {
  const op = findOp("matmul");
  const opCase = op.cases().find(({ name }) => name === "blocks") as OpCase;
  const { graph } = caseGraph(op, opCase, caseInputs(opCase, SEED));
  const site = siteOf(graph.nodes.find((node) => node.op === "matmul") as Node);
  const [launch] = (GPU_KERNELS.find(({ name }) => name === "matmul_tiles") as GpuKernel).lower(site);
  const { code } = renderWgsl((launch as NonNullable<typeof launch>).kernel);
  // 4 rows, unrolled 4 times along k: 16 multiply-adds of vectors per turn of the loop, on whole vectors of B and of the result.
  expect(code.match(/fma\(/g)).toHaveLength(16);
  expect(code).toMatch(/var<storage, read> \w+: array<vec4<f32>>/);
  expect(code).toMatch(/var<storage, read_write> \w+: array<vec4<f32>>/);
});
