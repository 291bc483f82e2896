/**
 * The loops behind the references of convolutions: up to three spatial axes, any strides, dilations and groups.
 *
 * Rows are the innermost loop with their bounds computed once per kernel element, so that large maps take seconds.
 */

import type { RefTensor } from "./op.ts";
import { newRef, stridesOf } from "./ref-tensor.ts";
import { type Layout, type Window, axesOf } from "./spatial.ts";

/** Sizes and element strides of a batch of images, spatial axes filled up to three. */
interface Image {
  readonly data: Float64Array;
  readonly batch: number;
  readonly channels: number;
  readonly batchStride: number;
  readonly channelStride: number;
  readonly sizes: readonly [number, number, number];
  readonly strides: readonly [number, number, number];
}

function three(list: readonly number[], fill: number): [number, number, number] {
  return [...new Array<number>(3 - list.length).fill(fill), ...list] as [number, number, number];
}

function imageOf(x: RefTensor, layout: Layout): Image {
  const { channel, spatial } = axesOf(layout, x.shape.length);
  const strides = stridesOf(x.shape);
  return {
    data: x.data,
    batch: x.shape[0] as number,
    channels: x.shape[channel] as number,
    batchStride: strides[0] as number,
    channelStride: strides[channel] as number,
    sizes: three(
      spatial.map((axis) => x.shape[axis] as number),
      1,
    ),
    strides: three(
      spatial.map((axis) => strides[axis] as number),
      0,
    ),
  };
}

/** Output positions o in [first, end) whose input o·stride + offset lies in 0..size-1. */
function insideRange(offset: number, stride: number, size: number, outputs: number): [number, number] {
  const first = Math.max(0, Math.ceil(-offset / stride));
  const end = Math.min(outputs, Math.floor((size - 1 - offset) / stride) + 1);
  return [first, end];
}

/** Calls `visit` for every kernel element: its position in the weights and its offset along each axis. */
function forEachTap(window: Window, visit: (tap: number, offsets: readonly [number, number, number]) => void): void {
  const [kernel, dilations, pads] = [three(window.kernel, 1), three(window.dilations, 1), three(window.padsBefore, 0)];
  let tap = 0;
  for (let d = 0; d < kernel[0]; d++) {
    for (let h = 0; h < kernel[1]; h++) {
      for (let w = 0; w < kernel[2]; w++) {
        visit(tap++, [d * dilations[0] - pads[0], h * dilations[1] - pads[1], w * dilations[2] - pads[2]]);
      }
    }
  }
}

/**
 * Adds weight · plane of `from` (one channel) to a plane of `to`: position o of `to` takes o·stride + offset of `from`,
 * or, when `scatter`, position i of `from` adds to i·stride + offset of `to`.
 */
function addPlane(
  from: Image,
  fromBase: number,
  to: Image,
  toBase: number,
  offsets: readonly number[],
  steps: readonly number[],
  weight: number,
  scatter: boolean,
): void {
  const [walked, other] = scatter ? [from, to] : [to, from];
  const ranges = [0, 1, 2].map((axis) =>
    insideRange(
      offsets[axis] as number,
      steps[axis] as number,
      other.sizes[axis] as number,
      walked.sizes[axis] as number,
    ),
  );
  const [[d0, d1], [h0, h1], [w0, w1]] = ranges as [[number, number], [number, number], [number, number]];
  const [ws, os] = [walked.strides, other.strides];
  const [walkedBase, otherBase] = scatter ? [fromBase, toBase] : [toBase, fromBase];
  const step = os[2] * (steps[2] as number);
  for (let d = d0; d < d1; d++) {
    for (let h = h0; h < h1; h++) {
      let walkedAt = walkedBase + d * ws[0] + h * ws[1] + w0 * ws[2];
      let otherAt =
        otherBase +
        (d * (steps[0] as number) + (offsets[0] as number)) * os[0] +
        (h * (steps[1] as number) + (offsets[1] as number)) * os[1] +
        (w0 * (steps[2] as number) + (offsets[2] as number)) * os[2];
      for (let w = w0; w < w1; w++, walkedAt += ws[2], otherAt += step) {
        if (scatter) to.data[otherAt]! += weight * (from.data[walkedAt] as number);
        else to.data[walkedAt]! += weight * (from.data[otherAt] as number);
      }
    }
  }
}

/** x convolved with w of [outputs, inputs / groups, kernel…]. `shape` is that of the result. */
export function convolve(
  x: RefTensor,
  w: RefTensor,
  shape: readonly number[],
  window: Window,
  groups: number,
  layout: Layout,
): RefTensor {
  const result = newRef(x.dtype, shape);
  const [from, to] = [imageOf(x, layout), imageOf(result, layout)];
  if (result.data.length === 0) return result;
  const [inPerGroup, outPerGroup] = [from.channels / groups, to.channels / groups];
  const taps = window.kernel.reduce((n, size) => n * size, 1);
  const steps = three(window.strides, 1);
  for (let image = 0; image < from.batch; image++) {
    for (let out = 0; out < to.channels; out++) {
      const toBase = image * to.batchStride + out * to.channelStride;
      const firstIn = Math.floor(out / outPerGroup) * inPerGroup;
      for (let c = 0; c < inPerGroup; c++) {
        const fromBase = image * from.batchStride + (firstIn + c) * from.channelStride;
        forEachTap(window, (tap, offsets) => {
          addPlane(
            from,
            fromBase,
            to,
            toBase,
            offsets,
            steps,
            w.data[(out * inPerGroup + c) * taps + tap] as number,
            false,
          );
        });
      }
    }
  }
  return result;
}

/** The transpose of `convolve`: x spread by w of [inputs, outputs / groups, kernel…]. */
export function convolveTransposed(
  x: RefTensor,
  w: RefTensor,
  shape: readonly number[],
  window: Window,
  groups: number,
): RefTensor {
  const result = newRef(x.dtype, shape);
  const [from, to] = [imageOf(x, "nchw"), imageOf(result, "nchw")];
  if (result.data.length === 0) return result;
  const [inPerGroup, outPerGroup] = [from.channels / groups, to.channels / groups];
  const taps = window.kernel.reduce((n, size) => n * size, 1);
  const steps = three(window.strides, 1);
  for (let image = 0; image < from.batch; image++) {
    for (let c = 0; c < from.channels; c++) {
      const fromBase = image * from.batchStride + c * from.channelStride;
      const firstOut = Math.floor(c / inPerGroup) * outPerGroup;
      for (let o = 0; o < outPerGroup; o++) {
        const toBase = image * to.batchStride + (firstOut + o) * to.channelStride;
        forEachTap(window, (tap, offsets) => {
          addPlane(
            from,
            fromBase,
            to,
            toBase,
            offsets,
            steps,
            w.data[(c * outPerGroup + o) * taps + tap] as number,
            true,
          );
        });
      }
    }
  }
  return result;
}

/** Adds one value per channel. */
export function addBias(x: RefTensor, bias: RefTensor | undefined, layout: Layout): void {
  if (bias === undefined) return;
  const { channel } = axesOf(layout, x.shape.length);
  const stride = stridesOf(x.shape)[channel] as number;
  const channels = x.shape[channel] as number;
  for (let i = 0; i < x.data.length; i++) x.data[i]! += bias.data[Math.floor(i / stride) % channels] as number;
}
