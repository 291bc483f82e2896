/**
 * `attention` on the paged cache: one launch appends the tokens of the step, one attends, and one merges where threads
 * share the pages of a token. Two kernels: in f32, and with several tokens on the matrix unit.
 */

import type { KernelSite, Launch, MatmulPrecision } from "@quern/core";
import { matrixUnit } from "../amx/unit.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { appendLaunch } from "./append.ts";
import { attendLaunch } from "./attend.ts";
import { problemOf } from "./layout.ts";
import { mergeLaunch, partsFor } from "./parts.ts";
import { UNIT_QUANTUM } from "./unit.ts";

/** Longest head whose tiles are worth unrolling. */
const MAX_HEAD = 1024;

function tooLong(site: KernelSite): string | undefined {
  const { head } = problemOf(site);
  return head <= MAX_HEAD ? undefined : `heads of ${head}`;
}

function lower(site: KernelSite, { target, threads }: KernelEnvironment, unit: boolean): readonly Launch[] {
  const parts = partsFor(site, threads);
  const precision: MatmulPrecision = unit ? "medium" : "highest";
  const launches = [appendLaunch(site, target), attendLaunch(site, { target, parts, unit })];
  return parts === undefined ? launches : [...launches, mergeLaunch(site, parts, precision)];
}

// How far back the tokens look is known only when a step runs: the costs are an order of preference.

export const attentionF32: CpuKernel = {
  name: "attention",
  ops: ["attention"],
  epilogue: false,
  when: (site) => tooLong(site) ?? true,
  cost: () => 2000,
  lower: (site, environment) => lower(site, environment, false),
};

export const attentionAmx: CpuKernel = {
  name: "attention_amx",
  ops: ["attention"],
  epilogue: false,
  unit: "matrix",
  when(site, environment) {
    const unit = matrixUnit(environment);
    if (unit !== true) return unit;
    if (environment.precision !== "medium") return `precision "${environment.precision}" wants more than bf16`;
    const { pageSize } = problemOf(site);
    if (pageSize % UNIT_QUANTUM !== 0) return `pages of ${pageSize} tokens are no whole tiles`;
    return tooLong(site) ?? true;
  },
  cost: () => 1000,
  lower: (site, environment) => lower(site, environment, true),
};
