import { describe, expect, it } from "vitest";
import { countTests } from "./test-report.ts";

const test = (status: string) => ({ status, fullName: "t" });

describe("countTests", () => {
  it("counts tests by status", () => {
    const report = {
      testResults: [
        { name: "a", status: "failed", assertionResults: [test("passed"), test("failed"), test("skipped")] },
        { name: "b", status: "passed", assertionResults: [test("passed"), test("todo")] },
      ],
    };
    expect(countTests(report, false)).toMatchObject({ passed: 2, failed: 1, skipped: 2 });
  });

  it("counts a file that did not load as one failure", () => {
    const report = { testResults: [{ name: "a", status: "failed", assertionResults: [] }] };
    expect(countTests(report, false)).toMatchObject({ passed: 0, failed: 1 });
  });

  it("counts a failed run without a failing test, and a missing report", () => {
    const report = { testResults: [{ name: "a", status: "passed", assertionResults: [test("passed")] }] };
    expect(countTests(report, false)).toMatchObject({ passed: 1, failed: 1 });
    expect(countTests(undefined, true)).toMatchObject({ passed: 0, failed: 1 });
  });

  it("takes a clean run as it is", () => {
    const report = { testResults: [{ name: "a", status: "passed", assertionResults: [test("passed")] }] };
    expect(countTests(report, true)).toMatchObject({ passed: 1, failed: 0, skipped: 0 });
  });
});
