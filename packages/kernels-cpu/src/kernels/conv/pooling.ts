/**
 * Max and average pooling in f32, channels-last.
 */

import { GroupKernel, type KernelSite, type Value, kernelMath } from "@quern/core";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { type Window, windowOf } from "./geometry.ts";
import { type WindowWork, emitWindows } from "./windows.ts";

function poolWindow(site: KernelSite): Window | string {
  const x = site.anchor.inputs[0] as Value;
  if (x.type.dtype !== "f32") return x.type.dtype;
  return windowOf(site, site.anchor.attrs["kernel"] as readonly number[]);
}

function poolCost(site: KernelSite, { threads }: KernelEnvironment): number {
  const g = poolWindow(site) as Window;
  return (g.outHeight * g.outWidth * g.channels * g.kernelHeight * g.kernelWidth) / 12 / threads + 500;
}

function lowerPool(
  site: KernelSite,
  { target, threads }: KernelEnvironment,
  work: (kernel: GroupKernel, g: Window) => WindowWork,
): ReturnType<CpuKernel["lower"]> {
  const g = poolWindow(site) as Window;
  const name = `${site.anchor.op}_f32_${g.kernelHeight}x${g.kernelWidth}_c${g.channels}_${g.outHeight}x${g.outWidth}`;
  const kernel = new GroupKernel(name, site);
  const x = site.anchor.inputs[0] as Value;
  emitWindows({
    kernel,
    x: kernel.input(x),
    window: g,
    lanes: target.vectorBytes / 4,
    threads,
    rank: x.type.shape.length,
    work: work(kernel, g),
  });
  return [kernel.launch({ decision: name })];
}

export const maxPoolF32: CpuKernel = {
  name: "maxPool_f32",
  ops: ["maxPool"],
  when: (site) => {
    const g = poolWindow(site);
    return typeof g === "string" ? g : true;
  },
  cost: poolCost,
  lower: (site, environment) =>
    lowerPool(site, environment, ({ k }) => ({
      start: -Infinity,
      combine: (acc, x) => kernelMath.ieeeMax(k, acc, x),
      finish: (acc) => acc,
    })),
};

export const averagePoolF32: CpuKernel = {
  name: "averagePool_f32",
  ops: ["averagePool"],
  when: (site) => {
    const g = poolWindow(site);
    if (typeof g === "string") return g;
    const { ceilMode, countIncludePad } = site.anchor.attrs;
    return ceilMode === true && countIncludePad === true ? "ceil mode with counted padding" : true;
  },
  cost: poolCost,
  lower: (site, environment) =>
    lowerPool(site, environment, ({ k }, g) => ({
      start: 0,
      combine: (acc, x) => k.add(acc, x),
      finish: (acc, tapRows, tapsPerRow) => {
        if (site.anchor.attrs["countIncludePad"] === true) return k.mul(acc, 1 / (g.kernelHeight * g.kernelWidth));
        return k.div(acc, k.cast(k.mul(tapRows, tapsPerRow), "f32"));
      },
    })),
};
