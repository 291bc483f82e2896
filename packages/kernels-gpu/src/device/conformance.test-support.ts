/**
 * The cases of all op records on the GPU, as a test suite for one width of the software driver.
 *
 * lavapipe's subgroups have as many invocations as its vectors have 32-bit lanes: 4, 8 or 16 by `LP_NATIVE_VECTOR_WIDTH`,
 * which it reads once per process. Other drivers ignore the variable.
 */

import { type Op, type OpCase, allOps } from "@quern/core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type CaseOutcome, type Opened, openForTests, runCase } from "./gpu.test-support.ts";

const SEED = 20265;
/** Cases that compile at the same time. */
const PARALLEL = 4;
/** For the first compilation of a dozen shaders on a busy machine. */
const TIMEOUT = 240_000;
/** The width at which every case runs. */
const FULL_WIDTH = 256;
/** Cases of pointwise and view ops at other widths: nothing in their code depends on the size of a subgroup. */
const FEW = 3;
/** At least so many cases run: a device that refuses everything must not pass. */
const LEAST_CASES = { full: 700, some: 350 } as const;

export function describeConformance(width: 128 | 256 | 512, required: string | undefined): void {
  describe(`op records, vectors of ${width} bits, seed ${SEED}`, () => {
    let opened: Opened = { reason: "not opened" };
    let ran = 0;
    beforeAll(async () => {
      vi.stubEnv("LP_NATIVE_VECTOR_WIDTH", String(width));
      opened = await openForTests(required);
    });
    afterAll(() => {
      if ("device" in opened) opened.device.dispose();
      vi.unstubAllEnvs();
    });

    for (const op of allOps()) {
      test(`${op.name}`, { timeout: TIMEOUT }, async (context) => {
        if ("reason" in opened) return context.skip(opened.reason);
        const { device } = opened;
        const outcomes = await inGroups(casesOf(op, width), (opCase) => runCase(device, op, opCase, SEED));
        ran += outcomes.filter((outcome) => outcome.ran).length;
        const problems = outcomes.flatMap((outcome) => outcome.problems);
        expect(problems, problems.join("\n")).toEqual([]);
      });
    }

    test("most cases are served", (context) => {
      if ("reason" in opened) return context.skip(opened.reason);
      if (opened.device.name.includes("llvmpipe")) expect(opened.device.name).toContain(`${width}-bits`);
      expect(ran).toBeGreaterThan(width === FULL_WIDTH ? LEAST_CASES.full : LEAST_CASES.some);
    });
  });
}

function casesOf(op: Op, width: number): readonly OpCase[] {
  const independent = op.pointwise !== undefined || op.view !== undefined;
  return independent && width !== FULL_WIDTH ? op.cases().slice(0, FEW) : op.cases();
}

async function inGroups<T>(items: readonly T[], run: (item: T) => Promise<CaseOutcome>): Promise<CaseOutcome[]> {
  const outcomes: CaseOutcome[] = [];
  for (let at = 0; at < items.length; at += PARALLEL) {
    outcomes.push(...(await Promise.all(items.slice(at, at + PARALLEL).map(run))));
  }
  return outcomes;
}
