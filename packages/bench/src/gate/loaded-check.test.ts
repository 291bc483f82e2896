import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { LoadedFile } from "../paired/arms/arm.ts";
import type { MeasurePlan } from "../paired/plan.ts";
import { renderHtml } from "../report/html.ts";
import { renderJunit } from "../report/junit.ts";
import { renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import { EXIT } from "./exit-codes.ts";
import { fakeArms, gate, replays, verdicts, type World } from "./fake-gate.test-support.ts";
import { judge } from "./judge.ts";
import { run, steady } from "./made-up-runs.test-support.ts";
import { gatePolicy } from "./policy.ts";

const POLICY = gatePolicy("ci", { bootstrap: 0 });

describe("files that are not an arm's own", () => {
  it("make every bench an error, whatever the machine and the benches say", () => {
    const foreignFiles = ["while it was measured, head loaded a file of base: /x"];
    const verdicts = judge(run([steady("x", 0.05), steady("y", 0)], { foreignFiles, changed: ["quota"] }), POLICY);
    for (const found of verdicts.benches) {
      expect(found).toMatchObject({ verdict: "ERROR", reason: foreignFiles[0], estimate: null, fails: true });
    }
    expect(verdicts.summary).toEqual({ verdict: "ERROR", exitCode: EXIT.wrong, geomean: null });
    expect(judge(run([steady("x", 0)], { foreignFiles, advisory: true }), POLICY).summary.exitCode).toBe(EXIT.wrong);
  });
});

describe("what the measured processes load", () => {
  const file = (path: string, sha256 = "0".repeat(64)): LoadedFile => ({ path, sha256 });
  const own = join(fakeArms.head.directory, "late.js");
  const ofBase = join(fakeArms.base.directory, "late.js");

  it("a file of the other arm is exit code 4 for all benches, and nothing more is measured", async () => {
    const plans: MeasurePlan[] = [];
    const results = await gate({ ratios: { a: 1, slow: 1.2 }, loads: { head: [[file(own), file(ofBase)]] }, plans });
    expect(results.summary).toEqual({ verdict: "ERROR", exitCode: EXIT.wrong, geomean: null });
    expect(verdicts(results)).toEqual({ a: "ERROR", slow: "ERROR" });
    const reason = `while it was measured, head loaded a file of base: ${ofBase}`;
    expect(results.benches?.map((bench) => bench.reason)).toEqual([reason, reason]);
    expect(results.environment?.foreignFiles).toEqual([reason]);
    expect(plans).toHaveLength(1);
    // What was measured is there, and is judged the same again.
    expect(results.benches?.[0]?.stages[0]?.pairs).toHaveLength(16);
    expect(replays(results)).toBe(true);
    for (const text of [renderTerminal(results), renderMarkdown(results), renderJunit(results), renderHtml(results)]) {
      expect(text.replaceAll(/&#46;|&#45;/g, ".")).toMatch(/while it was measured, head loaded a file of base/);
    }
  });

  it("so is one from outside of both, unless its folder is shared, and one that only the confirmation loads", async () => {
    const outside = "/opt/library/late.js";
    const world: World = { ratios: { a: 1 }, loads: { base: [[file(outside)]] } };
    const refused = await gate(world);
    expect(refused.summary?.exitCode).toBe(EXIT.wrong);
    expect(refused.benches?.[0]?.reason).toBe(
      `while it was measured, base loaded a file from outside of its directory: ${outside}`,
    );
    const shared = await gate(world, { config: { version: 1, shared: ["/opt/library"] } });
    expect(shared.summary?.exitCode).toBe(EXIT.pass);
    const late = await gate({ ratios: { slow: 1.2 }, loads: { head: [[], [file(ofBase)]] } });
    expect(late.benches?.[0]?.stages.map(({ stage }) => stage)).toEqual(["screen", "confirm"]);
    expect(late.summary?.exitCode).toBe(EXIT.wrong);
  });

  it("own files that the trial did not load, files of the harness and libraries of the system are nothing", async () => {
    const harness = fileURLToPath(new URL("../../controls/controls-1.mjs", import.meta.url));
    const results = await gate({
      ratios: { a: 1 },
      loads: { head: [[file(own), file(harness), file("/usr/lib/x86_64-linux-gnu/libz.so.1")]] },
    });
    expect(results.summary?.exitCode).toBe(EXIT.pass);
    expect(results.environment?.foreignFiles).toBeUndefined();
  });

  it("a file that is another one than before makes the run invalid: than in the trial, than in the stage before", async () => {
    const code = join(fakeArms.head.directory, "code.js");
    const rebuilt = await gate({ ratios: { a: 1 }, loads: { head: [[file(code, "1".repeat(64))]] } });
    expect(rebuilt.summary).toMatchObject({ verdict: "INVALID", exitCode: EXIT.invalid });
    expect(rebuilt.environment?.disturbances).toEqual([`${code} changed while it was measured`]);
    const between = { head: [[file(own)], [file(own, "1".repeat(64))]] };
    const later = await gate({ ratios: { slow: 1.2 }, loads: between });
    expect(later.environment?.disturbances).toEqual([`${own} changed while it was measured`]);
    expect(later.summary?.exitCode).toBe(EXIT.invalid);
  });
});
