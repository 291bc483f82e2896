/**
 * pad with elements of the input (reflect, edge, wrap), where nothing is computed with it: along the last padded axis
 * the input is one run, and the elements around it are runs whose places are known when the kernel is made.
 */

import {
  type Dim,
  GroupKernel,
  type KernelSite,
  type KValue,
  type Launch,
  type Node,
  type Value,
  findOp,
} from "@quern/core";
import type { CpuKernel } from "../kernel.ts";
import { dot, overShape, stridesOf } from "../indexing/positions.ts";
import { copyRun, lanesOf, movedAs, sizeOf } from "./runs.ts";

/** Runs around the input that become straight code. */
const MAX_EDGE_RUNS = 128;
const TYPICAL = 64;

interface Padding {
  readonly node: Node;
  readonly mode: string;
  /** The last padded axis, its size, and the runs before and after it. */
  readonly axis: number;
  readonly size: number;
  readonly before: number;
  readonly after: number;
}

/** The padding of a body that has nothing but it and reshapes behind it; or why not. */
function paddingOf({ body }: KernelSite): Padding | string {
  const [node, ...rest] = body.nodes.filter(({ op }) => op !== "input");
  if (node?.op !== "pad" || rest.some(({ op }) => op !== "reshape")) return "more than a pad";
  const mode = (node.attrs["mode"] as string | undefined) ?? "constant";
  if (mode === "constant") return "a constant value";
  const [before, after] = [node.attrs["before"] as readonly Dim[], node.attrs["after"] as readonly Dim[]];
  const { shape } = (node.inputs[0] as Value).type;
  const axis = shape.findLastIndex((_, at) => before[at] !== 0 || after[at] !== 0);
  const [size, low, high] = [shape[axis], before[axis], after[axis]];
  if (typeof size !== "number" || typeof low !== "number" || typeof high !== "number")
    return "the last padded axis has a symbolic size";
  if (size === 0 || low + high > MAX_EDGE_RUNS) return size === 0 ? "an empty axis" : "wide padding";
  return { node, mode, axis, size, before: low, after: high };
}

/** Which element of an axis is shown at place `at` outside of it. */
function sourceOf({ mode, size }: Padding, at: number): number {
  if (mode === "edge") return at < 0 ? 0 : size - 1;
  if (mode === "wrap") return ((at % size) + size) % size;
  const period = Math.max(2 * (size - 1), 1);
  const rest = Math.abs(at) % period;
  return size === 1 ? 0 : Math.min(rest, period - rest);
}

export const padCopy: CpuKernel = {
  name: "pad",
  ops: ["pad", "reshape"],
  epilogue: false,
  when(site) {
    const padding = paddingOf(site);
    return typeof padding === "string" ? padding : true;
  },
  cost(site, { threads }) {
    const size = sizeOf((site.anchor.outputs[0] as Value).type.shape);
    return (typeof size === "number" ? size : TYPICAL * TYPICAL) / 4 / threads + 200;
  },
  lower(site, { target }): readonly Launch[] {
    const padding = paddingOf(site) as Padding;
    const { node, axis, size, before, after } = padding;
    const [x, y] = [(node.inputs[0] as Value).type, (node.outputs[0] as Value).type];
    const kernel = new GroupKernel(`pad_${padding.mode}_${x.dtype}`, site);
    const { k } = kernel;
    const moved = movedAs(x.dtype);
    const [from, to] = [kernel.input(node.inputs[0] as Value, moved), kernel.output(0, "write", moved)];
    const inner = sizeOf(x.shape.slice(axis + 1));
    const lanes = lanesOf(target, x.dtype);
    const [fromStrides, toStrides] = [stridesOf(x.shape), stridesOf(y.shape)];
    const copy = (row: KValue, source: number, toRow: KValue, place: number, entries: number): void =>
      copyRun(
        k,
        {
          from,
          fromAt: k.add(row, k.mul(k.index(inner), source)),
          to,
          toAt: k.add(toRow, k.mul(k.index(inner), place)),
          count: typeof inner === "number" ? inner * entries : k.mul(k.index(inner), entries),
        },
        lanes,
      );
    overShape(k, y.shape.slice(0, axis), (outer) => {
      // The record knows where the rows of the other padded axes come from.
      const rest = y.shape.slice(axis).map(() => k.index(0));
      const mapped =
        findOp("pad")
          .view?.map(k, [...outer, ...rest], x, y, node.attrs)
          .index.slice(0, axis) ?? [];
      const row = dot(k, mapped, fromStrides);
      const toRow = dot(k, outer, toStrides);
      copy(row, 0, toRow, before, size);
      for (let i = 0; i < before; i++) copy(row, sourceOf(padding, i - before), toRow, i, 1);
      for (let i = 0; i < after; i++) copy(row, sourceOf(padding, size + i), toRow, before + size + i, 1);
    });
    return [kernel.launch({ decision: kernel.k.name })];
  },
};
