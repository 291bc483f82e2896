/**
 * How the operands of a launch are found in a site: as data, so that one kernel serves every site of its signature, and
 * may be kept on disk beside its code.
 */

import type { DimBindings } from "../dim.ts";
import { invariant } from "../errors.ts";
import type { ConstantData, Node, Value } from "../graph/graph.ts";
import type { Kernel } from "../kernel/ir.ts";
import { constantOf } from "../passes/fold-constants.ts";
import { type LaunchPlan, type Operand, type Temporary, valueOperand } from "./launch.ts";
import type { KernelSite } from "./site.ts";

/** Arguments of a packer, as JSON can hold them. */
export type PackingArgs = Readonly<Record<string, number | boolean | string>>;

/** Lays constant weights out anew for a kernel, when a program is made. The name identifies it among those of a device. */
export interface Packer<Args extends PackingArgs = PackingArgs> {
  readonly name: string;
  pack(data: ConstantData, args: Args): ConstantData;
  /** For large weights: the same layout made by a kernel, straight into the device's memory when a program is placed. */
  readonly onDevice?: DevicePacking<Args>;
}

/** Packing as a kernel. Buffers that it reads see the stored bytes, those it writes the result, which begins as zeros. */
export interface DevicePacking<Args extends PackingArgs = PackingArgs> {
  /** Bytes of the result. */
  byteLength(data: ConstantData, args: Args): number;
  /** One kernel for all matrices with these arguments; sizes are symbols. Vectors have at most `vectorBytes`. */
  kernel(args: Args, vectorBytes: number): Kernel;
  symbols(data: ConstantData, args: Args): DimBindings;
}

/** Weights in a kernel's layout that are not made yet. */
export interface PackedConstant {
  readonly packer: Packer;
  readonly data: ConstantData;
  readonly args: PackingArgs;
}

/** Equal for equal packings of the same data. */
export function packingKey({ packer, args }: Omit<PackedConstant, "data">): string {
  return `${packer.name}${JSON.stringify(args)}`;
}

/** A constant of a site: an operand, or a node of the body. */
export type ConstantSource =
  | { readonly kind: "operand"; readonly at: number }
  | { readonly kind: "body"; readonly node: number };

export type OperandRecipe =
  | ConstantSource
  | { readonly kind: "output"; readonly at: number }
  | { readonly kind: "temporary"; readonly temporary: Temporary }
  /** Small data that the signature determines. */
  | { readonly kind: "table"; readonly data: ConstantData }
  | { readonly kind: "packed"; readonly packer: Packer; readonly source: ConstantSource; readonly args: PackingArgs };

/** Pairs the temporaries of the site that a launch was made for with those of another one. */
export type TemporaryPairs = ReadonlyMap<Temporary, Temporary>;

/** A launch without its site. */
export type LaunchRecipe = Omit<LaunchPlan, "operands" | "nodes">;

/** The launch for `site`, which has the signature that the recipe was made for. */
export function launchFor<T extends LaunchRecipe>(
  recipe: T,
  site: KernelSite,
  temporaries?: TemporaryPairs,
): T & Pick<LaunchPlan, "operands" | "nodes"> {
  return {
    ...recipe,
    nodes: computedNodes(site),
    operands: recipe.recipes.map((one) => operandFor(one, site, temporaries)),
  };
}

function operandFor(recipe: OperandRecipe, site: KernelSite, temporaries?: TemporaryPairs): Operand {
  switch (recipe.kind) {
    case "operand":
      return valueOperand(site.operands[recipe.at] as Value);
    case "body":
      return { kind: "constant", data: sourceData(site, recipe) };
    case "output":
      return valueOperand(site.node.outputs[recipe.at] as Value);
    case "temporary":
      return { kind: "temporary", temporary: temporaries?.get(recipe.temporary) ?? recipe.temporary };
    case "table":
      return { kind: "constant", data: recipe.data };
    case "packed": {
      const { packer, args } = recipe;
      const data = sourceData(site, recipe.source);
      if (packer.onDevice !== undefined) return { kind: "packed", packed: { packer, data, args } };
      return { kind: "constant", data: packData(packer, data, args) };
    }
  }
}

function sourceData(site: KernelSite, source: ConstantSource): ConstantData {
  const value = source.kind === "operand" ? site.operands[source.at] : site.body.nodes[source.node]?.outputs[0];
  const data = value && constantOf(value);
  invariant(data !== undefined, () => `${site.body.name}: ${source.kind} ${JSON.stringify(source)} is no constant`);
  return data;
}

/** Where a constant value of the body stands. */
export function sourceOf(site: KernelSite, value: Value): ConstantSource {
  const at = site.body.inputs.findIndex((input) => input.value === value);
  if (at >= 0) return { kind: "operand", at };
  return { kind: "body", node: site.body.nodes.indexOf(value.node) };
}

/**
 * What was packed and is still in use: launches of a site, and layers that share weights, share the packed ones too. A
 * graph that outlives its programs keeps none of it.
 */
const known = new WeakMap<Uint8Array, Map<string, WeakRef<ConstantData>>>();

export function packData(packer: Packer, data: ConstantData, args: PackingArgs): ConstantData {
  let versions = known.get(data.bytes);
  if (versions === undefined) known.set(data.bytes, (versions = new Map()));
  const key = packingKey({ packer, args });
  let result = versions.get(key)?.deref();
  if (result === undefined) {
    result = packer.pack(data, args);
    versions.set(key, new WeakRef(result));
  }
  return result;
}

/** Graph nodes that a site computes, for reports. */
export function computedNodes(site: KernelSite): Node[] {
  return site.body.nodes.filter((node) => node.op !== "input" && node.op !== "constant");
}
