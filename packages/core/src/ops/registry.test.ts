import { expect, test, describe } from "vitest";
import { isStatic } from "../dim.ts";
import { GraphBuilder } from "../graph/builder.ts";
import { printGraph } from "../graph/print.ts";
import { parseGraph } from "../graph/parse.ts";
import { verifyGraph } from "../graph/verify.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { referenceDevice } from "../runtime/reference.ts";
import { caseGraph } from "./case-graph.ts";
import { caseInputs } from "./case-inputs.ts";
import type { Op, OpCase } from "./op.ts";
import { allOps, findOp } from "./registry.ts";
import { toleranceOf } from "./tolerance.ts";

const SEED = 20261;

test("names are unique and found", () => {
  for (const op of allOps()) expect(findOp(op.name)).toBe(op);
  expect(() => findOp("sofmax")).toThrow('no op is called "sofmax"');
  expect(() => findOp("Relu")).toThrow("similar: relu");
});

test("every op has a summary and cases", () => {
  for (const op of allOps()) {
    expect(op.summary, op.name).toMatch(/^\S.*[^.]$/);
    if (op.name !== "input") expect(op.cases().length, op.name).toBeGreaterThan(0);
    expect(new Set(op.cases().map((opCase) => opCase.name)).size, `${op.name}: names of cases`).toBe(op.cases().length);
  }
});

function run(op: Op, opCase: OpCase): { results: number[][]; types: { dtype: string; shape: readonly number[] }[] } {
  const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, SEED));
  const outputs = Object.values(referenceDevice().compile(graph).runSync(inputs));
  return {
    results: outputs.map((tensor) => tensor.toArray()),
    types: outputs.map(({ dtype, shape }) => ({ dtype, shape })),
  };
}

describe.each(allOps().map((op) => ({ name: op.name, op })))("$name", ({ op }) => {
  for (const opCase of op.cases()) {
    // The reference device checks every result against the inferred dtype and shape.
    test(`${opCase.name} (seed ${SEED})`, () => {
      const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, SEED));
      verifyGraph(graph, "case");
      const outputs = referenceDevice().compile(graph).runSync(inputs);
      graph.outputs.forEach(({ name, value }) => {
        const tensor = outputs[name];
        expect(tensor?.dtype).toBe(value.type.dtype);
        expect(tensor?.shape.length).toBe(value.type.shape.length);
        if (isStatic(value.type.shape)) expect(tensor?.shape).toEqual(value.type.shape);
      });
    });
  }

  test("graphs of cases read back from their text", () => {
    for (const opCase of op.cases()) {
      const { graph } = caseGraph(op, opCase, caseInputs(opCase, SEED));
      const table = { constants: [] };
      const text = printGraph(graph, table);
      expect(printGraph(parseGraph(text, table), { constants: [] }), opCase.name).toBe(text);
    }
  });

  if (op.dims !== undefined) {
    test("shape arithmetic agrees with the reference", () => {
      let known = 0;
      for (const opCase of integerCases(op)) {
        // Constants in place of inputs make every element known.
        const constantCase = { ...opCase, inputs: opCase.inputs.map((input) => input && { ...input, constant: true }) };
        const { graph, inputs } = caseGraph(op, constantCase, caseInputs(opCase, SEED));
        const builder = new GraphBuilder();
        rewriteInto(builder, graph);
        const value = builder.build("dims").outputs[0]?.value;
        const dims = value && builder.dims(value);
        if (dims === undefined) continue;
        known += 1;
        const outputs = referenceDevice().compile(graph).runSync(inputs);
        expect(dims, opCase.name).toEqual(outputs["y0"]?.toArray());
      }
      expect(known).toBeGreaterThan(0);
    });
  }

  if (op.decompose !== undefined) {
    test("the decomposition agrees with the reference", () => {
      let applied = 0;
      for (const opCase of op.cases()) {
        const { graph, inputs } = caseGraph(op, opCase, caseInputs(opCase, SEED));
        const simpler = rewriteGraph(
          graph,
          (node, args, builder) => (node.op === op.name ? op.decompose?.(builder, args, node.attrs) : undefined),
          { subgraphs: false },
        );
        if (simpler.nodes.some((node) => node.op === op.name)) continue;
        applied += 1;
        const [expected, actual] = [graph, simpler].map((each) => referenceDevice().compile(each).runSync(inputs));
        for (const name of Object.keys(expected ?? {})) {
          const [reference, decomposed] = [expected?.[name], actual?.[name]];
          const { rtol, atol } = toleranceOf(
            op,
            graph.inputs.map((input) => input.value.type),
            opCase.attrs,
            reference?.dtype ?? "f32",
          );
          expect(decomposed?.shape, opCase.name).toEqual(reference?.shape);
          expect(decomposed?.dtype, opCase.name).toBe(reference?.dtype);
          decomposed?.toArray().forEach((value, i) => {
            const wanted = reference?.toArray()[i] as number;
            const close =
              Object.is(value, wanted) ||
              value === wanted ||
              Math.abs(value - wanted) <= atol + rtol * Math.abs(wanted);
            expect(close, `${opCase.name}, element ${i}: ${value}, reference ${wanted}`).toBe(true);
          });
        }
      }
      expect(applied).toBeGreaterThan(0);
    });
  }
});

/** Cases whose inputs are small integers, and integer versions of those whose are not. */
function integerCases(op: Op): OpCase[] {
  return op.cases().flatMap((opCase) => {
    const integer = opCase.inputs.map(
      (input) => input && (input.dtype === "f32" ? { dtype: "i64" as const, shape: input.shape } : input),
    );
    return [opCase, { ...opCase, inputs: integer }].filter((candidate) => {
      try {
        caseGraph(op, candidate, caseInputs(candidate, SEED));
        return true;
      } catch {
        return false;
      }
    });
  });
}

/** Copies a graph without inputs into a builder whose `dims` can be asked. */
function rewriteInto(builder: GraphBuilder, graph: ReturnType<GraphBuilder["build"]>): void {
  const copies = new Map();
  for (const node of graph.nodes) {
    const outputs = builder.apply(
      node.op,
      node.inputs.map((input) => input && copies.get(input)),
      node.attrs,
    );
    node.outputs.forEach((output, i) => copies.set(output, outputs[i]));
  }
  for (const { name, value } of graph.outputs) builder.output(name, copies.get(value));
}

test("cases are deterministic", () => {
  const op = findOp("add");
  const opCase = op.cases()[0] as OpCase;
  expect(run(op, opCase)).toEqual(run(op, opCase));
});
