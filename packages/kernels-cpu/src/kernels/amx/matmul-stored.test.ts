/**
 * Products on the matrix unit with weights as they are stored: decoded to tiles on the kernel interpreter, as machine code
 * on the simulated processor, and on the processor at hand where it has AVX-512 with bf16.
 */

import {
  type Graph,
  type MatmulPrecision,
  type Value,
  GraphBuilder,
  Tensor,
  randomNumbers,
  referenceDevice,
  symbol,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { AMX } from "../../select/index.ts";
import { runnableTargets } from "../../select/kernel-trial.ts";
import { BLOCK_FORMATS, formatOf } from "../blocks/formats.ts";
import { randomBlocks } from "../blocks/random-blocks.test-support.ts";
import { machine } from "../machine-trial.ts";
import { SIMULATED_AMX, simulated } from "../simulated-trial.ts";
import { type Execute, interpreted, trial } from "../site-trial.ts";
import { ERROR_LIMIT, type ErrorOf, relativeError } from "./accuracy.ts";
import { matmulBlocksAmx, matmulFloatsAmx } from "./matmul-stored.ts";

const SEED = 30271;

const executions: readonly (readonly [string, Execute])[] = [
  ["interpreter", interpreted(SEED)],
  ["simulator", simulated()],
  ...(runnableTargets().includes(AMX) ? [["processor", machine()] as const] : []),
];

interface Case {
  readonly encoding: string;
  /** Of the matrix; "n" is known at run time. */
  readonly rows: number | "n";
  readonly columns: number;
  readonly depth: number;
  readonly precision: MatmulPrecision;
}

function build({ encoding, rows, columns, depth }: Case): Graph {
  const b = new GraphBuilder();
  const random = randomNumbers(SEED);
  const x = b.input("x", "f32", [rows === "n" ? symbol("n") : rows, depth]);
  const weights = b.constant(randomBlocks(encoding, columns, depth, random));
  const [y] = b.apply("matmul", [x, weights], { transposeB: true }) as [Value];
  b.output("y", b.apply("abs", [y])[0] as Value);
  return b.build("product");
}

function errorOf(one: Case, rows: number, execute: Execute): ErrorOf {
  const graph = build(one);
  const random = randomNumbers(SEED + rows);
  const x = Tensor.from(
    "f32",
    Float32Array.from({ length: rows * one.depth }, () => random() * 2 - 1),
    [rows, one.depth],
  );
  const expected = referenceDevice().compile(graph).runSync({ x });
  const record = formatOf(one.encoding) === undefined ? matmulFloatsAmx : matmulBlocksAmx;
  const environment = { target: SIMULATED_AMX, threads: 2, precision: one.precision };
  const result = trial(graph, { x }, record, environment, execute, one.rows === "n" ? { n: rows } : {});
  expect(result.used, result.refusals.join()).toBe(1);
  return relativeError(result.outputs["y"] as Tensor, expected["y"] as Tensor);
}

/** What is wrong with the result, if anything. */
function problem(one: Case, rows: number, execute: Execute): string | undefined {
  const error = errorOf(one, rows, execute);
  const inBlocks = formatOf(one.encoding) !== undefined;
  // Random blocks have weights of very different sizes, and so larger single errors; bytes of few rows are coarser.
  const { rms, max } = ERROR_LIMIT[one.precision];
  const limit = !inBlocks ? { rms, max } : rows <= 8 ? { rms: 8e-3, max: 4e-2 } : { rms, max: 2 * max };
  if (error.rms < limit.rms && error.max < limit.max) return undefined;
  return `${rows} rows, seed ${SEED}: errors ${error.rms} and ${error.max}, up to ${limit.rms} and ${limit.max} are expected`;
}

describe.each(executions)("%s", (_where, execute) => {
  test.each(BLOCK_FORMATS.map(({ name, blockWeights }) => [name, blockWeights] as const))("%s", (encoding, weights) => {
    expect(
      problem({ encoding, rows: 33, columns: 52, depth: Math.max(96, weights), precision: "medium" }, 33, execute),
    ).toBeUndefined();
  });

  test.each(["F16", "BF16", "F32"])("%s", (encoding) => {
    for (const precision of ["medium", "high"] as const)
      expect(problem({ encoding, rows: 33, columns: 52, depth: 71, precision }, 33, execute)).toBeUndefined();
  });

  test("rows known at run time", () => {
    for (const rows of [1, 8, 9, 40])
      expect(
        problem({ encoding: "Q4_K", rows: "n", columns: 20, depth: 256, precision: "medium" }, rows, execute),
      ).toBeUndefined();
    for (const rows of [2, 20])
      expect(
        problem({ encoding: "F16", rows: "n", columns: 20, depth: 40, precision: "high" }, rows, execute),
      ).toBeUndefined();
  });
});

test.each(executions.filter(([name]) => name !== "simulator"))(
  "sums wait in the result between slabs, %s",
  (_where, execute) => {
    // 512 rows of 1536 weights are more than half of the second-level cache.
    const one: Case = { encoding: "Q4_0", rows: "n", columns: 16, depth: 1536, precision: "medium" };
    expect(problem(one, 35, execute)).toBeUndefined();
  },
);
