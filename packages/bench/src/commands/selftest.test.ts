import { describe, expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import * as all from "../selftest/all.ts";
import type { SelftestResult } from "../selftest/result.ts";
import { exitCodeOf, resultText, testsOf } from "./selftest.ts";

describe("names of tests", () => {
  it("are taken in any case, and each once, in the order of the list", () => {
    expect(testsOf(["at16", "AT1", "At1"], all)).toEqual(["AT1", "AT16"]);
    expect(testsOf(["Overhead"], all)).toEqual(["overhead"]);
    expect(testsOf(["quick"], all)).toContain("AT17");
  });

  it("every name that the hint offers is one", () => {
    let hint = "";
    try {
      testsOf(["AT99"], all);
    } catch (error) {
      hint = (error as { hint?: string }).hint ?? "";
    }
    const offered = [...hint.matchAll(/"([^"]+)"|([\w]+)(?=[,.])/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
    expect(offered).toEqual(["quick", ...all.SELFTESTS.keys()]);
    for (const name of offered) expect(testsOf([name], all).length).toBeGreaterThan(0);
  });
});

describe("what a result says", () => {
  const passed: SelftestResult = { test: "AT1", title: "it works", passed: true, detail: "found", numbers: {} };
  const failed = { ...passed, passed: false };
  const open = { ...failed, undecided: "too few" };

  it("too few runs are neither a pass nor a failure", () => {
    expect(exitCodeOf([passed])).toBe(EXIT.pass);
    expect(exitCodeOf([passed, open])).toBe(EXIT.inconclusive);
    expect(exitCodeOf([open, failed, passed])).toBe(EXIT.regressed);
    expect(resultText(passed)).toBe("ok   AT1 it works\n     found\n");
    expect(resultText(failed)).toBe("FAIL AT1 it works\n     found\n");
    expect(resultText(open)).toBe("open AT1 it works\n     too few\n     found\n");
  });
});
