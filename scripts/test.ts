/**
 * `npm test`: the static checks (format, types, lint), then every vitest project. Ends with the line
 * `N passed, M failed`, where a static check counts as one and a test file that could not be loaded as one failure.
 * Arguments go to vitest, so `npm test -- packages/core` runs part of the tests.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestCounts } from "./count-reporter.ts";

const tools: string = join(import.meta.dirname, "bootstrap.mjs");

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** What to do when the step fails. */
  readonly advice: string;
}

// Types come before lint: its rules about types see the other packages as `tsc -b` built them.
const staticChecks: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check", "."], advice: "npm run format" },
  { name: "types", command: ["tsc", "-b", "tsconfig.json", "tsconfig.test.json"], advice: "npm run types" },
  { name: "lint", command: ["oxlint"], advice: "npm run lint" },
];

function runTool(
  command: readonly string[],
  stdio: "inherit" | "pipe",
  env: Readonly<Record<string, string>> = {},
): { ok: boolean; output: string } {
  const result = spawnSync(process.execPath, [tools, "exec", ...command], {
    stdio,
    env: { ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { ok: result.status === 0, output: `${result.stdout ?? ""}${result.stderr ?? ""}` };
}

function runStatic(step: Step): boolean {
  const start = performance.now();
  const { ok, output } = runTool(step.command, "pipe");
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${ok ? "ok  " : "FAIL"} ${step.name} (${seconds} s)${ok ? "" : `, see: ${step.advice}`}`);
  if (!ok) console.log(output.trimEnd());
  return ok;
}

function runVitest(args: readonly string[]): TestCounts {
  const folder = mkdtempSync(join(tmpdir(), "quern-test-"));
  const file = join(folder, "counts.json");
  const reporters = ["--reporter=default", `--reporter=${join(import.meta.dirname, "count-reporter.ts")}`];
  try {
    const { ok } = runTool(["vitest", "run", ...reporters, ...args], "inherit", { QUERN_COUNTS: file });
    if (!existsSync(file)) {
      console.log("FAIL vitest ended without a report");
      return { passed: 0, failed: 1, failures: [], skipped: {} };
    }
    const counts = JSON.parse(readFileSync(file, "utf8")) as TestCounts;
    // A run that failed without a failing test (no test files found, a crash at exit) still counts.
    return ok || counts.failed > 0 ? counts : { ...counts, failed: 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const checks = staticChecks.map(runStatic);
const tests = runVitest(process.argv.slice(2));
const passed = checks.filter(Boolean).length + tests.passed;
const failed = checks.filter((ok) => !ok).length + tests.failed;
if (tests.failures.length > 0) console.log("failed:");
for (const failure of tests.failures) console.log(`  ${failure}`);
const skipped = Object.entries(tests.skipped);
if (skipped.length > 0) console.log("skipped:");
for (const [reason, count] of skipped) console.log(`  ${count} × ${reason}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
