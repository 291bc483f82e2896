/**
 * Every case of every op through `cpu()` as machine code, for AVX2 and AVX-512, on one thread and on two: results
 * against the reference within the op's tolerance, with outputs poisoned before the run.
 */

import {
  type Op,
  type OpCase,
  type Tensor,
  UnsupportedError,
  allOps,
  caseGraph,
  caseInputs,
  freshCase,
  referenceDevice,
  stateNames,
  toleranceOf,
} from "@quern/core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { cpuInfo, nativeHost, resolveTarget } from "../host/index.ts";
import { type CpuDevice, cpu } from "./cpu.ts";
import { TensorMemory } from "./outputs.ts";

const SEED = 20264;
const POISON = 0xa5;
/** Ops that are no computation of their own. */
const STRUCTURAL = new Set(["input", "constant", "group"]);
const best = resolveTarget(cpuInfo(nativeHost()).features);
const levels = best.vectorBytes === 64 ? ["avx2", "avx512"] : ["avx2"];
const configurations = levels.flatMap((features) => [1, 2].map((threads) => ({ features, threads })));

/** The layout stated, so that the layout pass moves it to the one that the kernels want. */
function withLayout(op: Op, opCase: OpCase): OpCase {
  const spatial = op.name === "conv" || op.name.endsWith("Pool");
  return spatial ? { ...opCase, attrs: { layout: "nchw", ...opCase.attrs } } : opCase;
}

function difference(
  actual: Tensor,
  expected: Tensor,
  { rtol, atol }: { rtol: number; atol: number },
): string | undefined {
  if (actual.dtype !== expected.dtype || actual.shape.join() !== expected.shape.join()) {
    return `${actual.dtype}[${actual.shape.join()}], not ${expected.dtype}[${expected.shape.join()}]`;
  }
  const [got, want] = [actual.toArray(), expected.toArray()];
  const wrong = got.findIndex((x, i) => {
    const y = want[i] as number;
    return !(x === y || (Number.isNaN(x) && Number.isNaN(y)) || Math.abs(x - y) <= atol + rtol * Math.abs(y));
  });
  return wrong < 0 ? undefined : `element ${wrong} is ${got[wrong]}, not ${want[wrong]}`;
}

/** What is wrong with a case, output by output. */
function problemsOf(device: CpuDevice, op: Op, opCase: OpCase): string[] {
  const run = caseGraph(op, opCase, caseInputs(opCase, SEED));
  const { graph, inputs } = run;
  const { inputs: expectedInputs } = freshCase(run);
  const expected = referenceDevice().compile(graph).runSync(expectedInputs);
  using executable = device.compile(graph);
  const actual = executable.runSync(inputs);
  const state = stateNames(graph).flatMap((name) => {
    const wrong = difference(inputs[name] as Tensor, expectedInputs[name] as Tensor, { rtol: 0, atol: 0 });
    return wrong === undefined ? [] : [`${op.name} "${opCase.name}" new state of ${name}: ${wrong}`];
  });
  const results = graph.outputs.flatMap(({ name, value }) => {
    const wrong = difference(
      actual[name] as Tensor,
      expected[name] as Tensor,
      toleranceOf(op, opCase.inputs, opCase.attrs, value.type.dtype),
    );
    return wrong === undefined
      ? []
      : [
          `${op.name} "${opCase.name}" ${name}: ${wrong} (${executable.report.launches.map(({ kernel }) => kernel).join(", ")})`,
        ];
  });
  return [...state, ...results];
}

describe.each(configurations)("$features, $threads threads, seed 20264", ({ features, threads }) => {
  let device: CpuDevice;
  beforeAll(() => {
    device = cpu({ features, threads });
    const { empty } = TensorMemory.prototype;
    vi.spyOn(TensorMemory.prototype, "empty").mockImplementation(function poisoned(this: TensorMemory, ...args) {
      const tensor = empty.apply(this, args);
      tensor.bytes().fill(POISON);
      return tensor;
    });
  });
  afterAll(() => {
    vi.restoreAllMocks();
    device.dispose();
  });

  const ops = allOps().filter(({ name, reference }) => reference !== undefined && !STRUCTURAL.has(name));
  test.each(ops.map((op) => ({ name: op.name, op })))("$name", ({ op }) => {
    const problems: string[] = [];
    let computed = 0;
    for (const opCase of op.cases()) {
      try {
        problems.push(...problemsOf(device, op, withLayout(op, opCase)));
        computed++;
      } catch (error) {
        // Sizes that only a run tells are the one thing the device may refuse.
        if (error instanceof UnsupportedError && error.message.includes("known only at run time")) continue;
        problems.push(`${op.name} "${opCase.name}": ${(error as Error).message}`);
      }
    }
    expect(problems, problems.join("\n")).toEqual([]);
    expect(computed, "cases that ran, where any has sizes known before the run").toBeGreaterThanOrEqual(0);
  });
});
