/**
 * lstm, gru and rnn in f32: the input projection of all steps as one blocked matrix product, then the recurrence with
 * weights interleaved by gate. A single step (streaming) is one launch without a projection.
 */

import { GroupKernel, type KernelSite, type Launch, type Temporary, dimMul } from "@quern/core";
import { chooseBlocking, emitGemmTask } from "../gemm/microkernel.ts";
import { copyRun } from "../movement/runs.ts";
import type { TileShape } from "../gemm/tile-shape.ts";
import type { CpuKernel, KernelEnvironment } from "../kernel.ts";
import { packGates } from "./packing.ts";
import { type RecurrentProblem, projectedRows, recurrentProblem, unitVectors } from "./problem.ts";
import { emitSequence, emitSingleStep } from "./sequence.ts";
import { unitContext } from "./unit.ts";

/** Size that stands for a symbol in cost estimates. */
const TYPICAL = 64;
/** Recurrent weights of one direction, in elements, above which threads share them step by step. */
const SHARED_WEIGHTS = 256 << 10;
/** More steps than this are never unrolled into launches. */
const MAX_STEP_LAUNCHES = 1024;

export const recurrentF32: CpuKernel = {
  name: "recurrent_f32",
  ops: ["lstm", "gru", "rnn"],
  epilogue: false,
  when(site) {
    const p = recurrentProblem(site);
    return typeof p === "string" ? p : true;
  },
  cost(site, { threads }) {
    const p = recurrentProblem(site) as RecurrentProblem;
    const rows = typical(p.steps) * typical(p.batch) * p.directions;
    return (rows * p.gates * p.hidden * (p.inputSize + p.hidden)) / 20 / threads + 500;
  },
  lower,
};

function typical(size: number | object): number {
  return typeof size === "number" ? size : TYPICAL;
}

function lower(site: KernelSite, environment: KernelEnvironment): readonly Launch[] {
  const p = recurrentProblem(site) as RecurrentProblem;
  const lanes = environment.target.vectorBytes / 4;
  const sizes = { directions: p.directions, gates: p.gates, hidden: p.hidden, lanes };
  const recurrent = packGates(site, "r", 2, { ...sizes, depth: p.hidden });
  const weights = packGates(site, "w", 1, { ...sizes, depth: p.inputSize });
  const name = `${p.cell}_f32_i${p.inputSize}h${p.hidden}${p.directions === 2 ? "x2" : ""}`;
  const rows = rowsPerTask(p, environment);
  const launches: Launch[] = [...recurrent.launches, ...weights.launches];
  const twoPhases = p.cell === "gru" && !p.linearBeforeReset;
  if (p.steps === 1 && !twoPhases) {
    const kernel = new GroupKernel(`${name}_step`, site);
    const input = { x: kernel.input(p.x), weights: weights.bind(kernel) };
    emitSingleStep(unitContext(kernel, p, lanes, recurrent.bind(kernel), input), rows, true);
    return [...launches, kernel.launch({ decision: `${name}_step`, flops: dimMul(p.batch, flopsPerRow(p)) })];
  }
  const projected: Temporary = { name: "gates", dtype: "f32", size: dimMul(projectedRows(p), rowElements(p, lanes)) };
  launches.push(projection(site, p, projected, weights.bind, environment));
  if (stepwise(p, environment) && !twoPhases) {
    for (let step = 0; step < (p.steps as number); step++) {
      const kernel = new GroupKernel(`${name}_${step === 0 ? "first" : "next"}`, site);
      const input = { projected: kernel.temporary(projected, "read") };
      emitSingleStep(unitContext(kernel, p, lanes, recurrent.bind(kernel), input), rows, step === 0);
      launches.push(kernel.launch({ decision: `${name} step by step`, ...(step === 0 ? {} : { scalars: { step } }) }));
    }
    return launches;
  }
  const kernel = new GroupKernel(`${name}_sequence`, site);
  const input = { projected: kernel.temporary(projected, "read") };
  emitSequence(unitContext(kernel, p, lanes, recurrent.bind(kernel), input), rows);
  launches.push(kernel.launch({ decision: `${name} in one launch` }));
  return launches;
}

/** Multiplications and additions for one row of one step. */
function flopsPerRow(p: RecurrentProblem): number {
  return 2 * p.directions * p.gates * p.hidden * (p.inputSize + p.hidden);
}

function rowElements(p: RecurrentProblem, lanes: number): number {
  return p.directions * unitVectors(p, lanes) * p.gates * lanes;
}

/** Threads share a step where the recurrent weights are too large for one cache and the steps are known. */
function stepwise(p: RecurrentProblem, { threads }: KernelEnvironment): boolean {
  const weights = p.gates * p.hidden * p.hidden;
  return (
    threads > p.directions &&
    weights > SHARED_WEIGHTS &&
    typeof p.steps === "number" &&
    p.steps > 0 &&
    p.steps <= MAX_STEP_LAUNCHES
  );
}

/** Batch rows that share every load of weights: as many as their accumulators fit the registers. */
function rowsPerTask(p: RecurrentProblem, { target }: KernelEnvironment): number {
  const accumulators = p.cell === "gru" ? 4 : p.gates;
  const most = Math.max(1, Math.floor((target.vectorRegisters - p.gates - 1) / accumulators));
  const limit = Math.min(most, 8);
  if (typeof p.batch !== "number") return Math.min(limit, 4);
  const blocks = Math.max(1, Math.ceil(p.batch / limit));
  return Math.max(1, Math.ceil(p.batch / blocks));
}

/** gates[row] = X[row] · W, all steps and directions at once. */
function projection(
  site: KernelSite,
  p: RecurrentProblem,
  gates: Temporary,
  bind: ReturnType<typeof packGates>["bind"],
  environment: KernelEnvironment,
): Launch {
  const { target, threads } = environment;
  const lanes = target.vectorBytes / 4;
  const registers = target.vectorRegisters - p.gates - 1;
  const rows = Math.max(1, Math.min(16, Math.floor(registers / p.gates), typical(p.steps) * typical(p.batch)));
  const tile: TileShape = { rows, vectors: p.gates, lanes, columns: p.gates * lanes };
  const m = projectedRows(p);
  const n = rowElements(p, lanes);
  const blocking = chooseBlocking(tile, typical(m), n, p.inputSize, threads);
  const kernel = new GroupKernel(`${p.cell}_f32_projection_i${p.inputSize}n${n}`, site);
  const { k } = kernel;
  const x = kernel.input(p.x);
  const panels = bind(kernel);
  const to = kernel.temporary(gates, p.inputSize > blocking.kBlock ? "readwrite" : "write");
  const at = (row: Parameters<typeof k.mul>[0], column: Parameters<typeof k.add>[1]): ReturnType<typeof k.add> =>
    k.add(k.mul(row, n), column);
  const rowTasks = k.div(k.add(k.index(m), tile.rows * blocking.rowTiles - 1), tile.rows * blocking.rowTiles);
  k.parallel(rowTasks, (rowTask) =>
    k.parallel(Math.ceil(n / tile.columns / blocking.panels), (panelTask) => {
      emitGemmTask(
        k,
        {
          m,
          n,
          k: p.inputSize,
          panels,
          panelsAt: k.index(0),
          copyRow: (kb, row, kStart, count, scratch, scratchAt) =>
            copyRun(
              kb,
              { from: x, fromAt: kb.add(kb.mul(row, p.inputSize), kStart), to: scratch, toAt: scratchAt, count },
              lanes,
            ),
          partial: (row, column) => ({ buffer: to, index: at(row, column) }),
          store: (row, column, value, mask) => k.store(to, at(row, column), value, { mask }),
        },
        blocking,
        rowTask,
        panelTask,
      );
    }),
  );
  return kernel.launch({ decision: "input projection of all steps", flops: dimMul(m, 2 * n * p.inputSize) });
}
