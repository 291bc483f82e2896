/**
 * The work on one vector of hidden units in one time step, for all batch rows of a task: products, bias, cell.
 *
 * The input part of the gates comes from the projection of all steps, or is computed here from X where there is a
 * single step. Who calls says where the previous state is and takes the next one.
 */

import type { Buffer, GroupKernel, KernelBuilder, KValue } from "@quern/core";
import {
  type Chains,
  addProducts,
  chainCount,
  gruBlend,
  gruReset,
  lstmCell,
  newChains,
  rnnCell,
  total,
} from "./cell.ts";
import { Places, type RecurrentProblem, unitVectors } from "./problem.ts";

/** Buffers and constants of a recurrent kernel. */
export interface UnitContext {
  readonly kernel: GroupKernel;
  readonly k: KernelBuilder;
  readonly p: RecurrentProblem;
  readonly places: Places;
  readonly lanes: number;
  /** Vectors of hidden units. */
  readonly vectors: number;
  readonly recurrent: Buffer;
  /** Projection [row][direction][vector][gate][lane], or X with its packed weights. */
  readonly input: { readonly projected: Buffer } | { readonly x: Buffer; readonly weights: Buffer };
  readonly bias: Buffer | undefined;
  readonly peephole: Buffer | undefined;
}

export interface BatchRow {
  readonly batch: KValue;
  /** Absent where the row always exists. A row that does not exist repeats the last one and stores nothing. */
  readonly exists: KValue | undefined;
}

export interface UnitPlace {
  readonly direction: KValue;
  readonly vector: KValue;
  readonly time: KValue;
  readonly rows: readonly BatchRow[];
  /** Memory of the previous h and its first unit for each row; absent where it is zero. */
  readonly h: { readonly buffer: Buffer; readonly rows: readonly KValue[] } | undefined;
}

/** The vector of a context's place in the previous state of a row. */
export type StateOf = (row: number) => KValue;

/** Batch rows of a task: `count` from block · count on. */
export function batchRows(k: KernelBuilder, p: RecurrentProblem, block: KValue, count: number): BatchRow[] {
  const exact = typeof p.batch === "number" && p.batch % count === 0;
  return Array.from({ length: count }, (_, r) => {
    const batch = k.add(k.mul(block, count), r);
    if (exact || r === 0) return { batch, exists: undefined };
    return { batch: k.min(batch, k.sub(k.index(p.batch), 1)), exists: k.lt(batch, k.index(p.batch)) };
  });
}

/** Mask of the units that exist; `undefined` where all do. */
export function unitMask({ k, p, lanes }: UnitContext, vector: KValue): KValue | undefined {
  if (p.hidden % lanes === 0) return undefined;
  return k.lt(k.iota(k.mul(vector, lanes), lanes), k.broadcast(k.index(p.hidden), lanes));
}

/** Runs `emit` where the row exists. */
export function whereExists(k: KernelBuilder, row: BatchRow, emit: () => void): void {
  if (row.exists === undefined) emit();
  else k.if(row.exists, emit);
}

/** Zeros, as the state before the first step where none is given. */
export function zeros({ k, lanes }: UnitContext): KValue {
  return k.broadcast(k.const("f32", 0), lanes);
}

/** Gate sums of the input and the biases: one vector per row and gate. Gate `splitAt` gets no recurrent bias. */
function startOfGates(
  c: UnitContext,
  place: UnitPlace,
  splitAt: number,
): { starts: (KValue | 0)[][]; split: KValue | 0 } {
  const { k, p, lanes } = c;
  const mask = unitMask(c, place.vector);
  const biasAt = (gate: number, recurrent: boolean): KValue => {
    const gates = k.mul(place.direction, 2 * p.gates * p.hidden);
    return k.load(
      c.bias as Buffer,
      k.add(k.add(gates, ((recurrent ? p.gates : 0) + gate) * p.hidden), k.mul(place.vector, lanes)),
      { lanes, mask },
    );
  };
  const gates = Array.from({ length: p.gates }, (_, gate) => gate);
  const biases = gates.map((gate) => {
    if (c.bias === undefined) return undefined;
    return gate === splitAt ? biasAt(gate, false) : k.add(biasAt(gate, false), biasAt(gate, true));
  });
  const split = c.bias === undefined || splitAt < 0 ? 0 : biasAt(splitAt, true);
  const { input } = c;
  if (!("projected" in input)) return { starts: place.rows.map(() => biases.map((bias) => bias ?? 0)), split };
  const panel = k.mul(k.add(k.mul(place.direction, c.vectors), place.vector), p.gates * lanes);
  const rowSize = p.directions * c.vectors * p.gates * lanes;
  const starts = place.rows.map(({ batch }) => {
    const first = k.add(k.mul(c.places.row(place.time, batch), rowSize), panel);
    return gates.map((gate) => {
      const sum = k.load(input.projected, k.add(first, gate * lanes), { lanes });
      const bias = biases[gate];
      return bias === undefined ? sum : k.add(sum, bias);
    });
  });
  return { starts, split };
}

function chainsOf(c: UnitContext, starts: readonly (readonly (KValue | 0)[])[]): Chains[][] {
  const count = chainCount(starts.length * (starts[0]?.length ?? 1));
  return starts.map((row, r) => row.map((start, gate) => newChains(c.k, `g${r}_${gate}`, c.lanes, count, start)));
}

function addInput(c: UnitContext, place: UnitPlace, into: readonly (readonly (Chains | undefined)[])[]): void {
  const { k, p, input, lanes } = c;
  if ("projected" in input) return;
  const rows = place.rows.map(({ batch }) => k.mul(c.places.row(place.time, batch), p.inputSize));
  const panel = k.mul(k.add(k.mul(place.direction, c.vectors), place.vector), p.inputSize * p.gates * lanes);
  addProducts(k, { into, depth: p.inputSize, a: input.x, rows, weights: input.weights, panel, lanes });
}

function addRecurrent(
  c: UnitContext,
  place: UnitPlace,
  h: UnitPlace["h"],
  into: readonly (readonly (Chains | undefined)[])[],
): void {
  if (h === undefined) return;
  const { k, p, lanes } = c;
  const panel = k.mul(k.add(k.mul(place.direction, c.vectors), place.vector), p.hidden * p.gates * lanes);
  addProducts(k, { into, depth: p.hidden, a: h.buffer, rows: h.rows, weights: c.recurrent, panel, lanes });
}

/** One vector of units of lstm, rnn, or gru with the reset behind the product. `take` gets h (and c) of each row. */
export function emitUnit(
  c: UnitContext,
  place: UnitPlace,
  previous: { readonly h: StateOf; readonly c: StateOf },
  take: (row: number, h: KValue, c: KValue | undefined) => void,
): void {
  const { k, p } = c;
  const splitAt = p.cell === "gru" ? 2 : -1;
  const { starts, split } = startOfGates(c, place, splitAt);
  const chains = chainsOf(c, starts);
  addInput(c, place, chains);
  // The candidate of gru keeps its recurrent part apart: the reset gate multiplies it alone.
  const count = chains[0]?.[0]?.length ?? 1;
  const candidates = splitAt < 0 ? [] : chains.map((_, r) => newChains(k, `n${r}`, c.lanes, count, split));
  addRecurrent(c, place, place.h, splitAt < 0 ? chains : chains.map((row, r) => [row[0], row[1], candidates[r]]));
  const peephole = peepholeOf(c, place);
  chains.forEach((row, r) => {
    const gates = row.map((gate) => total(k, gate));
    if (p.cell === "lstm") {
      const state = lstmCell(k, p, gates, previous.c(r), peephole);
      take(r, state.h, state.c);
    } else if (p.cell === "rnn") {
      take(r, rnnCell(k, p, gates[0] as KValue), undefined);
    } else {
      const [z, reset, fresh] = gates as [KValue, KValue, KValue];
      const candidate = k.fma(gruReset(k, p, reset), total(k, candidates[r] as Chains), fresh);
      take(r, gruBlend(k, p, z, candidate, previous.h(r)), undefined);
    }
  });
}

function peepholeOf(c: UnitContext, { direction, vector }: UnitPlace): KValue[] | undefined {
  const { k, p, peephole, lanes } = c;
  if (peephole === undefined) return undefined;
  const mask = unitMask(c, vector);
  const first = k.add(k.mul(direction, 3 * p.hidden), k.mul(vector, lanes));
  return [0, 1, 2].map((gate) => k.load(peephole, k.add(first, gate * p.hidden), { lanes, mask }));
}

/** First half of gru with the reset before the product: gates before activation; `take` gets z and the active reset. */
export function emitGruGates(
  c: UnitContext,
  place: UnitPlace,
  take: (row: number, z: KValue, reset: KValue) => void,
): void {
  const { k, p } = c;
  const { starts } = startOfGates(c, place, -1);
  const chains = chainsOf(
    c,
    starts.map((row) => row.slice(0, 2)),
  );
  const into = chains.map((row) => [row[0], row[1], undefined]);
  addInput(c, place, into);
  addRecurrent(c, place, place.h, into);
  chains.forEach(([z, reset], r) => take(r, total(k, z as Chains), gruReset(k, p, total(k, reset as Chains))));
}

/** Second half: the candidate from reset · h (at `place.h`), blended with h by z. */
export function emitGruCandidate(
  c: UnitContext,
  place: UnitPlace,
  previous: { readonly h: StateOf; readonly z: StateOf },
  take: (row: number, h: KValue) => void,
): void {
  const { k, p } = c;
  const { starts } = startOfGates(c, place, -1);
  const chains = chainsOf(
    c,
    starts.map((row) => row.slice(2)),
  );
  const into = chains.map((row) => [undefined, undefined, row[0]]);
  addInput(c, place, into);
  addRecurrent(c, place, place.h, into);
  chains.forEach(([fresh], r) => take(r, gruBlend(k, p, previous.z(r), total(k, fresh as Chains), previous.h(r))));
}

/** A context with the buffers that every recurrent kernel reads. */
export function unitContext(
  kernel: GroupKernel,
  p: RecurrentProblem,
  lanes: number,
  recurrent: Buffer,
  input: UnitContext["input"],
): UnitContext {
  return {
    kernel,
    k: kernel.k,
    p,
    lanes,
    recurrent,
    input,
    places: new Places(kernel.k, p),
    vectors: unitVectors(p, lanes),
    bias: p.bias && kernel.input(p.bias),
    peephole: p.peephole && kernel.input(p.peephole),
  };
}
