import { describe, expect, test } from "vitest";
import type { DType } from "../dtype.ts";
import type { TensorType } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/builder.ts";
import { interpretKernel } from "../kernel/interpret.ts";
import type { KValue, Kernel } from "../kernel/ir.ts";
import { computeType } from "../lower/body.ts";
import { elementCount, Tensor } from "../runtime/tensor.ts";
import { broadcastShapes } from "./check.ts";
import { caseInputs } from "./case-inputs.ts";
import type { Op, OpCase } from "./op.ts";
import { refFromTensor, tensorFromRef } from "./ref-convert.ts";
import { stridesOf } from "./ref-tensor.ts";
import { allOps } from "./registry.ts";
import { toleranceOf } from "./tolerance.ts";

/** The kernel-language rules of the records, run by the kernel interpreter, against the references. */
const SEED = 20262;

/** One case as the records see it. */
function prepare(
  op: Op,
  opCase: OpCase,
): { tensors: Tensor[]; types: TensorType[]; output: TensorType; expected: Tensor } {
  const tensors = caseInputs(opCase, SEED) as Tensor[];
  const types = tensors.map(({ dtype, shape }) => ({ dtype, shape }));
  const context = { dims: () => undefined, freshDim: () => 0 };
  const outputs = op.infer(types, opCase.attrs, context, []);
  const run = { dim: (dim: unknown) => dim as number, runGraph: () => [] };
  const result = op.reference?.(tensors.map(refFromTensor), opCase.attrs, outputs, run)[0];
  if (result === undefined) throw new Error("no reference");
  return { tensors, types, output: outputs[0] as TensorType, expected: tensorFromRef(result) };
}

/** A kernel with one task per output element; `element` gives its value from the output index. */
function kernelOf(
  name: string,
  types: readonly TensorType[],
  output: TensorType,
  element: (
    k: KernelBuilder,
    load: (i: number, index: readonly KValue[], mask?: KValue) => KValue,
    index: readonly KValue[],
  ) => KValue,
): Kernel {
  const k = new KernelBuilder(name);
  const sizeOf = (type: TensorType): number => elementCount(type.shape as number[]);
  const inputs = types.map((type, i) => k.buffer(`x${i}`, type.dtype, sizeOf(type)));
  const result = k.buffer("y", output.dtype, sizeOf(output), { access: "write" });
  const load = (i: number, index: readonly KValue[], mask?: KValue): KValue => {
    const strides = stridesOf(types[i]?.shape as number[]);
    const offset = index.reduce((sum, at, axis) => k.add(sum, k.mul(at, strides[axis] as number)), k.index(0));
    const value = k.load(inputs[i] as (typeof inputs)[0], offset, { mask });
    return k.cast(value, computeType(types[i]?.dtype as DType));
  };
  k.parallel(sizeOf(output), (position) => {
    const strides = stridesOf(output.shape as number[]);
    const index = strides.map((stride, axis) =>
      k.rem(k.div(position, Math.max(stride, 1)), Math.max(output.shape[axis] as number, 1)),
    );
    const value = element(k, load, index);
    k.store(result, position, value.type.dtype === output.dtype ? value : k.cast(value, output.dtype));
  });
  return k.finish();
}

function compare(
  op: Op,
  opCase: OpCase,
  kernel: Kernel,
  tensors: readonly Tensor[],
  types: readonly TensorType[],
  expected: Tensor,
): void {
  const actual = Tensor.zeros(expected.dtype, expected.shape);
  const buffers = Object.fromEntries([
    ...tensors.map((tensor, i) => [`x${i}`, tensor.data] as const),
    ["y", actual.data] as const,
  ]);
  interpretKernel(kernel, { buffers });
  const { rtol, atol } = toleranceOf(op, types, opCase.attrs, expected.dtype);
  const wanted = expected.toArray();
  actual.toArray().forEach((value, i) => {
    const reference = wanted[i] as number;
    const close =
      value === reference ||
      Object.is(value, reference) ||
      Math.abs(value - reference) <= atol + rtol * Math.abs(reference);
    expect(close, `element ${i}: ${value}, reference ${reference}`).toBe(true);
  });
}

const rules = allOps().filter((op) => op.pointwise !== undefined || op.view !== undefined);

/** Functions whose kernels work in f32 alone. */
function lacksF64(op: Op, opCase: OpCase): boolean {
  return opCase.inputs.some((input) => input?.dtype === "f64") && op.tolerance !== undefined;
}

describe.each(rules.map((op) => ({ name: op.name, op })))("$name", ({ op }) => {
  test.each(op.cases().map((opCase) => ({ name: opCase.name, opCase })))(`$name (seed ${SEED})`, ({ opCase }) => {
    const { tensors, types, output, expected } = prepare(op, opCase);
    const build = (): Kernel =>
      kernelOf(op.name, types, output, (k, load, index) => {
        if (op.pointwise !== undefined) {
          const shapes = broadcastShapes(
            op.name,
            types.map((type) => type.shape),
          );
          const args = types.map((type, i) =>
            load(
              i,
              type.shape.map((size, axis) =>
                size === 1 ? k.index(0) : (index[axis + shapes.length - type.shape.length] as KValue),
              ),
            ),
          );
          return op.pointwise.emit(k, args, opCase.attrs, computeType(output.dtype));
        }
        const mapped = op.view?.map(k, index, types[0] as TensorType, output, opCase.attrs);
        if (mapped === undefined) throw new Error("no rule");
        const value = load(0, mapped.index, mapped.valid);
        return mapped.valid === undefined
          ? value
          : k.select(mapped.valid, value, k.const(value.type.dtype, mapped.fill ?? 0));
      });
    if (lacksF64(op, opCase)) {
      let kernel: Kernel;
      try {
        kernel = build();
      } catch (error) {
        expect(String(error)).toMatch(/f64/);
        return;
      }
      compare(op, opCase, kernel, tensors, types, expected);
      return;
    }
    compare(op, opCase, build(), tensors, types, expected);
  });
});
