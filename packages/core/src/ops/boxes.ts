/**
 * Regions of pictures: pooling them, and choosing among overlapping ones.
 */

import type { Dim } from "../dim.ts";
import type { TensorType } from "../graph/graph.ts";
import { booleanAttr, choiceAttr, numberAttr } from "./attrs.ts";
import { of, opCase, scalar, values, within } from "./cases.ts";
import { type Types, checkRank, checkSameDType, checkSize, indexTyped, typed } from "./check.ts";
import type { Op, RefTensor } from "./op.ts";
import { input, newRef, refOf } from "./ref-tensor.ts";
import { sumTolerance } from "./tolerance.ts";

function inferRois(types: Types): { x: TensorType; count: Dim } {
  const x = typed("roiAlign", types, 0, "x", "float");
  checkRank("roiAlign", x, "x", 4);
  const rois = typed("roiAlign", types, 1, "rois", "float");
  checkRank("roiAlign", rois, "rois", 2);
  checkSameDType("roiAlign", x, rois);
  checkSize("roiAlign", "the last axis of the regions", rois.shape[1] as Dim, 4);
  checkRank("roiAlign", indexTyped("roiAlign", types, 2, "batchIndices"), "batchIndices", 1);
  return { x, count: rois.shape[0] as Dim };
}

/** The four corners around a real place and their weights; none beyond one pixel outside. */
function bilinear(y: number, x: number, height: number, width: number): { at: number; weight: number }[] {
  if (y < -1 || y > height || x < -1 || x > width) return [];
  const [cy, cx] = [Math.max(y, 0), Math.max(x, 0)];
  const [y0, x0] = [Math.min(Math.floor(cy), height - 1), Math.min(Math.floor(cx), width - 1)];
  const [y1, x1] = [Math.min(y0 + 1, height - 1), Math.min(x0 + 1, width - 1)];
  const [ty, tx] = [y0 === height - 1 ? 0 : cy - y0, x0 === width - 1 ? 0 : cx - x0];
  return [
    { at: y0 * width + x0, weight: (1 - ty) * (1 - tx) },
    { at: y0 * width + x1, weight: (1 - ty) * tx },
    { at: y1 * width + x0, weight: ty * (1 - tx) },
    { at: y1 * width + x1, weight: ty * tx },
  ];
}

export const roiAlign: Op = {
  name: "roiAlign",
  summary: "Each region of interest divided into bins, each the mean (or largest) of bilinear samples",
  inputs: ["x", "rois", "batchIndices"],
  infer: (types, attrs) => {
    const { x, count } = inferRois(types);
    choiceAttr("roiAlign", attrs, "mode", ["avg", "max"], "avg");
    return [
      {
        dtype: x.dtype,
        shape: [
          count,
          x.shape[1] as Dim,
          numberAttr("roiAlign", attrs, "outputHeight", 1),
          numberAttr("roiAlign", attrs, "outputWidth", 1),
        ],
      },
    ];
  },
  reference: (inputs, attrs) => {
    const [x, rois, batches] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
    const [, channels, height, width] = x.shape as [number, number, number, number];
    const [rows, columns] = [
      numberAttr("roiAlign", attrs, "outputHeight", 1),
      numberAttr("roiAlign", attrs, "outputWidth", 1),
    ];
    const scale = numberAttr("roiAlign", attrs, "spatialScale", 1);
    const sampling = numberAttr("roiAlign", attrs, "samplingRatio", 0);
    const halfPixel = booleanAttr("roiAlign", attrs, "halfPixel", true);
    const average = attrs["mode"] !== "max";
    const count = rois.shape[0] as number;
    const result = newRef(x.dtype, [count, channels, rows, columns]);
    for (let roi = 0; roi < count; roi++) {
      const [x1, y1, x2, y2] = Array.from(
        rois.data.subarray(4 * roi, 4 * roi + 4),
        (v) => v * scale - (halfPixel ? 0.5 : 0),
      ) as [number, number, number, number];
      // Without the half pixel, regions are forced to one pixel at least.
      const [w, h] = halfPixel ? [x2 - x1, y2 - y1] : [Math.max(x2 - x1, 1), Math.max(y2 - y1, 1)];
      const [gridY, gridX] = sampling > 0 ? [sampling, sampling] : [Math.ceil(h / rows), Math.ceil(w / columns)];
      for (let bin = 0; bin < rows * columns; bin++) {
        const [row, column] = [Math.floor(bin / columns), bin % columns];
        const samples = Array.from({ length: Math.max(gridY * gridX, 0) }, (_, i) => {
          const [iy, ix] = [Math.floor(i / gridX), i % gridX];
          return bilinear(
            y1 + ((row + (iy + 0.5) / gridY) * h) / rows,
            x1 + ((column + (ix + 0.5) / gridX) * w) / columns,
            height,
            width,
          );
        });
        for (let channel = 0; channel < channels; channel++) {
          const base = ((batches.data[roi] as number) * channels + channel) * height * width;
          result.data[(roi * channels + channel) * rows * columns + bin] = average
            ? meanOf(x, base, samples)
            : maxOf(x, base, samples);
        }
      }
    }
    return [result];
  },
  toleranceFor: () => sumTolerance(64),
  cases: () => {
    const rois = values("f32", [0, 0, 6, 6, 1.5, 2.25, 7, 5, -1, 3, 4, 9], 3, 4);
    return [
      opCase("mean", [of("f32", 2, 3, 8, 9), rois, values("i64", [0, 1, 1])], {
        mode: "avg",
        outputHeight: 3,
        outputWidth: 2,
        samplingRatio: 2,
        spatialScale: 1,
        halfPixel: true,
      }),
      opCase("max", [of("f32", 2, 3, 8, 9), rois, values("i64", [0, 1, 1])], {
        mode: "max",
        outputHeight: 2,
        outputWidth: 2,
        samplingRatio: 2,
        spatialScale: 0.5,
        halfPixel: false,
      }),
      opCase("adaptive sampling", [of("f32", 1, 2, 8, 9), rois, values("i64", [0, 0, 0])], {
        mode: "avg",
        outputHeight: 2,
        outputWidth: 2,
        samplingRatio: 0,
        spatialScale: 1,
        halfPixel: false,
      }),
      opCase("no regions", [of("f32", 1, 2, 8, 9), of("f32", 0, 4), values("i64", [], 0)], {
        mode: "avg",
        outputHeight: 2,
        outputWidth: 2,
        samplingRatio: 1,
        spatialScale: 1,
        halfPixel: true,
      }),
    ];
  },
};

type Samples = readonly (readonly { at: number; weight: number }[])[];

function meanOf(x: RefTensor, base: number, samples: Samples): number {
  let sum = 0;
  for (const corners of samples) for (const { at, weight } of corners) sum += weight * (x.data[base + at] as number);
  return sum / Math.max(samples.length, 1);
}

/** The largest weighted corner of all samples, as ONNX defines the maximum. */
function maxOf(x: RefTensor, base: number, samples: Samples): number {
  let best = -Infinity;
  for (const corners of samples)
    best = Math.max(
      best,
      corners.length === 0 ? 0 : Math.max(...corners.map(({ at, weight }) => weight * (x.data[base + at] as number))),
    );
  return samples.length === 0 ? 0 : best;
}

/** Corners of a box, whichever two opposite ones are given. */
function cornersOf(boxes: Float64Array, at: number, center: boolean): [number, number, number, number] {
  const [a, b, c, d] = boxes.subarray(at, at + 4) as unknown as [number, number, number, number];
  if (center) return [b - d / 2, a - c / 2, b + d / 2, a + c / 2];
  return [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];
}

function overlap(a: readonly [number, number, number, number], b: readonly [number, number, number, number]): number {
  const height = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const width = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (height <= 0 || width <= 0) return 0;
  const shared = height * width;
  return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared);
}

export const nonMaxSuppression: Op = {
  name: "nonMaxSuppression",
  summary: "Boxes by falling score that overlap no better box of their class: rows of batch, class and box",
  inputs: ["boxes", "scores", "maxOutput?", "iouThreshold?", "scoreThreshold?"],
  infer: (types, _attrs, context) => {
    const boxes = typed("nonMaxSuppression", types, 0, "boxes", "float");
    const scores = typed("nonMaxSuppression", types, 1, "scores", "float");
    checkRank("nonMaxSuppression", boxes, "boxes", 3);
    checkRank("nonMaxSuppression", scores, "scores", 3);
    checkSize("nonMaxSuppression", "the last axis of the boxes", boxes.shape[2] as Dim, 4);
    checkSize("nonMaxSuppression", "the number of scores", scores.shape[2] as Dim, boxes.shape[1] as Dim);
    return [{ dtype: "i64", shape: [context.freshDim("boxes"), 3] }];
  },
  reference: (inputs, attrs) => {
    const [boxes, scores] = [input(inputs, 0), input(inputs, 1)];
    const [limit, iou, least] = [inputs[2]?.data[0] ?? 0, inputs[3]?.data[0] ?? 0, inputs[4]?.data[0] ?? -Infinity];
    const center = booleanAttr("nonMaxSuppression", attrs, "centerPoint", false);
    const [batches, classes, count] = scores.shape as [number, number, number];
    const rows: number[] = [];
    for (let batch = 0; batch < batches; batch++) {
      for (let label = 0; label < classes; label++) {
        const score = (box: number): number => scores.data[(batch * classes + label) * count + box] as number;
        const order = Array.from({ length: count }, (_, box) => box)
          .filter((box) => score(box) > least)
          .sort((a, b) => score(b) - score(a) || a - b);
        const kept: [number, number, number, number][] = [];
        for (const box of order) {
          if (kept.length >= limit) break;
          const corners = cornersOf(boxes.data, (batch * count + box) * 4, center);
          if (kept.some((other) => overlap(corners, other) > iou)) continue;
          kept.push(corners);
          rows.push(batch, label, box);
        }
      }
    }
    return [refOf("i64", [rows.length / 3, 3], Float64Array.from(rows))];
  },
  cases: () => {
    const boxes = values(
      "f32",
      [0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, -0.1, 1, 0.9, 0, 10, 1, 11, 0, 10.1, 1, 11.1, 0, 100, 1, 101],
      1,
      6,
      4,
    );
    const scores = values("f32", [0.9, 0.75, 0.6, 0.95, 0.5, 0.3], 1, 1, 6);
    return [
      opCase("suppresses", [boxes, scores, scalar("i64", 3), scalar("f32", 0.5), scalar("f32", 0)], {
        centerPoint: false,
      }),
      opCase("score threshold", [boxes, scores, scalar("i64", 6), scalar("f32", 0.5), scalar("f32", 0.7)], {
        centerPoint: false,
      }),
      opCase("no limit given", [boxes, scores], { centerPoint: false }),
      opCase("centres", [within("f32", 0.2, 1, 2, 9, 4), of("f32", 2, 3, 9), scalar("i64", 4), scalar("f32", 0.3)], {
        centerPoint: true,
      }),
    ];
  },
};
