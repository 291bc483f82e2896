/**
 * Pooling: one value per window of each channel. Global pools are reductions. Maxima ignore padding and propagate NaN.
 */

import type { Dim } from "../dim.ts";
import type { Attrs, TensorType } from "../graph/graph.ts";
import { printTensorType } from "../graph/print.ts";
import { DTYPE_INFO, isFloat } from "../dtype.ts";
import { booleanAttr, numberAttr, numbersAttr } from "./attrs.ts";
import { of, opCase, values } from "./cases.ts";
import { type DTypeGroup, type Types, reject, typed } from "./check.ts";
import type { Op, OpCase, RefTensor } from "./op.ts";
import { input, newRef, pick, positions, stridesOf } from "./ref-tensor.ts";
import { type Window, axesOf, ceilAttr, layoutAttr, outputSizes, windowAttrs } from "./spatial.ts";
import { sumTolerance } from "./tolerance.ts";

function inferPool(
  op: string,
  types: Types,
  attrs: Attrs,
  group: DTypeGroup,
): { x: TensorType; shape: Dim[]; window: Window } {
  const x = typed(op, types, 0, "x", group);
  const kernel = numbersAttr(op, attrs, "kernel");
  if (x.shape.length !== kernel.length + 2)
    reject(
      op,
      `a kernel of ${kernel.length} axes needs batch, channels and ${kernel.length} spatial axes, got ${printTensorType(x)}`,
    );
  const window = windowAttrs(op, attrs, kernel);
  const { spatial } = axesOf(layoutAttr(op, attrs), x.shape.length);
  const sizes = outputSizes(
    op,
    spatial.map((axis) => x.shape[axis] as Dim),
    window,
    ceilAttr(op, attrs),
  );
  const shape = [...x.shape];
  spatial.forEach((axis, i) => (shape[axis] = sizes[i] as Dim));
  return { x, shape, window };
}

/** One window: positions of its elements that lie inside the input, by spatial axis. */
interface Place {
  /** Element offset of the first spatial element of this channel, and index within the spatial axes for `maxUnpool`. */
  readonly base: number;
  readonly channelPlane: number;
  /** Offsets of the elements inside. */
  readonly inside: readonly number[];
  /** Number of elements inside the input or its padding, as averages that count padding use it. */
  readonly withPadding: number;
}

/** Calls `visit` for every output element in row-major order. */
function forEachWindow(
  op: string,
  x: RefTensor,
  shape: readonly number[],
  window: Window,
  attrs: Attrs,
  visit: (at: number, place: Place) => void,
): void {
  const { channel, spatial } = axesOf(layoutAttr(op, attrs), x.shape.length);
  const [strides, outStrides] = [stridesOf(x.shape), stridesOf(shape)];
  const [batches, channels] = [shape[0] as number, shape[channel] as number];
  const outSizes = pick(shape, spatial);
  // The windows of a plane, the same for every channel.
  const places = planeWindows(pick(x.shape, spatial), pick(strides, spatial), outSizes, window);
  const targets = positions(outSizes, pick(outStrides, spatial));
  for (let batch = 0; batch < batches; batch++) {
    for (let c = 0; c < channels; c++) {
      const base = batch * (strides[0] as number) + c * (strides[channel] as number);
      const outBase = batch * (outStrides[0] as number) + c * (outStrides[channel] as number);
      places.forEach(({ inside, withPadding }, i) => {
        visit(outBase + (targets[i] as number), { base, channelPlane: batch * channels + c, inside, withPadding });
      });
    }
  }
}

function planeWindows(
  sizes: readonly number[],
  strides: readonly number[],
  outSizes: readonly number[],
  window: Window,
): { inside: number[]; withPadding: number }[] {
  let list: { inside: number[]; withPadding: number }[] = [{ inside: [0], withPadding: 1 }];
  outSizes.forEach((outSize, axis) => {
    const [kernel, stride, dilation, before, after] = [
      window.kernel,
      window.strides,
      window.dilations,
      window.padsBefore,
      window.padsAfter,
    ].map((entries) => entries[axis] as number) as [number, number, number, number, number];
    const [size, step] = [sizes[axis] as number, strides[axis] as number];
    list = list.flatMap((place) =>
      Array.from({ length: outSize }, (_, o) => {
        const taps = Array.from({ length: kernel }, (_unused, t) => o * stride - before + t * dilation);
        const inside = taps.filter((at) => at >= 0 && at < size);
        return {
          inside: place.inside.flatMap((offset) => inside.map((at) => offset + at * step)),
          withPadding: place.withPadding * taps.filter((at) => at < size + after).length,
        };
      }),
    );
  });
  return list;
}

/** Offset of the largest element of a window, the first of equal ones; NaN is largest. -1 for an empty window. */
function largestAt(x: RefTensor, { base, inside }: Place): number {
  let best = -1;
  for (const offset of inside) {
    const value = x.data[base + offset] as number;
    if (best < 0 || value > (x.data[best] as number) || (Number.isNaN(value) && !Number.isNaN(x.data[best])))
      best = base + offset;
  }
  return best;
}

function lowest(x: RefTensor): number {
  return isFloat(x.dtype) ? -Infinity : DTYPE_INFO[x.dtype].min;
}

export const maxPool: Op = {
  name: "maxPool",
  summary: "Largest element of each window",
  inputs: ["x"],
  infer: (types, attrs) => {
    const { x, shape } = inferPool("maxPool", types, attrs, "numeric");
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const { shape, window } = inferPool("maxPool", inputs, attrs, "numeric");
    const result = newRef(x.dtype, shape as number[]);
    forEachWindow("maxPool", x, result.shape, window, attrs, (at, place) => {
      const best = largestAt(x, place);
      result.data[at] = best < 0 ? lowest(x) : (x.data[best] as number);
    });
    return [result];
  },
  cases: () => [
    ...poolCases(),
    opCase("special", [values("f32", [1, NaN, -Infinity, -Infinity, 2, 3, -Infinity, -1], 1, 1, 2, 4)], {
      kernel: [2, 2],
      strides: [2, 2],
    }),
    opCase("u8", [of("u8", 1, 3, 6, 6)], { kernel: [2, 2], strides: [2, 2] }),
    opCase("i8", [of("i8", 1, 3, 6, 6)], { kernel: [3, 3], padsBefore: [1, 1], padsAfter: [1, 1] }),
  ],
};

function poolCases(extra: Attrs = {}): OpCase[] {
  return [
    opCase("2x2", [of("f32", 2, 3, 8, 10)], { kernel: [2, 2], strides: [2, 2], ...extra }),
    opCase("3x3 stride 2 padded", [of("f32", 1, 17, 11, 13)], {
      kernel: [3, 3],
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
      ...extra,
    }),
    opCase("nhwc", [of("f32", 1, 9, 11, 17)], {
      kernel: [3, 3],
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
      layout: "nhwc",
      ...extra,
    }),
    opCase("ceil", [of("f32", 1, 2, 8, 7)], { kernel: [3, 3], strides: [2, 2], ceilMode: true, ...extra }),
    opCase("ceil with padding", [of("f32", 1, 2, 4, 4)], {
      kernel: [2, 2],
      strides: [3, 3],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
      ceilMode: true,
      ...extra,
    }),
    opCase("dilated", [of("f32", 1, 2, 9, 9)], { kernel: [2, 3], dilations: [3, 2], ...extra }),
    opCase("1d", [of("f32", 2, 3, 17)], { kernel: [4], strides: [3], padsBefore: [1], padsAfter: [2], ...extra }),
    opCase("3d", [of("f32", 1, 2, 4, 5, 6)], { kernel: [2, 2, 2], strides: [2, 2, 2], ...extra }),
    opCase("no batch", [of("f32", 0, 3, 4, 4)], { kernel: [2, 2], ...extra }),
    opCase("f16", [of("f16", 1, 3, 6, 6)], { kernel: [2, 2], strides: [2, 2], ...extra }),
  ];
}

export const maxPoolWithIndices: Op = {
  name: "maxPoolWithIndices",
  summary:
    "Largest element of each window, and its position in the whole input (spatial axes row-major, or column-major for storageOrder 1)",
  inputs: ["x"],
  infer: (types, attrs) => {
    const { x, shape } = inferPool("maxPoolWithIndices", types, attrs, "numeric");
    if (layoutAttr("maxPoolWithIndices", attrs) !== "nchw") reject("maxPoolWithIndices", "layout nhwc has no indices");
    return [
      { dtype: x.dtype, shape },
      { dtype: "i64", shape },
    ];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const { shape, window } = inferPool("maxPoolWithIndices", inputs, attrs, "numeric");
    const columnMajor = numberAttr("maxPoolWithIndices", attrs, "storageOrder", 0) === 1;
    const [result, indices] = [newRef(x.dtype, shape as number[]), newRef("i64", shape as number[])];
    const sizes = x.shape.slice(2);
    const plane = sizes.reduce((n, size) => n * size, 1);
    forEachWindow("maxPoolWithIndices", x, result.shape, window, attrs, (at, place) => {
      const best = largestAt(x, place);
      result.data[at] = best < 0 ? lowest(x) : (x.data[best] as number);
      indices.data[at] = columnMajor ? place.channelPlane * plane + columnMajorOffset(best - place.base, sizes) : best;
    });
    return [result, indices];
  },
  cases: () => [
    opCase("2x2", [of("f32", 2, 3, 8, 10)], { kernel: [2, 2], strides: [2, 2] }),
    opCase("padded", [of("f32", 1, 2, 5, 7)], {
      kernel: [3, 3],
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
    }),
    opCase("column-major", [of("f32", 1, 2, 5, 7)], { kernel: [2, 2], storageOrder: 1 }),
    opCase("ties", [values("f32", [1, 1, 1, 1, 2, 2, 0, 2, 2], 1, 1, 3, 3)], { kernel: [2, 2] }),
  ],
};

/** Position of a row-major offset when the first spatial axis runs fastest. */
function columnMajorOffset(offset: number, sizes: readonly number[]): number {
  let rest = offset;
  const index: number[] = [];
  for (const size of sizes.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index.reduceRight((position, at, axis) => position * (sizes[axis] as number) + at, 0);
}

export const averagePool: Op = {
  name: "averagePool",
  summary: "Mean of each window; padding counts as zeros when countIncludePad",
  inputs: ["x"],
  infer: (types, attrs) => {
    const { x, shape } = inferPool("averagePool", types, attrs, "float");
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const { shape, window } = inferPool("averagePool", inputs, attrs, "float");
    const countPadding = booleanAttr("averagePool", attrs, "countIncludePad", false);
    const result = newRef(x.dtype, shape as number[]);
    forEachWindow("averagePool", x, result.shape, window, attrs, (at, { base, inside, withPadding }) => {
      let sum = 0;
      for (const offset of inside) sum += x.data[base + offset] as number;
      result.data[at] = sum / (countPadding ? withPadding : inside.length);
    });
    return [result];
  },
  toleranceFor: (_types, attrs) =>
    sumTolerance(numbersAttr("averagePool", attrs, "kernel").reduce((n, size) => n * size, 1)),
  cases: () => [
    ...poolCases(),
    opCase("count padding", [of("f32", 1, 17, 11, 13)], {
      kernel: [3, 3],
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [1, 1],
      countIncludePad: true,
    }),
    opCase("count padding with ceil", [of("f32", 1, 2, 5, 6)], {
      kernel: [3, 3],
      strides: [2, 2],
      padsBefore: [1, 1],
      padsAfter: [0, 0],
      ceilMode: true,
      countIncludePad: true,
    }),
  ],
};

export const lpPool: Op = {
  name: "lpPool",
  summary: "p-norm of each window",
  inputs: ["x"],
  infer: (types, attrs) => {
    const { x, shape } = inferPool("lpPool", types, attrs, "float");
    return [{ dtype: x.dtype, shape }];
  },
  reference: (inputs, attrs) => {
    const x = input(inputs, 0);
    const { shape, window } = inferPool("lpPool", inputs, attrs, "float");
    const p = numberAttr("lpPool", attrs, "p", 2);
    const result = newRef(x.dtype, shape as number[]);
    forEachWindow("lpPool", x, result.shape, window, attrs, (at, { base, inside }) => {
      let sum = 0;
      for (const offset of inside) sum += Math.abs(x.data[base + offset] as number) ** p;
      result.data[at] = sum ** (1 / p);
    });
    return [result];
  },
  toleranceFor: (_types, attrs) =>
    sumTolerance(4 * numbersAttr("lpPool", attrs, "kernel").reduce((n, size) => n * size, 1)),
  cases: () => [
    ...poolCases({ p: 2 }),
    opCase("p 3", [of("f32", 1, 3, 6, 6)], { kernel: [2, 2], p: 3 }),
    opCase("p 1", [of("f32", 1, 3, 6, 6)], { kernel: [2, 2], p: 1 }),
  ],
};

export const maxUnpool: Op = {
  name: "maxUnpool",
  summary: "Zeros but for the values of x at the positions that maxPoolWithIndices gave",
  inputs: ["x", "indices"],
  infer: (types, attrs) => {
    const x = typed("maxUnpool", types, 0, "x", "float");
    typed("maxUnpool", types, 1, "indices", "integer");
    const sizes = numbersAttr("maxUnpool", attrs, "sizes");
    if (sizes.length !== x.shape.length - 2)
      reject("maxUnpool", `needs ${x.shape.length - 2} spatial sizes, got ${sizes.length}`);
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...sizes] }];
  },
  reference: (inputs, attrs) => {
    const [x, indices] = [input(inputs, 0), input(inputs, 1)];
    const result = newRef(x.dtype, [...x.shape.slice(0, 2), ...numbersAttr("maxUnpool", attrs, "sizes")]);
    indices.data.forEach((at, i) => {
      if (at < 0 || at >= result.data.length)
        reject("maxUnpool", `index ${at} is outside of ${result.data.length} elements`);
      result.data[at] = x.data[i] as number;
    });
    return [result];
  },
  cases: () => [
    opCase("2x2", [of("f32", 1, 1, 2, 2), values("i64", [5, 7, 13, 15], 1, 1, 2, 2)], { sizes: [4, 4] }),
    opCase("larger", [of("f32", 1, 1, 2, 2), values("i64", [0, 4, 12, 18], 1, 1, 2, 2)], { sizes: [5, 5] }),
  ],
};
