/** `toPassGate`: what passes, and what the message of a failed test says. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../history/sample-history.test-support.ts";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import type { Results, Verdict } from "../results/schema.ts";
import { gateMatchers, judgeGate } from "./matcher.ts";

expect.extend(gateMatchers);

const folder = temporaryFolder();

/** The sample with these verdicts only. */
function gate(verdicts: readonly Verdict[], exitCode: number): Results {
  const results = sampleGate();
  const benches = results.benches!.filter(({ verdict }) => verdicts.includes(verdict));
  return { ...results, benches, summary: { verdict: "PASS", exitCode, geomean: null } };
}

describe("toPassGate", () => {
  it("passes a gate that passed, as results or as a file", () => {
    const results = gate(["EQUIVALENT", "IMPROVED", "INCONCLUSIVE"], 0);
    expect(results).toPassGate();
    writeFileSync(join(folder, "r.json"), JSON.stringify(results));
    expect(join(folder, "r.json")).toPassGate();
    expect(results).not.toPassGate({ strict: true });
  });

  it("says what failed, the worst first", () => {
    const results = gate(["REGRESSED", "ERROR", "EQUIVALENT"], 4);
    expect(() => expect(results).toPassGate()).toThrow(
      /the gate did not pass:\n {2}ERROR render\/page: the worker of head ended with signal SIGSEGV\n {2}REGRESSED sort\/1e4 \+8\.3 % \[\+7\.4 %, \+9\.2 %\]$/,
    );
  });

  it("an accepted regression passes with the gate", () => {
    const results = gate(["REGRESSED"], 0);
    expect({ ...results, benches: results.benches!.filter(({ accepted }) => accepted !== undefined) }).toPassGate();
  });

  it.each([
    ["nothing measured", gate([], 0), "no bench was measured"],
    [
      "interrupted",
      { ...gate(["EQUIVALENT"], 0), run: { ...sampleGate().run!, aborted: true } },
      "the run was interrupted",
    ],
    ["another reason", gate(["EQUIVALENT"], 6), "its exit code is 6"],
  ])("does not pass: %s", (_, results, reason) => {
    const { pass, message } = judgeGate(results);
    expect(pass).toBe(false);
    expect(message()).toContain(reason);
  });

  it("refuses what is no gate", () => {
    expect(() => expect(sampleResults()).toPassGate()).toThrow("these are no results of a gate");
    expect(() => expect(join(folder, "none.json")).toPassGate()).toThrow("there is no such file");
  });
});
