/**
 * One step of a recurrent cell for a vector of hidden units: accumulators of the gates, bias, activations, new state.
 *
 * Sums along k: gates · rows accumulators, each in several chains where there are too few to hide the latency of the
 * multiply-adds.
 */

import { type Buffer, type KernelBuilder, type KValue, type Local, kernelMath, vectorType } from "@quern/core";
import type { RecurrentProblem } from "./problem.ts";

/** Independent chains of multiply-adds that keep both units busy. */
const CHAINS = 8;

/** Accumulators of one gate of one batch row; their sum is the value. */
export type Chains = readonly Local[];

export function newChains(k: KernelBuilder, name: string, lanes: number, count: number, start: KValue | 0): Chains {
  return Array.from({ length: count }, (_, i) =>
    k.local(`${name}_${i}`, vectorType("f32", lanes), i === 0 ? start : 0),
  );
}

/** Chains per accumulator where `accumulators` of them run side by side. */
export function chainCount(accumulators: number): number {
  return Math.max(1, Math.ceil(CHAINS / accumulators));
}

export function total(k: KernelBuilder, chains: Chains): KValue {
  return chains.map((chain) => k.read(chain)).reduce((sum, part) => k.add(sum, part));
}

export interface Products {
  /** `[row][gate]`; gates that are absent are skipped. */
  readonly into: readonly (readonly (Chains | undefined)[])[];
  readonly depth: number;
  readonly a: Buffer;
  /** First element of each row of `a`. */
  readonly rows: readonly KValue[];
  /** Packed weights and the element offset of the panel. */
  readonly weights: Buffer;
  readonly panel: KValue;
  readonly lanes: number;
}

/** into[row][gate] += a[row] · weights[gate]. */
export function addProducts(k: KernelBuilder, { into, depth, a, rows, weights, panel, lanes }: Products): void {
  const gates = into[0]?.length ?? 0;
  const chains = into[0]?.find((chain) => chain !== undefined)?.length ?? 1;
  const step = (at: KValue, chain: number): void => {
    const base = k.add(panel, k.mul(at, gates * lanes));
    const columns = Array.from({ length: gates }, (_, gate) =>
      into[0]?.[gate] === undefined ? undefined : k.load(weights, k.add(base, gate * lanes), { lanes }),
    );
    into.forEach((row, r) => {
      const element = k.broadcast(k.load(a, k.add(rows[r] as KValue, at)), lanes);
      row.forEach((sums, gate) => {
        const sum = sums?.[chain];
        if (sum !== undefined) k.assign(sum, k.fma(element, columns[gate] as KValue, k.read(sum)));
      });
    });
  };
  const unroll = chains === 1 ? 2 : chains;
  const whole = depth - (depth % unroll);
  if (whole > 0) {
    k.for({ end: whole, step: unroll }, (at) => {
      for (let i = 0; i < unroll; i++) step(k.add(at, i), i % chains);
    });
  }
  for (let at = whole; at < depth; at++) step(k.index(at), (at - whole) % chains);
}

function activate(k: KernelBuilder, p: RecurrentProblem, which: number, x: KValue, clipped = true): KValue {
  const { clip } = p;
  const y = clipped && clip !== undefined ? k.max(k.min(x, clip), -clip) : x;
  switch (p.activations[which]) {
    case "sigmoid":
      return kernelMath.sigmoid(k, y);
    case "tanh":
      return kernelMath.tanh(k, y);
    default:
      return k.max(y, 0);
  }
}

export interface LstmState {
  readonly h: KValue;
  readonly c: KValue;
}

/** Gates i, o, f, c before activation; `peephole` gives the weights of i, o, f where there are any. */
export function lstmCell(
  k: KernelBuilder,
  p: RecurrentProblem,
  gates: readonly KValue[],
  c: KValue,
  peephole?: readonly KValue[],
): LstmState {
  const [i, o, f, g] = gates as [KValue, KValue, KValue, KValue];
  const seen = (gate: KValue, at: number, state: KValue): KValue =>
    peephole === undefined ? gate : k.fma(peephole[at] as KValue, state, gate);
  const input = activate(k, p, 0, seen(i, 0, c));
  const forget = p.inputForget
    ? k.sub(k.broadcast(k.const("f32", 1), input.type.lanes), input)
    : activate(k, p, 0, seen(f, 2, c));
  const candidate = activate(k, p, 1, g);
  const next = k.fma(forget, c, k.mul(input, candidate));
  const output = activate(k, p, 0, seen(o, 1, next));
  return { c: next, h: k.mul(output, activate(k, p, 2, next, false)) };
}

/** Gates z and the candidate before activation. */
export function gruBlend(k: KernelBuilder, p: RecurrentProblem, z: KValue, candidate: KValue, h: KValue): KValue {
  const update = activate(k, p, 0, z);
  const fresh = activate(k, p, 1, candidate);
  // (1 - z) · fresh + z · h
  return k.fma(update, k.sub(h, fresh), fresh);
}

/** The reset gate. */
export function gruReset(k: KernelBuilder, p: RecurrentProblem, r: KValue): KValue {
  return activate(k, p, 0, r);
}

export function rnnCell(k: KernelBuilder, p: RecurrentProblem, gate: KValue): KValue {
  return activate(k, p, 0, gate);
}
