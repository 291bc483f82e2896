/**
 * A vitest reporter that writes true totals to the file named by QUERN_COUNTS: tests by state, files that did not load and
 * errors outside of any test as failures, which tests failed with what message, and the reason of every skipped test.
 */
import { writeFileSync } from "node:fs";
import type { Reporter } from "vitest/node";

export interface TestCounts {
  passed: number;
  failed: number;
  /** File, full name and first line of the message of each test that failed. */
  failures: string[];
  /** Reason of a skip → how many tests. */
  skipped: Record<string, number>;
}

/** What `countTests` needs of vitest's `TestModule`. */
export interface CountedModule {
  readonly relativeModuleId: string;
  errors(): ArrayLike<unknown>;
  readonly children: {
    allTests(): Iterable<{
      readonly name: string;
      readonly fullName: string;
      result(): {
        readonly state: string;
        readonly note?: string | undefined;
        readonly errors?: readonly { readonly message: string }[] | undefined;
      };
    }>;
    allSuites(): Iterable<{ errors(): ArrayLike<unknown> }>;
  };
}

export function countTests(modules: Iterable<CountedModule>, strayErrors: number): TestCounts {
  const counts: TestCounts = { passed: 0, failed: strayErrors, failures: [], skipped: {} };
  for (const module of modules) {
    counts.failed += module.errors().length;
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") counts.passed += 1;
      else if (result.state === "skipped") {
        const reason = result.note ?? test.name;
        counts.skipped[reason] = (counts.skipped[reason] ?? 0) + 1;
      } else {
        // A test still pending when the run ended never gave its answer.
        counts.failed += 1;
        const [message = result.state] = result.errors?.[0]?.message.split("\n") ?? [];
        counts.failures.push(`${module.relativeModuleId}: ${test.fullName}: ${message}`);
      }
    }
  }
  return counts;
}

export default class CountReporter implements Reporter {
  onTestRunEnd(...[modules, errors]: Parameters<NonNullable<Reporter["onTestRunEnd"]>>): void {
    const file = process.env["QUERN_COUNTS"];
    if (file !== undefined) writeFileSync(file, JSON.stringify(countTests(modules, errors.length)));
  }
}
