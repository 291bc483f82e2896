/**
 * f32 convolution with constant weights, ungrouped, channels last: an invocation computes 4 neighbouring pixels of 4
 * output channels in registers. Per input channel and tap it reads 4 elements of the image and one vector of weights for
 * 16 multiply-adds.
 *
 * Weights are packed at compile time as [⌈outputs / 4⌉][inputs][taps][4], zeros beyond the last output.
 */

import {
  type ConstantData,
  type Dim,
  GroupKernel,
  type KValue,
  type Packer,
  type Value,
  dimCeilDiv,
  dimMul,
  shapeSize,
  siteConstant,
  vectorType,
} from "@quern/core";
import type { GpuKernel } from "./kernel.ts";
import { forEachTap, imageAxes, nest, positionOf, windowOf } from "./nest.ts";

const PIXELS = 4;
const LANES = 4;

export const convTiles: GpuKernel = {
  name: "conv_tiles",
  ops: ["conv"],
  when: (site) => {
    const [x, w] = site.anchor.inputs as [Value, Value];
    if (x.type.dtype !== "f32") return x.type.dtype;
    if (siteConstant(site, w) === undefined) return "the weights are not constant";
    if (site.anchor.attrs["layout"] !== "nhwc") return "the channels are not the last axis";
    return (site.anchor.attrs["groups"] ?? 1) === 1 ? true : "groups";
  },
  lower: (site) => {
    const [x, w, bias] = site.anchor.inputs as [Value, Value, Value | undefined];
    const y = site.anchor.outputs[0] as Value;
    const { attrs } = site.anchor;
    const window = windowOf(attrs, w.type.shape.slice(2) as number[]);
    const { channel, spatial } = imageAxes(attrs, x.type.shape.length);
    const [outputs, inputs] = w.type.shape as [number, number];
    const taps = window.kernel.reduce((n, size) => n * size, 1);
    const pixelAxis = spatial.at(-1) as number;
    const kernel = new GroupKernel(`conv_tiles_${window.kernel.join("x")}`, site);
    const { k } = kernel;
    const weights = kernel.packed("weights", w, weightPacker, { outputs, products: inputs * taps });
    const pick = <T>(list: readonly T[]): T[] => spatial.map((axis) => list[axis] as T);
    const blocks = y.type.shape
      .with(channel, Math.ceil(outputs / LANES))
      .with(pixelAxis, dimCeilDiv(y.type.shape[pixelAxis] as Dim, PIXELS));
    // Pixels of the last block that do not exist are computed as if the result were wider.
    const computed = pick(y.type.shape).with(-1, dimMul(blocks[pixelAxis] as Dim, PIXELS));
    const extents = { sizes: pick(x.type.shape), outSizes: computed };
    nest(k, blocks, (block) => {
      const outBlock = block[channel] as KValue;
      const firstPixel = k.mul(block[pixelAxis] as KValue, PIXELS);
      const pixels = Array.from({ length: PIXELS }, (_, p) => block.with(pixelAxis, k.add(firstPixel, p)));
      const sums = pixels.map((_, p) => k.local(`sum${p}`, vectorType("f32", LANES), 0));
      k.for({ end: inputs }, (c) => {
        forEachTap(k, window.kernel, (tap) => {
          const inPlane = tap.reduce((at, i, axis) => k.add(k.mul(at, window.kernel[axis] as number), i), k.index(0));
          const weight = k.add(k.mul(k.add(k.mul(outBlock, inputs), c), taps), inPlane);
          const vector = k.load(weights, k.mul(weight, LANES), { lanes: LANES });
          sums.forEach((sum, p) => {
            const { at, inside } = positionOf(k, window, pick(pixels[p] as readonly KValue[]), tap, extents);
            const from = block.with(channel, c);
            spatial.forEach((axis, i) => (from[axis] = at[i] as KValue));
            const element = kernel.element(x, { index: from, mask: inside });
            k.assign(sum, k.fma(k.broadcast(element, LANES), vector, k.read(sum)));
          });
        });
      });
      const firstOut = k.mul(outBlock, LANES);
      const exists = outputs % LANES === 0 ? undefined : k.lt(k.iota(firstOut, LANES), outputs);
      const width = y.type.shape[pixelAxis] as Dim;
      sums.forEach((sum, p) => {
        const store = (): void => {
          const index = (pixels[p] as readonly KValue[]).with(channel, firstOut);
          const place = { index, lanes: LANES, mask: exists };
          const result = k.read(sum);
          if (bias === undefined) kernel.store(result, place);
          else kernel.store(k.add(result, kernel.element(bias, { ...place, index: [firstOut] })), place);
        };
        if (p === 0 || (typeof width === "number" && width % PIXELS === 0)) store();
        else k.if(k.lt(k.add(firstPixel, p), k.index(width)), store);
      });
    });
    const flops = dimMul(shapeSize(y.type.shape), 2 * inputs * taps);
    return [kernel.launch({ decision: "4 pixels by 4 channels per invocation", flops })];
  },
};

type WeightArgs = { readonly outputs: number; readonly products: number };

/** [outputs][products] as [⌈outputs / 4⌉][products][4]. */
const weightPacker: Packer<WeightArgs> = { name: "weights", pack: packWeights };

function packWeights({ bytes }: ConstantData, { outputs, products }: WeightArgs): ConstantData {
  const source = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks = Math.ceil(outputs / LANES);
  const packed = new Float32Array(blocks * products * LANES);
  for (let out = 0; out < outputs; out++) {
    const to = Math.floor(out / LANES) * products * LANES + (out % LANES);
    for (let i = 0; i < products; i++) packed[to + i * LANES] = source.getFloat32((out * products + i) * 4, true);
  }
  return { dtype: "f32", shape: [blocks, products, LANES], bytes: new Uint8Array(packed.buffer) };
}
