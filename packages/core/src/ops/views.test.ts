import { expect, test } from "vitest";
import { type Dim, type Shape, dimAdd, dimMul, dimSub, evaluateShape, shapeSize, symbol } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, Value } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/builder.ts";
import { interpretKernel } from "../kernel/interpret.ts";
import type { KValue } from "../kernel/ir.ts";
import { flatten } from "../lower/body.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { Tensor, elementCount } from "../runtime/tensor.ts";
import { findOp } from "./registry.ts";

/** View rules with symbolic sizes: one kernel, run for several values of the symbols, against the reference. */

const n = symbol("n");
const m = symbol("m");

const VIEWS: readonly (readonly [op: string, shape: Shape, attrs: Attrs])[] = [
  ["reshape", [n, 4, 6], { shape: [dimMul(n, 4), 6] }],
  ["reshape", [n, 24], { shape: [n, 2, 3, 4] }],
  ["reshape", [n, m, 6], { shape: [n, dimMul(m, 2), 3] }],
  ["reshape", [n, m], { shape: [m, n] }],
  ["reshape", [1, n, 3], { shape: [dimMul(n, 3), 1] }],
  ["transpose", [n, 3, m], { perm: [2, 0, 1] }],
  ["expand", [n, 1], { shape: [2, n, m] }],
  ["expand", [1, m], { shape: [n, m] }],
  ["slice", [n, 5], { starts: [1, 0], sizes: [dimSub(n, 1), 3], steps: [1, 2] }],
  ["slice", [n], { starts: [dimSub(n, 1)], sizes: [n], steps: [-1] }],
  ["pad", [n, 3], { before: [1, 0], after: [m, 2], mode: "constant", value: 7 }],
  ["pad", [dimAdd(n, 2)], { before: [n], after: [1], mode: "reflect", value: 0 }],
  ["pad", [n, 2], { before: [1, 0], after: [2, 1], mode: "edge", value: 0 }],
  ["tile", [n, 2], { repeats: [3, m] }],
];

test.each(VIEWS.map(([op, shape, attrs]) => ({ name: `${op} of [${shape.join(", ")}]`, op, shape, attrs })))(
  "$name",
  ({ op, shape, attrs }) => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "f32", shape);
    const y = builder.apply(op, [x], attrs)[0] as Value;
    builder.output("y", y);
    const graph = builder.build(op);

    const k = new KernelBuilder(op);
    const source = k.buffer("x", "f32", shapeSize(shape));
    const target = k.buffer("y", "f32", shapeSize(y.type.shape), { access: "write" });
    const visit = (axis: number, index: readonly KValue[]): void => {
      const size = y.type.shape[axis];
      if (size !== undefined) return k.parallel(size, (i) => visit(axis + 1, [...index, i]));
      const mapped = findOp(op).view?.map(k, index, x.type, y.type, attrs);
      if (mapped === undefined) throw new Error("no rule");
      const value = k.load(source, flatten(k, mapped.index, shape), { mask: mapped.valid });
      k.store(
        target,
        flatten(k, index, y.type.shape),
        mapped.valid === undefined ? value : k.select(mapped.valid, value, mapped.fill ?? 0),
      );
    };
    visit(0, []);
    const kernel = k.finish();

    for (const symbols of [
      { n: 3, m: 5 },
      { n: 2, m: 1 },
      { n: 1, m: 4 },
    ]) {
      const sizes = evaluateShape(shape as readonly Dim[], symbols);
      const tensor = Tensor.from(
        "f32",
        Array.from({ length: elementCount(sizes) }, (_, i) => i + 1),
        sizes,
      );
      // Symbols that only the attributes mention are known to a compiled graph, not to its inputs.
      const expected = referenceDevice().compile(graph, { bindings: symbols }).runSync({ x: tensor })["y"] as Tensor;
      const actual = Tensor.zeros("f32", expected.shape);
      interpretKernel(kernel, { buffers: { x: tensor.data, y: actual.data }, symbols });
      expect(actual.toArray(), JSON.stringify(symbols)).toEqual(expected.toArray());
    }
  },
);
