/**
 * Gate weights in the order the kernels read them: [direction][vector of units][k][gate][lane].
 *
 * A step along k then is one contiguous stretch which holds all gates of a vector of hidden units, so that they finish
 * together and the cell update stays in registers. Units beyond the last are zeros. The panels have the form of packed
 * matrices with gates · lanes columns, so the input projection is an ordinary blocked product.
 */

import {
  type Buffer,
  type ConstantData,
  GroupKernel,
  type KernelSite,
  type Launch,
  type Packer,
  type Temporary,
  type Value,
  siteConstant,
} from "@quern/core";
import { floatsOf } from "../gemm/pack.ts";

export type GateSizes = {
  readonly directions: number;
  readonly gates: number;
  readonly hidden: number;
  /** Columns of the weights: input or hidden size. */
  readonly depth: number;
  readonly lanes: number;
};

export interface PackedGates {
  /** Declares the packed weights in a kernel. */
  bind(kernel: GroupKernel): Buffer;
  /** Launches that pack them at run time; none where the weights are constant. */
  readonly launches: readonly Launch[];
}

/** Packs input `at` of the anchor, [directions, gates · hidden, depth], at compile time where it is known. */
export function packGates(site: KernelSite, name: string, at: number, sizes: GateSizes): PackedGates {
  const weights = site.anchor.inputs[at] as Value;
  if (siteConstant(site, weights) !== undefined)
    return { bind: (kernel) => kernel.packed(name, weights, gatePacker, sizes), launches: [] };
  const { directions, gates, hidden, depth, lanes } = sizes;
  const temporary: Temporary = {
    name,
    dtype: "f32",
    size: directions * Math.ceil(hidden / lanes) * depth * gates * lanes,
  };
  return {
    bind: (kernel) => kernel.temporary(temporary, "read"),
    launches: [packLaunch(site, weights, temporary, sizes)],
  };
}

export const gatePacker: Packer<GateSizes> = { name: "gates", pack: packConstant };

function packConstant(data: ConstantData, { directions, gates, hidden, depth, lanes }: GateSizes): ConstantData {
  const source = floatsOf(data);
  const vectors = Math.ceil(hidden / lanes);
  const packed = new Float32Array(directions * vectors * depth * gates * lanes);
  for (let direction = 0; direction < directions; direction++) {
    for (let gate = 0; gate < gates; gate++) {
      for (let unit = 0; unit < hidden; unit++) {
        const from = ((direction * gates + gate) * hidden + unit) * depth;
        const to =
          (direction * vectors + Math.floor(unit / lanes)) * depth * gates * lanes + gate * lanes + (unit % lanes);
        for (let i = 0; i < depth; i++) packed[to + i * gates * lanes] = source[from + i] as number;
      }
    }
  }
  return { dtype: "f32", shape: [directions, vectors, depth, gates, lanes], bytes: new Uint8Array(packed.buffer) };
}

function packLaunch(
  site: KernelSite,
  weights: Value,
  packed: Temporary,
  { directions, gates, hidden, depth, lanes }: GateSizes,
): Launch {
  const kernel = new GroupKernel(`pack_gates_g${gates}h${hidden}k${depth}`, site);
  const { k } = kernel;
  const from = kernel.input(weights);
  const to = kernel.temporary(packed, "write");
  const vectors = Math.ceil(hidden / lanes);
  k.parallel(directions, (direction) =>
    k.parallel(vectors, (vector) => {
      const unit = k.mul(vector, lanes);
      const units = k.iota(unit, lanes);
      const mask = hidden % lanes === 0 ? undefined : k.lt(units, k.broadcast(k.index(hidden), lanes));
      const panel = k.mul(k.add(k.mul(direction, vectors), vector), depth * gates * lanes);
      k.for({ end: depth }, (i) => {
        for (let gate = 0; gate < gates; gate++) {
          const first = k.add(k.mul(k.add(k.mul(direction, gates), gate), hidden * depth), i);
          const value = k.load(from, k.add(k.mul(units, depth), k.broadcast(first, lanes)), { lanes, mask });
          k.store(to, k.add(panel, k.add(k.mul(i, gates * lanes), gate * lanes)), value);
        }
      });
    }),
  );
  return kernel.launch({ decision: "pack the gate weights" });
}
