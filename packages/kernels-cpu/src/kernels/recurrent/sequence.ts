/**
 * Recurrent kernels over time: all steps in one launch (a task per direction and block of batch rows), or a launch per
 * step (a task per vector of hidden units, so that threads share the recurrent weights).
 *
 * One launch needs no barrier between steps, and is best while the weights of a direction fit the second-level cache.
 * Beyond that the launch per step pays: each thread then keeps its share of the weights in its own cache.
 */

import { type Buffer, type Dim, type KValue, dimCeilDiv } from "@quern/core";
import type { RecurrentProblem } from "./problem.ts";
import {
  type BatchRow,
  type StateOf,
  type UnitContext,
  type UnitPlace,
  batchRows,
  emitGruCandidate,
  emitGruGates,
  emitUnit,
  unitMask,
  whereExists,
  zeros,
} from "./unit.ts";

export function batchBlocks({ batch }: RecurrentProblem, rows: number): Dim {
  return dimCeilDiv(batch, rows);
}

/** All steps: state lives in scratch, two copies of h by turns. */
export function emitSequence(c: UnitContext, rowCount: number): void {
  const { k, p, kernel, vectors, lanes } = c;
  const y = kernel.output(0);
  const width = vectors * lanes;
  const initialH = p.initialH && kernel.input(p.initialH);
  const initialC = p.initialC && kernel.input(p.initialC);
  k.parallel(p.directions, (direction) =>
    k.parallel(batchBlocks(p, rowCount), (block) => {
      const rows = batchRows(k, p, block, rowCount);
      const state = scratchState(c, rowCount);
      k.for({ end: vectors }, (vector) =>
        rows.forEach((row, r) => {
          const at = k.add(r * width, k.mul(vector, lanes));
          k.store(state.h, at, initialState(c, initialH, direction, vector, row));
          if (p.cell === "lstm") k.store(state.c, at, initialState(c, initialC, direction, vector, row));
        }),
      );
      k.for({ end: p.steps }, (step) => {
        const time = c.places.time(step, direction);
        const current = k.mul(k.rem(step, 2), rowCount * width);
        const next = k.sub(rowCount * width, current);
        emitStep(c, { direction, time, rows }, state, current, next, (row, vector, h) => {
          const { batch } = row;
          const at = k.add(c.places.result(time, direction, batch), k.mul(vector, lanes));
          whereExists(k, row, () => k.store(y, at, h, { mask: unitMask(c, vector) }));
        });
      });
      const last = k.mul(k.rem(k.index(p.steps), 2), rowCount * width);
      finishSequence(c, direction, rows, state, last);
    }),
  );
}

interface ScratchState {
  readonly h: Buffer;
  readonly c: Buffer;
  readonly z: Buffer;
  readonly resetH: Buffer;
}

/** Only what a cell touches becomes memory of the kernel. */
function scratchState({ k, p, vectors, lanes }: UnitContext, rows: number): ScratchState {
  const size = rows * vectors * lanes;
  const h = k.scratch("h", "f32", 2 * size);
  const c = p.cell === "lstm" ? k.scratch("c", "f32", size) : h;
  const split = p.cell === "gru" && !p.linearBeforeReset;
  return { h, c, z: split ? k.scratch("z", "f32", size) : h, resetH: split ? k.scratch("resetH", "f32", size) : h };
}

function initialState(
  c: UnitContext,
  from: Buffer | undefined,
  direction: KValue,
  vector: KValue,
  { batch }: BatchRow,
): KValue {
  const { k, lanes } = c;
  if (from === undefined) return zeros(c);
  return k.load(from, k.add(c.places.state(direction, batch), k.mul(vector, lanes)), {
    lanes,
    mask: unitMask(c, vector),
  });
}

function emitStep(
  c: UnitContext,
  at: Pick<UnitPlace, "direction" | "time" | "rows">,
  state: ScratchState,
  current: KValue,
  next: KValue,
  result: (row: BatchRow, vector: KValue, h: KValue) => void,
): void {
  const { k, p, vectors, lanes } = c;
  const width = vectors * lanes;
  const rowStarts = (first: KValue | number): KValue[] => at.rows.map((_, r) => k.add(k.index(r * width), first));
  const vectorIn =
    (buffer: Buffer, first: KValue | number, vector: KValue): StateOf =>
    (r) =>
      k.load(buffer, k.add(k.add(k.mul(vector, lanes), r * width), first), { lanes });
  const keep = (buffer: Buffer, first: KValue | number, vector: KValue, r: number, value: KValue): void =>
    k.store(buffer, k.add(k.add(k.mul(vector, lanes), r * width), first), value);
  const place = (vector: KValue, buffer: Buffer, first: KValue | number): UnitPlace => ({
    ...at,
    vector,
    h: { buffer, rows: rowStarts(first) },
  });
  if (p.cell === "gru" && !p.linearBeforeReset) {
    k.for({ end: vectors }, (vector) =>
      emitGruGates(c, place(vector, state.h, current), (r, z, reset) => {
        keep(state.z, 0, vector, r, z);
        keep(state.resetH, 0, vector, r, k.mul(reset, vectorIn(state.h, current, vector)(r)));
      }),
    );
    k.for({ end: vectors }, (vector) => {
      const previous = { h: vectorIn(state.h, current, vector), z: vectorIn(state.z, 0, vector) };
      emitGruCandidate(c, place(vector, state.resetH, 0), previous, (r, h) => {
        keep(state.h, next, vector, r, h);
        result(at.rows[r] as BatchRow, vector, h);
      });
    });
    return;
  }
  k.for({ end: vectors }, (vector) => {
    const previous = { h: vectorIn(state.h, current, vector), c: vectorIn(state.c, 0, vector) };
    emitUnit(c, place(vector, state.h, current), previous, (r, h, cell) => {
      keep(state.h, next, vector, r, h);
      if (cell !== undefined) keep(state.c, 0, vector, r, cell);
      result(at.rows[r] as BatchRow, vector, h);
    });
  });
}

function finishSequence(
  c: UnitContext,
  direction: KValue,
  rows: readonly BatchRow[],
  state: ScratchState,
  last: KValue,
): void {
  const { k, p, kernel, vectors, lanes } = c;
  k.for({ end: vectors }, (vector) =>
    rows.forEach((row, r) => {
      const from = k.add(k.mul(vector, lanes), r * vectors * lanes);
      const to = k.add(c.places.state(direction, row.batch), k.mul(vector, lanes));
      const mask = unitMask(c, vector);
      const h = k.load(state.h, k.add(from, last), { lanes });
      const cell = p.cell === "lstm" ? k.load(state.c, from, { lanes }) : undefined;
      whereExists(k, row, () => {
        k.store(kernel.output(1), to, h, { mask });
        if (cell !== undefined) k.store(kernel.output(2), to, cell, { mask });
      });
    }),
  );
}

/** One step; all but the first take the step as the scalar parameter `step`, and the state from the results so far. */
export function emitSingleStep(c: UnitContext, rowCount: number, first: boolean): void {
  const { k, p, kernel, vectors, lanes } = c;
  const step = first ? k.index(0) : k.scalar("step", "index");
  const y = kernel.output(0, first ? "write" : "readwrite");
  const lastH = kernel.output(1);
  const lastC = p.cell === "lstm" ? kernel.output(2, first ? "write" : "readwrite") : undefined;
  const initialH = first && p.initialH !== undefined ? kernel.input(p.initialH) : undefined;
  const initialC = first && p.initialC !== undefined ? kernel.input(p.initialC) : undefined;
  k.parallel(p.directions, (direction) =>
    k.parallel(vectors, (vector) =>
      k.parallel(batchBlocks(p, rowCount), (block) => {
        const rows = batchRows(k, p, block, rowCount);
        const unit = k.mul(vector, lanes);
        const mask = unitMask(c, vector);
        const time = c.places.time(step, direction);
        const before = first ? undefined : c.places.time(k.sub(step, 1), direction);
        const source = previousH(c, direction, before, rows, first ? initialH : y);
        const stateAt = (r: number): KValue => k.add(c.places.state(direction, (rows[r] as BatchRow).batch), unit);
        const previous = {
          h: (r: number): KValue =>
            source === undefined
              ? zeros(c)
              : k.load(source.buffer, k.add(source.rows[r] as KValue, unit), { lanes, mask }),
          c: (r: number): KValue => {
            const from = first ? initialC : lastC;
            return from === undefined ? zeros(c) : k.load(from, stateAt(r), { lanes, mask });
          },
        };
        emitUnit(c, { direction, vector, time, rows, h: source }, previous, (r, h, cell) => {
          const row = rows[r] as BatchRow;
          whereExists(k, row, () => {
            k.store(y, k.add(c.places.result(time, direction, row.batch), unit), h, { mask });
            k.store(lastH, stateAt(r), h, { mask });
            if (cell !== undefined && lastC !== undefined) k.store(lastC, stateAt(r), cell, { mask });
          });
        });
      }),
    ),
  );
}

function previousH(
  c: UnitContext,
  direction: KValue,
  before: KValue | undefined,
  rows: readonly BatchRow[],
  from: Buffer | undefined,
): UnitPlace["h"] {
  if (from === undefined) return undefined;
  const starts = rows.map(({ batch }) =>
    before === undefined ? c.places.state(direction, batch) : c.places.result(before, direction, batch),
  );
  return { buffer: from, rows: starts };
}
