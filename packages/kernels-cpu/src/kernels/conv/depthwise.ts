/**
 * Depthwise f32 convolution, channels-last: one filter per channel, vectors along channels.
 */

import {
  type ConstantData,
  GroupKernel,
  type Packer,
  type KValue,
  type Value,
  dimMul,
  siteConstant,
} from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { floatsOf } from "../gemm/pack.ts";
import { type ConvGeometry, convGeometry, convMultiplyAdds } from "./geometry.ts";
import { emitWindows } from "./windows.ts";

export const convDepthwise: CpuKernel = {
  name: "conv_f32_depthwise",
  ops: ["conv"],
  when(site) {
    const g = convGeometry(site);
    if (typeof g === "string") return g;
    if (g.groups !== g.channels || g.outChannels !== g.channels) return "not depthwise";
    if (siteConstant(site, site.anchor.inputs[1]) === undefined) return "the weights are not constant";
    return true;
  },
  cost(site, { threads }) {
    return convMultiplyAdds(convGeometry(site) as ConvGeometry) / 12 / threads + 500;
  },
  lower(site, { target, threads }) {
    const g = convGeometry(site) as ConvGeometry;
    const [x, , bias] = site.anchor.inputs as [Value, Value, Value | undefined];
    const lanes = target.vectorBytes / 4;
    const name = `conv_f32_dw${g.kernelHeight}x${g.kernelWidth}_c${g.channels}_${g.outHeight}x${g.outWidth}`;
    const kernel = new GroupKernel(name, site);
    const { k } = kernel;
    const xBuffer = kernel.input(x);
    const taps = g.kernelHeight * g.kernelWidth;
    const weights = kernel.packed("w", site.anchor.inputs[1] as Value, tapPacker, { channels: g.channels, taps });
    const biases = bias === undefined ? undefined : kernel.input(bias);
    emitWindows({
      kernel,
      x: xBuffer,
      window: g,
      lanes,
      threads,
      rank: x.type.shape.length,
      work: {
        start: 0,
        combine: (acc, value, tap, channel, mask) =>
          k.fma(value, k.load(weights, k.add(k.mul(tap, g.channels), channel), { lanes, mask }), acc),
        finish: (acc, _rows, _taps, channel, mask): KValue =>
          biases === undefined ? acc : k.add(acc, k.load(biases, channel, { lanes, mask })),
      },
    });
    return [kernel.launch({ decision: name, flops: dimMul(g.n, 2 * convMultiplyAdds(g)) })];
  },
};

type TapArgs = { readonly channels: number; readonly taps: number };

/** [channel][tap] -> [tap][channel]. */
export const tapPacker: Packer<TapArgs> = { name: "taps", pack: channelsLast };

function channelsLast(data: ConstantData, { channels, taps }: TapArgs): ConstantData {
  const source = floatsOf(data);
  const packed = new Float32Array(source.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let tap = 0; tap < taps; tap++) packed[tap * channels + channel] = source[channel * taps + tap] as number;
  }
  return { dtype: "f32", shape: [taps, channels], bytes: new Uint8Array(packed.buffer) };
}
