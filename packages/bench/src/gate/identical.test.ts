/** Both builds load the same files: an error, or neutral, and never a pass. */

import { describe, expect, it } from "vitest";
import { recordsOf } from "../history/from-results.ts";
import type { MeasurePlan } from "../paired/plan.ts";
import { renderCsv } from "../report/csv.ts";
import { renderHtml } from "../report/html.ts";
import { renderJunit } from "../report/junit.ts";
import { renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import { judgeGate } from "../vitest/matcher.ts";
import { planText } from "./dry-run.ts";
import { EXIT } from "./exit-codes.ts";
import { gate, partsOf, replays, REQUEST, verdicts } from "./fake-gate.test-support.ts";
import { judged } from "./gate-results.ts";
import type { GateRequest } from "./gate-request.ts";
import { judge } from "./judge.ts";
import { bench, run, steady } from "./made-up-runs.test-support.ts";
import { gatePolicy, storedPolicy } from "./policy.ts";

const POLICY = gatePolicy("ci", { bootstrap: 0 });

describe("identical builds", () => {
  it("are a verdict only where nothing was measured, and never after an interruption", () => {
    expect(judge(run([], { identical: true }), POLICY).summary).toEqual({
      verdict: "IDENTICAL",
      exitCode: EXIT.pass,
      geomean: null,
    });
    expect(judge(run([steady("x", 0.05)], { identical: true }), POLICY).summary.exitCode).toBe(EXIT.regressed);
    const failed = bench("x", [], { failure: "base: it threw" });
    expect(judge(run([failed], { identical: true }), POLICY).summary.exitCode).toBe(EXIT.wrong);
    expect(judge(run([], { identical: true, aborted: true }), POLICY).summary.exitCode).toBe(EXIT.interrupted);
  });
});

describe("builds that are the same file by file", () => {
  const neutral: Partial<GateRequest> = { identical: "neutral" };

  it("are refused unless that is neutral", async () => {
    const error = await gate({ ratios: { a: 1 }, same: true }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: "identical-files", exitCode: EXIT.usage });
    await expect(gate({ ratios: { a: 1 }, same: true }, { identical: "error" })).rejects.toThrow(/identical files/);
  });

  it("are then left unmeasured: a verdict of its own, which is no pass of any bench", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ratios: { a: 1, b: 1 }, same: true, plans }, neutral);
    expect(plans).toEqual([]);
    expect(results.summary).toEqual({ verdict: "IDENTICAL", exitCode: EXIT.pass, geomean: null });
    expect(results.run?.identical).toBe(true);
    expect(results.benches).toEqual([]);
    expect(results.skipped.map(({ case: name, reason }) => [name, reason])).toEqual([
      ["a", "base and head load the same files"],
      ["b", "base and head load the same files"],
    ]);
    expect(replays(results)).toBe(true);
    for (const text of [renderTerminal(results), renderMarkdown(results), renderHtml(results), renderJunit(results)]) {
      const body = text.replace(/<style>.*?<\/style>|<script>.*?<\/script>/gs, "");
      expect(body.includes("NOTHING WAS MEASURED")).toBe(true);
      expect(/EQUIVALENT|✓|passed/.test(body)).toBe(false);
    }
    expect(renderHtml(results)).toContain('<div class="verdict neutral">');
    expect(renderJunit(results)).toMatch(/tests="3" failures="0" errors="0" skipped="3"/);
    expect(renderCsv(results).trimEnd().split("\r\n")).toHaveLength(1);
    expect(judgeGate(results).pass).toBe(false);
    expect(() => recordsOf(results, "x.json")).toThrow(/nothing in the results has a place in the history/);
    const text = await planText({ ...REQUEST, ...neutral }, () => {}, partsOf({ ratios: { a: 1 }, same: true }));
    expect(text).toContain("NOTHING WAS MEASURED");
  });

  it("are measured where code ran whose files nobody has seen", async () => {
    const plans: MeasurePlan[] = [];
    const world = { ratios: { a: 1 }, same: true, unseen: ["a child process"], plans };
    const results = await gate(world, neutral);
    expect(results.summary).toMatchObject({ verdict: "EQUIVALENT" });
    expect(results.run?.identical).toBeUndefined();
    expect(plans).toHaveLength(1);
    expect((await gate(world)).summary).toMatchObject({ verdict: "EQUIVALENT" });
  });

  it("fail by a bench that fails, and by a filter that leaves nothing", async () => {
    const broken = await gate({ ratios: { a: 1, b: 1 }, same: true, failures: { b: "it threw" } }, neutral);
    expect(broken.summary).toMatchObject({ verdict: "ERROR", exitCode: EXIT.wrong });
    expect(verdicts(broken)).toEqual({ b: "ERROR" });
    await expect(gate({ ratios: { a: 1 }, same: true }, { ...neutral, filter: ["none"] })).rejects.toThrow(/none/);
  });

  it("neutral changes nothing for builds that differ", async () => {
    const results = await gate({ ratios: { slow: 1.06 } }, neutral);
    expect(results.run?.identical).toBeUndefined();
    expect(results.summary?.exitCode).toBe(EXIT.regressed);
  });

  it("cannot be said to be in a file that has verdicts", async () => {
    const results = await gate({ ratios: { slow: 1.06 } });
    const claimed = { ...results, run: { ...results.run!, identical: true } };
    expect(judged(claimed, storedPolicy(results.run!.policy!)).summary).toMatchObject({
      verdict: "REGRESSED",
      exitCode: EXIT.regressed,
    });
  });

  it("are measured where the noise is wanted, and not both", async () => {
    const plans: MeasurePlan[] = [];
    const measured = await gate({ ratios: { a: 1 }, same: true, plans }, { allowIdentical: true });
    expect(measured.summary).toMatchObject({ verdict: "EQUIVALENT" });
    expect(plans).toHaveLength(1);
    await expect(gate({ ratios: { a: 1 }, same: true }, { ...neutral, allowIdentical: true })).rejects.toThrow(
      /either measured or left unmeasured/,
    );
  });
});
