/** Counts what vitest's JSON report says, including what it leaves out of its own totals: files that did not load. */

export interface TestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly meta?: { readonly skipReason?: string };
    }[];
  }[];
}

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly skipReasons: ReadonlyMap<string, number>;
}

/** `ok` is vitest's exit code: a run that failed without a failing test (an unhandled error) counts as one failure. */
export function countTests(report: TestReport | undefined, ok: boolean): TestCounts {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  const skipReasons = new Map<string, number>();
  for (const file of report?.testResults ?? []) {
    const failedHere = file.assertionResults.filter((test) => test.status === "failed").length;
    failed += failedHere === 0 && file.status === "failed" ? 1 : failedHere;
    for (const test of file.assertionResults) {
      if (test.status === "passed") passed += 1;
      if (test.status === "passed" || test.status === "failed") continue;
      skipped += 1;
      const reason = test.meta?.skipReason ?? "no reason given";
      skipReasons.set(reason, (skipReasons.get(reason) ?? 0) + 1);
    }
  }
  if (failed === 0 && (!ok || report === undefined)) failed = 1;
  return { passed, failed, skipped, skipReasons };
}
