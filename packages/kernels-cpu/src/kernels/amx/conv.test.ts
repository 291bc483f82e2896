/**
 * Convolutions on the matrix unit: error against float64 sums on the kernel interpreter, on the simulated processor, and
 * on the processor at hand where it has AVX-512 with bf16.
 */

import {
  type Dim,
  type Graph,
  type MatmulPrecision,
  type Value,
  GraphBuilder,
  Tensor,
  randomNumbers,
  referenceDevice,
} from "@quern/core";
import { describe, expect, test } from "vitest";
import { AMX } from "../../select/index.ts";
import { runnableTargets } from "../../select/kernel-trial.ts";
import { machine } from "../machine-trial.ts";
import { SIMULATED_AMX, simulated } from "../simulated-trial.ts";
import { type Execute, interpreted, trial } from "../site-trial.ts";
import { ERROR_LIMIT, type ErrorOf, relativeError } from "./accuracy.ts";
import { PRECISIONS } from "./amx-trial.ts";
import { convAmx } from "./conv.ts";

const SEED = 20272;

interface ConvCase {
  readonly name: string;
  /** Images, height, width, channels. */
  readonly x: readonly [number, number, number, number];
  /** Channels out and the size of the window. */
  readonly w: readonly [number, number, number];
  readonly strides?: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
  readonly dilations?: readonly [number, number];
  /** A scale per image and channel behind the bias. */
  readonly scale?: boolean;
  readonly threads?: number;
}

const CASES: readonly ConvCase[] = [
  { name: "3x3", x: [1, 6, 20, 32], w: [32, 3, 3], pads: [1, 1, 1, 1] },
  { name: "narrow image, merged rows", x: [1, 7, 7, 40], w: [33, 3, 3], pads: [1, 1, 1, 1], scale: true },
  { name: "few channels, stride 2", x: [1, 15, 17, 3], w: [20, 7, 7], strides: [2, 2], pads: [3, 3, 3, 3] },
  { name: "padded channels", x: [2, 5, 18, 24], w: [16, 3, 3], strides: [1, 2], pads: [1, 0, 1, 2] },
  { name: "no padding", x: [1, 6, 21, 32], w: [40, 2, 3] },
  { name: "dilated along columns", x: [1, 9, 18, 32], w: [8, 3, 1], dilations: [2, 1], pads: [2, 0, 2, 0] },
  { name: "1x1", x: [2, 5, 9, 99], w: [33, 1, 1], scale: true },
  { name: "1x1, stride 2", x: [1, 6, 9, 33], w: [17, 1, 1], strides: [2, 2] },
  { name: "several tasks", x: [1, 12, 20, 16], w: [70, 3, 3], pads: [1, 1, 1, 1], threads: 2 },
];

function build(one: ConvCase, whole: boolean): { graph: Graph; inputs: Record<string, Tensor> } {
  const random = randomNumbers(SEED);
  const tensor = (shape: readonly number[]): Tensor =>
    Tensor.from(
      "f32",
      Array.from({ length: shape.reduce((n, dim) => n * dim, 1) }, () =>
        whole ? Math.floor(random() * 9) - 4 : random() * 2 - 1,
      ),
      shape,
    );
  const builder = new GraphBuilder();
  const constant = (shape: readonly number[]): Value =>
    builder.constant({ dtype: "f32", shape, bytes: tensor(shape).bytes() });
  const [outChannels, ...kernel] = one.w;
  const x = tensor(one.x);
  const pads = one.pads ?? [0, 0, 0, 0];
  const attrs = {
    layout: "nhwc",
    strides: one.strides ?? [1, 1],
    dilations: one.dilations ?? [1, 1],
    padsBefore: pads.slice(0, 2),
    padsAfter: pads.slice(2),
  };
  let [y] = builder.apply(
    "conv",
    [
      builder.input("x", "f32", one.x as readonly Dim[]),
      constant([outChannels, one.x[3], ...kernel]),
      constant([outChannels]),
    ],
    attrs,
  ) as [Value];
  if (one.scale === true) {
    const scale: Value = whole
      ? constant([one.x[0], 1, 1, outChannels])
      : builder.constant({
          dtype: "f32",
          shape: [one.x[0], 1, 1, outChannels],
          bytes: Tensor.from("f32", new Array(one.x[0] * outChannels).fill(0.75), [
            one.x[0],
            1,
            1,
            outChannels,
          ]).bytes(),
        });
    [y] = builder.apply("mul", [y, scale]) as [Value];
  }
  builder.output("y", y);
  return { graph: builder.build(one.name), inputs: { x } };
}

function errorOf(one: ConvCase, precision: MatmulPrecision, execute: Execute, whole: boolean): ErrorOf {
  const { graph, inputs } = build(one, whole);
  const expected = referenceDevice().compile(graph).runSync(inputs);
  const result = trial(
    graph,
    inputs,
    convAmx,
    { target: SIMULATED_AMX, threads: one.threads ?? 1, precision },
    execute,
  );
  expect(result.used, result.refusals.join()).toBe(1);
  return relativeError(result.outputs["y"] as Tensor, expected["y"] as Tensor);
}

const executions: readonly (readonly [string, Execute])[] = [
  ["interpreter", interpreted(SEED)],
  ["simulator", simulated()],
  ...(runnableTargets().includes(AMX) ? [["processor", machine()] as const] : []),
];

describe.each(
  PRECISIONS.flatMap((precision) => executions.map(([where, execute]) => [where, precision, execute] as const)),
)("%s, %s", (_where, precision, execute) => {
  test.each(CASES.map((one) => [one.name, one] as const))("%s", (_name, one) => {
    const error = errorOf(one, precision, execute, false);
    expect(error.rms, `rms error, seed ${SEED}`).toBeLessThan(ERROR_LIMIT[precision].rms);
    expect(error.max, `largest error, seed ${SEED}`).toBeLessThan(ERROR_LIMIT[precision].max);
    expect(errorOf(one, precision, execute, true), `small integers are exact, seed ${SEED}`).toEqual({
      rms: 0,
      max: 0,
    });
  });
});
