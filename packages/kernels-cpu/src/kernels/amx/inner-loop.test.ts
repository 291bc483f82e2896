/**
 * The inner loop of products on the matrix unit, counted in the code: tile loads and products per step of 32, and
 * nothing from the stack. At 16 cycles per product and 8 per load from the first-level cache (19 from the second) the
 * unit is the limit: 2 × 2 tiles take 64 cycles of products against 54 of loads in one term, and 192
 * against 108 in two, with one operand in each cache.
 */

import { type MatmulPrecision, type PassTarget, legaliseKernel, optimise, siteOf } from "@quern/core";
import { expect, test } from "vitest";
import { type Instr, isInstr } from "../../asm/index.ts";
import { type CompiledKernel, compileKernel } from "../../select/index.ts";
import { SIMULATED_AMX } from "../simulated-trial.ts";
import { buildMatmul } from "./amx-trial.ts";
import { matmulAmx } from "./matmul.ts";

function compileMatmul(precision: MatmulPrecision, rows: number): CompiledKernel {
  const { graph } = buildMatmul({ name: "loop", a: [rows, 1024], b: [1024, 256], constant: true, bias: true }, 1);
  const target: PassTarget = {
    keeps: (op) => op === "matmul",
    convLayout: "nhwc",
    takesEpilogue: ({ op }) => op === "matmul",
  };
  const node = optimise(graph, { target, bindings: {} }).graph.nodes.find(
    ({ op }) => op === "group" || op === "matmul",
  );
  if (node === undefined) throw new Error("the graph has no product");
  const [launch] = matmulAmx.lower(siteOf(node), { target: SIMULATED_AMX, threads: 1, precision });
  if (launch === undefined) throw new Error("no launch");
  return compileKernel(legaliseKernel(launch.kernel, { vectors: { vectorBytes: 64, masks: true } }), SIMULATED_AMX);
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

test.each([
  ["medium", 256, 4, 4],
  ["high", 256, 8, 12],
  ["medium", 16, 5, 4],
  ["high", 16, 10, 12],
] as const)("%s, %i rows: %i loads and %i products per step", (precision, rows, loads, products) => {
  const loops = innermostLoops(compileMatmul(precision, rows)).filter((body) =>
    body.some(({ op }) => op === "tdpbf16ps"),
  );
  expect(loops.length).toBeGreaterThan(0);
  for (const body of loops) {
    const count = (op: string): number => body.filter((instr) => instr.op === op).length;
    expect(count("tileloadd")).toBe(loads);
    expect(count("tdpbf16ps")).toBe(products);
    // Two pointers, a counter and the jump.
    expect(body.length - loads - products).toBeLessThanOrEqual(4);
    const stack = body.filter(({ operands }) =>
      operands.some((operand) => operand.kind === "mem" && operand.base?.id === 4),
    );
    expect(stack).toEqual([]);
  }
});
