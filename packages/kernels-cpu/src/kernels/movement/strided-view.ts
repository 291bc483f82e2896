/**
 * Chains of reshapes, transposes, slices and expansions as one strided view: element (i0, i1, …) of the result is
 * element offset + Σ i · stride of the source.
 *
 * Reshapes of a strided view need no copy only where they merge axes that follow each other in memory, or split axes;
 * other chains have no strided view.
 */

import { type Dim, type KernelSite, type Node, type Value, dimAdd, dimMul, sameDim } from "@quern/core";
import { sizeOf } from "./runs.ts";

export interface StridedAxis {
  readonly size: Dim;
  readonly stride: Dim;
}

export interface StridedView {
  readonly source: Value;
  readonly offset: Dim;
  /** Axes of the result. */
  readonly axes: readonly StridedAxis[];
}

/** The view that a body computes, with as few axes as possible; or why it is none. */
export function stridedView({ body }: KernelSite): StridedView | string {
  const [source, ...others] = body.inputs;
  if (source === undefined || others.length > 0) return "more than one input";
  let view: StridedView = { source: source.value, offset: 0, axes: rowMajor(source.value.type.shape) };
  let current: Value = source.value;
  const chain = body.nodes.filter(({ op }) => op !== "input");
  const lastMove = chain.findLastIndex(({ op }) => op !== "reshape");
  for (const [at, node] of chain.entries()) {
    if (node.inputs[0] !== current || node.inputs.length !== 1) return "more than a chain of views";
    // Reshapes at the end give the elements other names, but no other order.
    const next = at > lastMove ? view : apply(view, node);
    if (typeof next === "string") return next;
    view = next;
    current = node.outputs[0] as Value;
  }
  return { ...view, axes: merged(view.axes) };
}

function rowMajor(shape: readonly Dim[]): StridedAxis[] {
  return shape.map((size, axis) => ({ size, stride: sizeOf(shape.slice(axis + 1)) }));
}

function apply(view: StridedView, node: Node): StridedView | string {
  const { attrs } = node;
  const { shape } = (node.outputs[0] as Value).type;
  const axis = (at: number): StridedAxis => view.axes[at] as StridedAxis;
  switch (node.op) {
    case "transpose":
      return { ...view, axes: (attrs["perm"] as readonly number[]).map(axis) };
    case "slice": {
      const [starts, steps] = [attrs["starts"] as readonly Dim[], attrs["steps"] as readonly number[]];
      const offset = starts.reduce<Dim>((sum, start, at) => dimAdd(sum, dimMul(start, axis(at).stride)), view.offset);
      return {
        ...view,
        offset,
        axes: shape.map((size, at) => ({ size, stride: dimMul(axis(at).stride, steps[at] as number) })),
      };
    }
    case "expand": {
      const added = shape.length - view.axes.length;
      return {
        ...view,
        axes: shape.map((size, at) =>
          at < added || axis(at - added).size === 1 ? { size, stride: 0 } : axis(at - added),
        ),
      };
    }
    case "reshape": {
      const axes = reshaped(view.axes, shape);
      return axes === undefined ? "a reshape that moves elements" : { ...view, axes };
    }
    default:
      return `${node.op} is no strided view`;
  }
}

/** Drops axes of size one, and joins neighbours that are one run of steps. */
function merged(axes: readonly StridedAxis[]): StridedAxis[] {
  const result: StridedAxis[] = [];
  for (const axis of axes) {
    if (axis.size === 1) continue;
    const last = result.at(-1);
    if (last !== undefined && sameDim(last.stride, dimMul(axis.size, axis.stride))) {
      result[result.length - 1] = { size: dimMul(last.size, axis.size), stride: axis.stride };
    } else result.push(axis);
  }
  return result;
}

/** The axes of `shape` over the same elements in the same order, where every one of them is part of a joined axis. */
function reshaped(axes: readonly StridedAxis[], shape: readonly Dim[]): StridedAxis[] | undefined {
  const joined = merged(axes);
  const result: StridedAxis[] = [];
  let at = 0;
  for (const { size, stride } of joined) {
    const parts: Dim[] = [];
    while (!sameDim(sizeOf(parts), size)) {
      if (at >= shape.length) return undefined;
      parts.push(shape[at++] as Dim);
    }
    parts.forEach((part, i) => result.push({ size: part, stride: dimMul(stride, sizeOf(parts.slice(i + 1))) }));
  }
  for (; at < shape.length; at++) {
    if (shape[at] !== 1) return undefined;
    result.push({ size: 1, stride: 0 });
  }
  return result;
}
