import { type Attrs, type Value, GraphBuilder, Tensor, randomNumbers, referenceDevice, siteOf } from "@quern/core";
import { describe, expect, test } from "vitest";
import { difference } from "../record-cases.ts";
import { machine, machineTargets } from "../machine-trial.ts";
import { TRIAL_TARGETS, interpreted, trial } from "../site-trial.ts";
import { viewCopy } from "./view-copy.ts";

const SEED = 20267;

type Step = readonly [op: string, attrs: Attrs];

/** A group with a chain of views, as fusion makes it. */
function chainGraph(shape: readonly number[], steps: readonly Step[]): ReturnType<GraphBuilder["build"]> {
  const body = new GraphBuilder();
  let inner: Value = body.input("x0", "f32", shape);
  for (const [op, attrs] of steps) inner = body.apply(op, [inner], attrs)[0] as Value;
  body.output("y", inner);
  const builder = new GraphBuilder();
  const x = builder.input("x", "f32", shape);
  builder.output("y", builder.apply("group", [x], { body: body.build("chain") })[0] as Value);
  return builder.build("views");
}

const CHAINS: readonly { name: string; shape: readonly number[]; steps: readonly Step[]; refused?: true }[] = [
  {
    name: "channel shuffle, channels last",
    shape: [1, 5, 4, 24],
    steps: [
      ["transpose", { perm: [0, 3, 1, 2] }],
      ["reshape", { shape: [12, 2, 20] }],
      ["transpose", { perm: [1, 0, 2] }],
      ["reshape", { shape: [2, 1, 12, 5, 4] }],
    ],
  },
  {
    name: "half of a shuffle",
    shape: [2, 1, 24, 5, 7],
    steps: [
      ["slice", { starts: [1, 0, 0, 0, 0], sizes: [1, 1, 24, 5, 7], steps: [1, 1, 1, 1, 1] }],
      ["reshape", { shape: [1, 24, 5, 7] }],
      ["transpose", { perm: [0, 2, 3, 1] }],
    ],
  },
  {
    name: "depth to space",
    shape: [1, 4, 5, 36],
    steps: [
      ["reshape", { shape: [1, 4, 5, 3, 3, 4] }],
      ["transpose", { perm: [0, 1, 3, 2, 4, 5] }],
      ["reshape", { shape: [1, 12, 15, 4] }],
    ],
  },
  {
    name: "split heads",
    shape: [2, 9, 48],
    steps: [
      ["reshape", { shape: [2, 9, 4, 12] }],
      ["transpose", { perm: [0, 2, 1, 3] }],
    ],
  },
  {
    name: "rows repeated and split",
    shape: [3, 1, 16],
    steps: [
      ["expand", { shape: [3, 5, 16] }],
      ["reshape", { shape: [3, 5, 4, 4] }],
      ["transpose", { perm: [2, 0, 1, 3] }],
    ],
  },
  {
    name: "a reshape across a transpose",
    shape: [6, 5],
    steps: [
      ["transpose", { perm: [1, 0] }],
      ["reshape", { shape: [3, 10] }],
      ["transpose", { perm: [1, 0] }],
    ],
    refused: true,
  },
  {
    name: "every other column",
    shape: [6, 8],
    steps: [["slice", { starts: [0, 0], sizes: [6, 4], steps: [1, 2] }]],
    refused: true,
  },
];

describe.each([
  ["interpreter", TRIAL_TARGETS, interpreted(SEED)],
  ["machine code", machineTargets(), machine()],
] as const)("%s, seed 20267", (_name, targets, execute) => {
  test.each(CHAINS)("$name", ({ shape, steps, refused }) => {
    const graph = chainGraph(shape, steps);
    const random = randomNumbers(SEED);
    const x = Tensor.from("f32", Array.from({ length: shape.reduce((n, dim) => n * dim, 1) }, random), shape);
    const expected = referenceDevice().compile(graph).runSync({ x });
    for (const target of targets) {
      const result = trial(graph, { x }, viewCopy, { target, threads: 2, precision: "highest" }, execute);
      expect(difference(result.outputs["y"] as Tensor, expected["y"] as Tensor, { rtol: 0, atol: 0 })).toBeUndefined();
      expect(result.used, result.refusals.join()).toBe(refused === true ? 0 : 1);
    }
  });
});

test("reasons name what is no view", () => {
  const builder = new GraphBuilder();
  const x = builder.input("x", "f32", [4, 6]);
  const [narrow] = builder.apply("slice", [x], { starts: [0, 0], sizes: [4, 3], steps: [1, 2] });
  const environment = {
    target: TRIAL_TARGETS[0] as (typeof TRIAL_TARGETS)[number],
    threads: 1,
    precision: "highest",
  } as const;
  expect(viewCopy.when(siteOf((narrow as Value).node), environment)).toBe("no axis is contiguous in the source");
});
