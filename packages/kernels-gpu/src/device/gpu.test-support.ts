/**
 * What the device tests share: opening a device or skipping with the reason, comparing results, running op cases.
 */

import {
  type Device,
  type Graph,
  type Op,
  type OpCase,
  type Tensor,
  type Tensors,
  UnsupportedError,
  caseGraph,
  caseInputs,
  referenceDevice,
  toleranceOf,
} from "@quern/core";
import { gpu } from "./gpu.ts";
import type { GpuOptions } from "./options.ts";

/** A device, or why there is none. */
export type Opened = { readonly device: Device } | { readonly reason: string };

/** `required`: the value of `QUERN_REQUIRE_GPU`, with which a missing device is a failure. */
export async function openForTests(required: string | undefined, options: GpuOptions = {}): Promise<Opened> {
  try {
    return { device: await gpu(options) };
  } catch (error) {
    if (!(error instanceof UnsupportedError) || (required !== undefined && required !== "0")) throw error;
    return { reason: error.message };
  }
}

/** The first difference beyond the tolerance. */
export function difference(
  actual: Tensor | undefined,
  expected: Tensor,
  { rtol, atol }: { readonly rtol: number; readonly atol: number },
): string | undefined {
  if (actual === undefined) return "missing";
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

export interface CaseOutcome {
  readonly name: string;
  /** Absent where the device refuses the case. */
  readonly ran: boolean;
  readonly problems: readonly string[];
}

/** Runs one case of an op and compares it with the reference interpreter. */
export async function runCase(device: Device, op: Op, opCase: OpCase, seed: number): Promise<CaseOutcome> {
  const name = `${op.name} "${opCase.name}"`;
  const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, seed));
  try {
    const problems = await compare(device, graph, inputs, (dtype) =>
      toleranceOf(op, opCase.inputs, opCase.attrs, dtype),
    );
    return { name, ran: true, problems: problems.map((problem) => `${name} ${problem}`) };
  } catch (error) {
    if (error instanceof UnsupportedError) return { name, ran: false, problems: [] };
    return { name, ran: true, problems: [`${name}: ${(error as Error).message}`] };
  }
}

/** Differences between the device and the reference, output by output. */
export async function compare(
  device: Device,
  graph: Graph,
  inputs: Tensors,
  tolerance: (dtype: Tensor["dtype"]) => { readonly rtol: number; readonly atol: number },
): Promise<string[]> {
  using executable = device.compile(graph);
  const expected = referenceDevice().compile(graph).runSync(inputs);
  const actual = await executable.run(inputs);
  return Object.entries(expected).flatMap(([name, tensor]) => {
    const wrong = difference(actual[name], tensor, tolerance(tensor.dtype));
    return wrong === undefined
      ? []
      : [`${name}: ${wrong} (${executable.report.launches.map(({ kernel }) => kernel).join(", ")})`];
  });
}
