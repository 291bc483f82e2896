/**
 * `npm test`: the static checks (format, lint, types), then every vitest project. Ends with the line
 * `N passed, M failed`, where a static check counts as one and a test file that could not be loaded as one failure.
 * Arguments go to vitest, so `npm test -- packages/core` runs part of the tests.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countTests, type TestReport } from "./test-report.ts";

const tools: string = join(import.meta.dirname, "bootstrap.mjs");

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** What to do when the step fails. */
  readonly advice: string;
}

const staticChecks: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check", "."], advice: "npm run format" },
  { name: "lint", command: ["oxlint"], advice: "npm run lint" },
  { name: "types", command: ["tsc", "-b", "tsconfig.json", "tsconfig.test.json"], advice: "npm run types" },
];

function runTool(command: readonly string[], stdio: "inherit" | "pipe"): { ok: boolean; output: string } {
  const result = spawnSync(process.execPath, [tools, "exec", ...command], {
    stdio,
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

function runVitest(args: readonly string[]): ReturnType<typeof countTests> {
  const folder = mkdtempSync(join(tmpdir(), "quern-test-"));
  const file = join(folder, "report.json");
  try {
    const { ok } = runTool(
      ["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...args],
      "inherit",
    );
    let report: TestReport | undefined;
    try {
      report = JSON.parse(readFileSync(file, "utf8")) as TestReport;
    } catch {
      console.log("FAIL vitest left no report");
    }
    return countTests(report, ok);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const checks = staticChecks.map(runStatic);
const tests = runVitest(process.argv.slice(2));
const passed = checks.filter(Boolean).length + tests.passed;
const failed = checks.filter((ok) => !ok).length + tests.failed;
if (tests.skipped > 0) {
  console.log(`${tests.skipped} skipped:`);
  for (const [reason, count] of tests.skipReasons) console.log(`  ${count} × ${reason}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
