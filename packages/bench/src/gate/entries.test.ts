/** Changes of the benches themselves: moved, mended, changed, new ones, and thresholds that are none. */

import { UserError } from "@quern/core/errors";
import { describe, expect, it } from "vitest";
import type { MeasurePlan } from "../paired/plan.ts";
import { renderComment } from "../report/comment.ts";
import { renderHtml } from "../report/html.ts";
import { renderJunit } from "../report/junit.ts";
import { renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import { judgeGate } from "../vitest/matcher.ts";
import type { Results } from "../results/schema.ts";
import { planText } from "./dry-run.ts";
import { EXIT } from "./exit-codes.ts";
import { gate, partsOf, replays, REQUEST, verdicts, type World } from "./fake-gate.test-support.ts";
import { judge } from "./judge.ts";
import { run, steady } from "./made-up-runs.test-support.ts";
import { gatePolicy } from "./policy.ts";

/** Reports for people, without what a page has beside its text. */
function texts(results: Results): string[] {
  return [renderTerminal, renderMarkdown, renderComment, renderHtml].map((render) =>
    render(results)
      .replace(/<style>.*?<\/style>|<script>.*?<\/script>/gs, "")
      .replaceAll("&#45;", "-")
      .replaceAll("\\", ""),
  );
}

it("a bench that has moved to another file is compared, from the file of each", async () => {
  const plans: MeasurePlan[] = [];
  const results = await gate({ ratios: { a: 1 }, baseFile: "bench/old.bench.ts", plans });
  expect(verdicts(results)).toEqual({ a: "EQUIVALENT" });
  expect(results.summary?.exitCode).toBe(EXIT.pass);
  expect(plans[0]?.benches[0]).toEqual({ id: "a", file: "bench/all.bench.js", baseFile: "bench/old.bench.ts" });
});

describe("a bench that fails in the base", () => {
  const mended: World = { ratios: { a: 1, b: 1, c: 1 }, baseFaults: { b: { failure: "no such kernel\nat x.js" } } };

  it("alone is not compared, and no report hides that", async () => {
    const results = await gate(mended);
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", c: "EQUIVALENT" });
    expect(results.summary).toMatchObject({ verdict: "EQUIVALENT", exitCode: EXIT.pass });
    expect(results.skipped).toEqual([
      expect.objectContaining({
        case: "b",
        engine: "base",
        reason: "it fails in the base: no such kernel",
        failed: true,
      }),
    ]);
    for (const text of texts(results)) {
      expect(text).toContain("2 unchanged of 2; 1 not compared: it fails in the base");
      expect(text).toContain("b not measured in base: it fails in the base: no such kernel");
    }
    expect(renderMarkdown(results)).toContain("\n**b not measured in base");
    expect(renderJunit(results)).toMatch(/tests="3" failures="0" errors="0" skipped="1"/);
    expect(renderJunit(results)).toMatch(/name="b">\n.*<skipped message="not measured: it fails in the base/);
    expect(replays(results)).toBe(true);
    const plan = await planText(REQUEST, () => {}, partsOf(mended));
    expect(plan).toContain("fails in base, not compared: b, no such kernel");
  });

  it("by its output too", async () => {
    const results = await gate({ ...mended, baseFaults: { b: { wrong: "wrong output: its error is 1" } } });
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", c: "EQUIVALENT" });
    expect(results.skipped.map(({ reason }) => reason)).toEqual(["it fails in the base: wrong output: its error is 1"]);
  });

  it("and in the head is an error", async () => {
    const results = await gate({ ...mended, failures: { b: "still none" } });
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", b: "ERROR", c: "EQUIVALENT" });
    expect(results.benches?.[1]?.reason).toMatch(/^head: still none/);
    expect(results.summary?.exitCode).toBe(EXIT.wrong);
  });

  it("leaves nothing to compare where there is no other", async () => {
    const error = await gate({ ...mended, ratios: { b: 1 } }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: "nothing-to-compare", exitCode: EXIT.wrong });
    expect((error as Error).message).toMatch(
      /no bench can be compared[^]*1 failing in base, such as b: no such kernel/,
    );
  });
});

describe("a new bench", () => {
  it("is listed and not compared, and fails the run where it fails", async () => {
    const listed = await gate({ ratios: { a: 1 }, fresh: ["new"] });
    expect(listed.summary?.exitCode).toBe(EXIT.pass);
    expect(listed.skipped.map(({ case: id, reason }) => [id, reason])).toEqual([["new", "only head has it"]]);
    const broken = await gate({ ratios: { a: 1 }, fresh: ["new"], failures: { new: "it threw" } });
    expect(verdicts(broken)).toEqual({ a: "EQUIVALENT", new: "ERROR" });
    expect(broken.summary?.exitCode).toBe(EXIT.wrong);
    expect(broken.skipped).toEqual([]);
  });

  it("fails the run where its first output is wrong, all the more where all are new", async () => {
    const headFaults = { new: { wrong: "NaN in the output" } };
    const beside = await gate({ ratios: { a: 1 }, fresh: ["new"], headFaults });
    expect(verdicts(beside)).toEqual({ a: "EQUIVALENT", new: "ERROR" });
    expect(beside.benches?.[1]?.reason).toBe("head: NaN in the output");
    expect(beside.summary?.exitCode).toBe(EXIT.wrong);
    const alone = await gate({ ratios: {}, fresh: ["new"], headFaults, allNew: true }, { identical: "neutral" });
    expect(alone.summary).toMatchObject({ verdict: "ERROR", exitCode: EXIT.wrong });
  });
});

describe("a bench whose first output is wrong in the head", () => {
  const wrong = { b: { wrong: "wrong output: its error is 1" } };

  it("is an error, whatever later outputs are, and is not measured", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ratios: { a: 1, b: 1 }, headFaults: wrong, plans });
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", b: "ERROR" });
    expect(results.benches?.[1]?.reason).toBe("head: wrong output: its error is 1");
    expect(results.summary?.exitCode).toBe(EXIT.wrong);
    expect(plans[0]?.benches.map(({ id }) => id)).toEqual(["a", "ctl.fma"]);
    expect(replays(results)).toBe(true);
  });

  it("is one where it is wrong in the base too, be both builds the same", async () => {
    const world: World = { ratios: { a: 1, b: 1 }, baseFaults: wrong, headFaults: wrong };
    expect(verdicts(await gate(world))).toEqual({ a: "EQUIVALENT", b: "ERROR" });
    const neutral = await gate({ ...world, same: true }, { identical: "neutral" });
    expect(verdicts(neutral)).toEqual({ b: "ERROR" });
    expect(neutral.summary).toMatchObject({ verdict: "ERROR", exitCode: EXIT.wrong });
  });
});

describe("a head that has lost all its benches", () => {
  const world: World = { ratios: { a: 1, b: 1 }, emptyHead: true };

  it("misses each of them", async () => {
    const results = await gate(world);
    expect(verdicts(results)).toEqual({ a: "ERROR", b: "ERROR" });
    expect(results.benches?.[0]?.reason).toContain("the bench is missing");
    expect(results.summary?.exitCode).toBe(EXIT.wrong);
  });

  it("has nothing to compare where they are declared as removed", async () => {
    const error = await gate(world, { config: { version: 1, removed: ["*"] } }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: "nothing-to-compare", exitCode: EXIT.wrong });
  });

  it("is wrong use where the base has none either", async () => {
    const neither = gate({ ...world, allNew: true }, { identical: "neutral" });
    await expect(neither).rejects.toThrow("head has no bench files");
  });
});

describe("a base without benches", () => {
  const world: World = { ratios: { a: 1, b: 1 }, allNew: true };

  it("is nothing to compare with, as long as that is an error", async () => {
    const error = await gate(world).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: "nothing-to-compare", exitCode: EXIT.wrong });
    expect((error as Error).message).toMatch(/the base has no bench files[^]*All 2 benches of head are new/);
    const measured = gate(world, { allowIdentical: true });
    await expect(measured).rejects.toThrow("the base has no bench files");
  });

  it("passes where that is neutral, and no report reads as a pass of a bench", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ...world, plans }, { identical: "neutral" });
    expect(plans).toEqual([]);
    expect(results.summary).toEqual({ verdict: "NEW", exitCode: EXIT.pass, geomean: null });
    expect(results.run).toMatchObject({ allNew: true });
    expect(results.run?.identical).toBeUndefined();
    expect(results.skipped.map(({ case: id, engine }) => [id, engine])).toEqual([
      ["a", "base"],
      ["b", "base"],
    ]);
    for (const text of [...texts(results), renderJunit(results)]) {
      expect(text).toContain("NOTHING WAS MEASURED, since the base has no benches");
      expect(text).not.toMatch(/EQUIVALENT|✓|passed/);
    }
    expect(renderHtml(results)).toContain('<div class="verdict neutral">');
    expect(renderJunit(results)).toMatch(/tests="3" failures="0" errors="0" skipped="3"/);
    expect(judgeGate(results).pass).toBe(false);
    expect(replays(results)).toBe(true);
    const plan = await planText({ ...REQUEST, identical: "neutral" }, () => {}, partsOf(world));
    expect(plan).toContain("NOTHING WAS MEASURED");
  });

  it("excuses no bench that fails, and no benches that a file has", async () => {
    const results = await gate({ ...world, failures: { b: "it threw" } }, { identical: "neutral" });
    expect(verdicts(results)).toEqual({ b: "ERROR" });
    expect(results.summary?.exitCode).toBe(EXIT.wrong);
    const policy = gatePolicy("ci", { bootstrap: 0 });
    expect(judge(run([steady("x", 0.05)], { allNew: true }), policy).summary.exitCode).toBe(EXIT.regressed);
    expect(judge(run([], { allNew: true, aborted: true }), policy).summary.exitCode).toBe(EXIT.interrupted);
  });
});

describe("a bench that is another one than in the base", () => {
  it("is compared, with a remark in every report", async () => {
    const results = await gate({ ratios: { a: 1, slow: 1.2 }, params: { base: { n: 1e5 }, head: { n: 1e4 } } });
    expect(verdicts(results)).toEqual({ a: "EQUIVALENT", slow: "REGRESSED" });
    expect(results.benches?.map(({ flags }) => flags)).toEqual([["bench-changed"], ["bench-changed"]]);
    for (const text of texts(results)) expect(text.split("bench-changed").length).toBeGreaterThanOrEqual(3);
    expect(replays(results)).toBe(true);
    const same = await gate({ ratios: { a: 1 }, params: { base: { n: 1, m: 2 }, head: { m: 2, n: 1 } } });
    expect(same.benches?.[0]?.flags).toEqual([]);
  });
});

describe("a threshold", () => {
  it("within the margin of the test is refused, by the name of the bench: it would find nothing", async () => {
    const config = { version: 1, deltas: { "a*": 0.008 } } as const;
    const error = await gate({ ratios: { all: 1, other: 1 } }, { config }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(
      /^the threshold 0\.008 of the bench "all" is not above the margin 0\.01\n/,
    );
    await expect(gate({ ratios: { all: 1 } }, { config: { version: 1, deltas: { all: 0.01 } } })).rejects.toThrow(
      "not above the margin",
    );
    const lower = await gate({ ratios: { all: 1 } }, { config, flags: { seed: 11, delta0: 0.004 } });
    expect(lower.benches?.[0]?.delta).toBe(0.008);
    expect((await gate({ ratios: { other: 1 } }, { config })).summary?.exitCode).toBe(EXIT.pass);
  });
});
