/**
 * Blocks of space against channels or columns: col2im, depthToSpace and its inverse.
 */

import { type Dim, dimMul } from "../dim.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import type { Attrs, TensorType, Value } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { choiceAttr, numberAttr, numbersAttr } from "./attrs.ts";
import { of, opCase } from "./cases.ts";
import { checkRank, checkSize, given, reject, typed } from "./check.ts";
import type { Op } from "./op.ts";
import { input, newRef, positions, refOf, stridesOf } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

export const col2im: Op = {
  name: "col2im",
  summary: "Columns of windows [n, c · window, places] added back into images",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = typed("col2im", types, 0, "x", "float");
    checkRank("col2im", x, "x", 3);
    const [sizes, block] = [numbersAttr("col2im", attrs, "sizes"), numbersAttr("col2im", attrs, "block")];
    const rows = x.shape[1] as Dim;
    const window = block.reduce((n, size) => n * size, 1);
    if (typeof rows !== "number")
      return reject("col2im", `the second axis of ${printTensorType(x)} must have a known size`);
    if (rows % window !== 0) reject("col2im", `${rows} rows do not divide into windows of ${window}`);
    checkSize(
      "col2im",
      "the number of places",
      x.shape[2] as Dim,
      columnsOf(attrs, sizes, block).reduce((n, size) => n * size, 1),
    );
    return [{ dtype: x.dtype, shape: [x.shape[0] as Dim, rows / window, ...sizes] }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const [sizes, block] = [numbersAttr("col2im", attrs, "sizes"), numbersAttr("col2im", attrs, "block")];
    const { strides, dilations, pads } = columnAttrs(attrs, sizes.length);
    const window = block.reduce((n, size) => n * size, 1);
    const places = columnsOf(attrs, sizes, block);
    const [batch, rows, columns] = x.shape as [number, number, number];
    const result = newRef(x.dtype, [batch, rows / window, ...sizes]);
    const imageStrides = stridesOf(sizes);
    const plane = sizes.reduce((n, size) => n * size, 1);
    const indexIn = (at: number, shape: readonly number[], own: readonly number[]): number[] =>
      shape.map((size, axis) => Math.floor(at / (own[axis] as number)) % size);
    const [blockStrides, placeStrides] = [stridesOf(block), stridesOf(places)];
    for (let i = 0; i < x.data.length; i++) {
      const [row, place] = [Math.floor(i / columns) % rows, i % columns];
      const [tap, origin] = [indexIn(row % window, block, blockStrides), indexIn(place, places, placeStrides)];
      const target = sizes.map(
        (_, axis) =>
          (origin[axis] as number) * (strides[axis] as number) +
          (tap[axis] as number) * (dilations[axis] as number) -
          (pads[axis] as number),
      );
      if (target.some((at, axis) => at < 0 || at >= (sizes[axis] as number))) continue;
      const channel = Math.floor(i / (columns * rows)) * (rows / window) + Math.floor(row / window);
      const at = target.reduce((sum, index, axis) => sum + index * (imageStrides[axis] as number), channel * plane);
      result.data[at]! += x.data[i] as number;
    }
    return [result];
  },
  toleranceFor: () => sumTolerance(32),
  cases: () => [
    opCase("overlapping", [of("f32", 1, 18, 9)], {
      sizes: [5, 5],
      block: [3, 3],
      strides: [1, 1],
      dilations: [1, 1],
      padsBefore: [0, 0],
      padsAfter: [0, 0],
    }),
    opCase("strided", [of("f32", 2, 8, 6)], {
      sizes: [4, 6],
      block: [2, 2],
      strides: [2, 2],
      dilations: [1, 1],
      padsBefore: [0, 0],
      padsAfter: [0, 0],
    }),
    opCase("padded", [of("f32", 1, 9, 25)], {
      sizes: [5, 5],
      block: [3, 3],
      strides: [1, 1],
      dilations: [1, 1],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
    }),
  ],
};

function columnAttrs(
  attrs: Attrs,
  rank: number,
): { strides: readonly number[]; dilations: readonly number[]; pads: readonly number[]; after: readonly number[] } {
  const list = (name: string, fallback: number): readonly number[] =>
    numbersAttr("col2im", attrs, name, new Array<number>(rank).fill(fallback));
  return {
    strides: list("strides", 1),
    dilations: list("dilations", 1),
    pads: list("padsBefore", 0),
    after: list("padsAfter", 0),
  };
}

/** Window places along each axis. */
function columnsOf(attrs: Attrs, sizes: readonly number[], block: readonly number[]): number[] {
  const { strides, dilations, pads, after } = columnAttrs(attrs, sizes.length);
  return sizes.map((size, axis) => {
    const extent = ((block[axis] as number) - 1) * (dilations[axis] as number) + 1;
    return (
      Math.floor((size + (pads[axis] as number) + (after[axis] as number) - extent) / (strides[axis] as number)) + 1
    );
  });
}

function blockAttr(op: string, attrs: Attrs, x: TensorType): number {
  checkRank(op, x, "x", 4);
  const block = numberAttr(op, attrs, "block");
  return Number.isInteger(block) && block > 0 ? block : reject(op, `block ${block} must be a positive integer`);
}

export const depthToSpace: Op = {
  name: "depthToSpace",
  summary: "Blocks of channels moved into space; order dcr (depth first) or crd",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("depthToSpace", types, 0, "x");
    const block = blockAttr("depthToSpace", attrs, x);
    const [n, c, h, w] = x.shape as [Dim, Dim, Dim, Dim];
    if (typeof c !== "number" || c % (block * block) !== 0)
      return reject(
        "depthToSpace",
        `the channels of ${printTensorType(x)} do not divide into blocks of ${block}×${block}`,
      );
    choiceAttr("depthToSpace", attrs, "mode", ["dcr", "crd"], "dcr");
    return [{ dtype: x.dtype, shape: [n, c / (block * block), dimMul(h, block), dimMul(w, block)] }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const [, c, h, w] = x.shape as [number, number, number, number];
    const block = numberAttr("depthToSpace", attrs, "block");
    const depth = c / (block * block);
    const depthFirst = attrs["mode"] !== "crd";
    const shape = [x.shape[0] as number, depth, h * block, w * block];
    const strides = stridesOf(shape);
    const data = Float64Array.from({ length: x.data.length }, (_, i) => {
      const [n, d, row, column] = strides.map((stride, axis) => Math.floor(i / stride) % (shape[axis] as number)) as [
        number,
        number,
        number,
        number,
      ];
      const inBlock = (row % block) * block + (column % block);
      const channel = depthFirst ? inBlock * depth + d : d * block * block + inBlock;
      return x.data[((n * c + channel) * h + Math.floor(row / block)) * w + Math.floor(column / block)] as number;
    });
    return [refOf(x.dtype, shape, data)];
  },
  decompose: (b, [x], attrs) => {
    const value = x as Value;
    const [n, c, h, w] = value.type.shape as [Dim, number, Dim, Dim];
    const block = numberAttr("depthToSpace", attrs, "block");
    const depth = c / (block * block);
    const depthFirst = attrs["mode"] !== "crd";
    const split = reshapeTo(b, value, depthFirst ? [n, block, block, depth, h, w] : [n, depth, block, block, h, w]);
    const moved = b.apply("transpose", [split], {
      perm: depthFirst ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3],
    })[0] as Value;
    return [reshapeTo(b, moved, [n, depth, dimMul(h, block), dimMul(w, block)])];
  },
  cases: () => [
    opCase("dcr", [of("f32", 2, 12, 3, 4)], { block: 2, mode: "dcr" }),
    opCase("crd", [of("f32", 2, 12, 3, 4)], { block: 2, mode: "crd" }),
    opCase("three", [of("i64", 1, 9, 2, 2)], { block: 3, mode: "dcr" }),
  ],
};

function reshapeTo(b: GraphBuilder, x: Value, shape: readonly Dim[]): Value {
  return b.apply("reshape", [x], { shape })[0] as Value;
}

export const spaceToDepth: Op = {
  name: "spaceToDepth",
  summary: "Blocks of space moved into channels",
  inputs: ["x"],
  infer: (types, attrs) => {
    const x = given("spaceToDepth", types, 0, "x");
    const block = blockAttr("spaceToDepth", attrs, x);
    const [n, c, h, w] = x.shape as [Dim, Dim, Dim, Dim];
    if (typeof h !== "number" || typeof w !== "number" || h % block !== 0 || w % block !== 0)
      return reject("spaceToDepth", `the spatial axes of ${printTensorType(x)} do not divide into blocks of ${block}`);
    return [{ dtype: x.dtype, shape: [n, dimMul(c, block * block), h / block, w / block] }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const block = numberAttr("spaceToDepth", attrs, "block");
    const shape = [n, c * block * block, h / block, w / block];
    // Output channel (row in block, column in block, channel).
    const strides = stridesOf(x.shape) as [number, number, number, number];
    const where = positions(
      [n, block, block, c, h / block, w / block],
      [strides[0], strides[2], 1, strides[1], strides[2] * block, block],
    );
    return [
      refOf(
        x.dtype,
        shape,
        Float64Array.from(where, (at) => x.data[at] as number),
      ),
    ];
  },
  decompose: (b, [x], attrs) => {
    const value = x as Value;
    const [n, c, h, w] = value.type.shape as [Dim, Dim, number, number];
    const block = numberAttr("spaceToDepth", attrs, "block");
    const split = reshapeTo(b, value, [n, c, h / block, block, w / block, block]);
    const moved = b.apply("transpose", [split], { perm: [0, 3, 5, 1, 2, 4] })[0] as Value;
    return [reshapeTo(b, moved, [n, dimMul(c, block * block), h / block, w / block])];
  },
  cases: () => [
    opCase("two", [of("f32", 2, 3, 4, 6)], { block: 2 }),
    opCase("three", [of("u8", 1, 2, 3, 9)], { block: 3 }),
  ],
};
