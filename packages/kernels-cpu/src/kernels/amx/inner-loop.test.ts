/**
 * The inner loop of products on the matrix unit, counted in the code: tile loads and products per step of 32, and
 * nothing from the stack. At 16 cycles per product and 8 per load from the first-level cache (19 from the second) the
 * unit is the limit: 2 × 2 tiles take 64 cycles of products against 54 of loads in one term, and 192
 * against 108 in two, with one operand in each cache.
 */

import {
  type Graph,
  type MatmulPrecision,
  type PassTarget,
  type Value,
  GraphBuilder,
  Tensor,
  legaliseKernel,
  optimise,
  siteOf,
} from "@quern/core";
import { expect, test } from "vitest";
import { type Instr, isInstr } from "../../asm/index.ts";
import { type CompiledKernel, compileKernel } from "../../select/index.ts";
import { SIMULATED_AMX } from "../simulated-trial.ts";
import { buildMatmul } from "./amx-trial.ts";
import type { CpuKernel } from "../kernel.ts";
import { convAmx } from "./conv.ts";
import { matmulAmx } from "./matmul.ts";

function compileWith(kernel: CpuKernel, graph: Graph, precision: MatmulPrecision): CompiledKernel {
  const isAnchor = (op: string): boolean => kernel.ops.includes(op);
  const target: PassTarget = { keeps: isAnchor, convLayout: "nhwc", takesEpilogue: ({ op }) => isAnchor(op) };
  const node = optimise(graph, { target, bindings: {} }).graph.nodes.find(({ op }) => op === "group" || isAnchor(op));
  if (node === undefined) throw new Error("the graph has no product");
  const [launch] = kernel.lower(siteOf(node), { target: SIMULATED_AMX, threads: 1, precision });
  if (launch === undefined) throw new Error("no launch");
  return compileKernel(legaliseKernel(launch.kernel, { vectors: { vectorBytes: 64, masks: true } }), SIMULATED_AMX);
}

function compileMatmul(precision: MatmulPrecision, rows: number): CompiledKernel {
  const { graph } = buildMatmul({ name: "loop", a: [rows, 1024], b: [1024, 256], constant: true, bias: true }, 1);
  return compileWith(matmulAmx, graph, precision);
}

/** 3 × 3 windows on 56 × 56 pixels of 64 channels. */
function compileConv(precision: MatmulPrecision): CompiledKernel {
  const builder = new GraphBuilder();
  const shape = [64, 64, 3, 3];
  const weights = builder.constant({ dtype: "f32", shape, bytes: Tensor.zeros("f32", shape).bytes() });
  const attrs = { layout: "nhwc", padsBefore: [1, 1], padsAfter: [1, 1] };
  builder.output("y", builder.apply("conv", [builder.input("x", "f32", [1, 56, 56, 64]), weights], attrs)[0] as Value);
  return compileWith(convAmx, builder.build("conv"), precision);
}

/** Bodies of the loops that have no other inside. */
function innermostLoops({ items }: CompiledKernel): Instr[][] {
  const loops: Instr[][] = [];
  const labels = new Map<string, number>();
  let lastStart = -1;
  items.forEach((item, at) => {
    if ("label" in item) labels.set(item.label.name, at);
    if (!isInstr(item) || !item.op.startsWith("j")) return;
    const [target] = item.operands;
    const start = target?.kind === "label" ? labels.get(target.name) : undefined;
    if (start === undefined || start <= lastStart) return;
    lastStart = start;
    loops.push(items.slice(start, at + 1).filter(isInstr));
  });
  return loops;
}

interface LoopCount {
  readonly loads: number;
  readonly products: number;
  readonly prefetches: number;
  readonly others: number;
  readonly onStack: number;
}

/** What stands in each loop of products, once each. */
function countLoops(compiled: CompiledKernel): LoopCount[] {
  const counts = innermostLoops(compiled).flatMap((body): LoopCount[] => {
    const count = (holds: (instr: Instr) => boolean): number => body.filter(holds).length;
    const [loads, products] = [count(({ op }) => op === "tileloadd"), count(({ op }) => op === "tdpbf16ps")];
    const prefetches = count(({ op }) => op.startsWith("prefetch"));
    const onStack = count(({ operands }) =>
      operands.some((operand) => operand.kind === "mem" && operand.base?.id === 4),
    );
    const others = body.length - loads - products - prefetches;
    return products === 0 ? [] : [{ loads, products, prefetches, others, onStack }];
  });
  return [...new Map(counts.map((one) => [JSON.stringify(one), one])).values()];
}

// Two pointers to operands and two to what is asked for ahead, a counter and the jump.
test.each([
  ["medium", 256, 4, 4, 10],
  ["high", 256, 8, 12, 10],
  ["medium", 16, 5, 4, 12],
  ["high", 16, 10, 12, 12],
] as const)("%s, %i rows: %i loads and %i products per step", (precision, rows, loads, products, prefetches) => {
  expect(countLoops(compileMatmul(precision, rows))).toEqual([{ loads, products, prefetches, others: 6, onStack: 0 }]);
});

// One pointer more: the two tiles of pixels may lie anywhere.
test.each([
  ["medium", 4, 4],
  ["high", 8, 12],
] as const)("convolution, %s: %i loads and %i products per step", (precision, loads, products) => {
  expect(countLoops(compileConv(precision))).toEqual([{ loads, products, prefetches: 0, others: 5, onStack: 0 }]);
});
