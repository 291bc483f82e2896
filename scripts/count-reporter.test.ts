import { describe, expect, it } from "vitest";
import { countTests, type CountedModule } from "./count-reporter.ts";

interface FakeModule {
  readonly tests?: readonly {
    readonly state: string;
    readonly note?: string;
    readonly errors?: readonly { readonly message: string }[];
  }[];
  readonly errors?: number;
  readonly suiteErrors?: number;
}

function fake({ tests = [], errors = 0, suiteErrors = 0 }: FakeModule): CountedModule {
  return {
    relativeModuleId: "some.test.ts",
    errors: () => Array.from({ length: errors }),
    children: {
      allTests: () => tests.map((test) => ({ name: "some test", fullName: "all > some test", result: () => test })),
      allSuites: () => [{ errors: () => Array.from({ length: suiteErrors }) }],
    },
  };
}

describe("countTests", () => {
  it("counts tests by state over all files", () => {
    const modules = [
      fake({ tests: [{ state: "passed" }, { state: "failed" }] }),
      fake({ tests: [{ state: "passed" }, { state: "pending" }] }),
    ];
    expect(countTests(modules, 0)).toMatchObject({ passed: 2, failed: 2, skipped: {} });
  });

  it("counts a file that did not load, a failed hook and stray errors as failures", () => {
    expect(countTests([fake({ errors: 1 }), fake({ suiteErrors: 1 })], 1)).toEqual({
      passed: 0,
      failed: 3,
      failures: [],
      skipped: {},
    });
  });

  it("says which tests failed, and why", () => {
    const tests = [{ state: "failed", errors: [{ message: "expected 1\nto be 2" }] }, { state: "pending" }];
    expect(countTests([fake({ tests })], 0).failures).toEqual([
      "some.test.ts: all > some test: expected 1",
      "some.test.ts: all > some test: pending",
    ]);
  });

  it("groups skipped tests by reason", () => {
    const tests = [{ state: "skipped", note: "no GPU" }, { state: "skipped", note: "no GPU" }, { state: "skipped" }];
    expect(countTests([fake({ tests })], 0).skipped).toEqual({ "no GPU": 2, "some test": 1 });
  });
});
