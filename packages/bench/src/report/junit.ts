/**
 * Results as JUnit XML: one test case for each benchmark and each load test. A failure is what fails the run: a confirmed regression, a wrong
 * output, a crash. What could not be decided is skipped, with the reason; a run whose machine moved is an error. A run without
 * any benchmark, or one that was refused, is an error too, so that no file is green for want of cases; builds that are the same are
 * skipped cases alone.
 */

import { claimOf, claimText } from "../claims/claim.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { findComparison } from "../results/find-rows.ts";
import type { BenchRecord, Result, Results, ServingRecord, Skipped } from "../results/schema.ts";
import { escapeXml } from "./escape.ts";
import { formatChangeInterval, formatChangeRatio, formatInterval, formatPercent, formatRatio } from "./format.ts";
import { disturbances, machineLine } from "./gate-facts.ts";
import { arrivalsText } from "./serving-facts.ts";
import {
  armNs,
  benchName,
  bySeverity,
  decidingPairs,
  INTERRUPTED,
  isFailure,
  nothingMeasured,
  remarks,
} from "./verdicts.ts";

type Outcome = "passed" | "failure" | "error" | "skipped";

interface TestCase {
  readonly name: string;
  readonly group: string;
  readonly seconds: number | null;
  readonly outcome: Outcome;
  readonly message: string;
  readonly properties: readonly (readonly [name: string, value: string])[];
}

/** One XML document, of a gate run or of a comparison of engines. */
export function renderJunit(results: Results): string {
  const cases = results.benches === undefined ? engineCases(results) : gateCases(results, results.benches);
  const count = (outcome: Outcome): number => cases.filter((test) => test.outcome === outcome).length;
  const counts = `tests="${cases.length}" failures="${count("failure")}" errors="${count("error")}" skipped="${count("skipped")}"`;
  const seconds = ((results.run?.wallMs ?? 0) / 1000).toFixed(3);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="quern" ${counts} time="${seconds}">`,
    `  <testsuite name="${escapeXml(results.run?.kind ?? "engines")}" ${counts} time="${seconds}" timestamp="${escapeXml(results.createdAt)}" hostname="${escapeXml(results.machine.fingerprint)}">`,
    ...properties([["machine", machineLine(results)]], "    "),
    ...cases.flatMap(testCase),
    "  </testsuite>",
    "</testsuites>",
  ];
  return `${lines.join("\n")}\n`;
}

function properties(pairs: TestCase["properties"], indent: string): string[] {
  if (pairs.length === 0) return [];
  return [
    `${indent}<properties>`,
    ...pairs.map(([name, value]) => `${indent}  <property name="${escapeXml(name)}" value="${escapeXml(value)}"/>`),
    `${indent}</properties>`,
  ];
}

function testCase(test: TestCase): string[] {
  const message = escapeXml(test.message);
  const outcome =
    test.outcome === "passed"
      ? []
      : test.outcome === "skipped"
        ? [`      <skipped message="${message}"/>`]
        : [`      <${test.outcome} message="${message}" type="quern">${message}</${test.outcome}>`];
  const time = test.seconds === null ? "" : ` time="${test.seconds.toExponential(6)}"`;
  return [
    `    <testcase classname="${escapeXml(test.group)}" name="${escapeXml(test.name)}"${time}>`,
    ...properties(test.properties, "      "),
    ...outcome,
    "    </testcase>",
  ];
}

function gateCases(results: Results, benches: readonly BenchRecord[]): TestCase[] {
  const { run } = results;
  const moved = disturbances(results);
  const nothing = nothingMeasured(run);
  if (benches.length === 0 && nothing !== undefined && run?.refused === undefined)
    return neutralCases(results, nothing);
  const problem =
    run?.refused !== undefined
      ? `refused: ${run.refused}`
      : run?.aborted === true
        ? INTERRUPTED
        : benches.length === 0
          ? NO_CASES
          : results.summary?.exitCode === EXIT.budget
            ? "the budget was spent before all was measured"
            : moved.length > 0
              ? moved.join("; ")
              : undefined;
  const whole = problem === undefined ? [] : [runCase("error", problem)];
  const failing = results.skipped.filter(({ failed }) => failed === true).map((row) => leftCase(row));
  return [...whole, ...bySeverity(benches).map((bench) => gateCase(bench, run)), ...failing];
}

const NO_CASES = "no benchmark was measured";

/** What concerns the run and no benchmark. */
function runCase(outcome: Outcome, message: string): TestCase {
  return { name: "run", group: "quern", seconds: null, outcome, message, properties: [] };
}

/** Nothing was measured, and nothing needed to be: every case is skipped, that of the run first. */
function neutralCases({ skipped, summary }: Results, nothing: string): TestCase[] {
  const properties = [["verdict", summary?.verdict ?? ""]] as const;
  return [runCase("skipped", nothing), ...skipped.map((row) => leftCase(row))].map((each) => ({ ...each, properties }));
}

/** A bench that was not compared. */
function leftCase({ case: name, reason }: Skipped): TestCase {
  const message = `not measured: ${reason}`;
  return { name, group: "quern.gate", seconds: null, outcome: "skipped", message, properties: [] };
}

function gateCase(bench: BenchRecord, run: Results["run"]): TestCase {
  const { estimate, verdict } = bench;
  const nanoseconds = armNs(decidingPairs(bench), "head");
  const found =
    estimate === null
      ? ""
      : `${formatChangeRatio(estimate.ratio)} ${formatChangeInterval(estimate.low, estimate.high)}`;
  const message = [verdict, found, remarks(bench)].filter((text) => text !== "").join(": ");
  const outcome: Outcome = isFailure(bench)
    ? "failure"
    : verdict === "INVALID"
      ? "error"
      : verdict === "INCONCLUSIVE"
        ? run?.policy?.strict === true
          ? "failure"
          : "skipped"
        : "passed";
  return {
    name: benchName(bench),
    group: "quern.gate",
    seconds: nanoseconds === null ? null : nanoseconds / 1e9,
    // What is advisory, or only compares, shows what it found and fails nothing; a wrong output stays one.
    outcome: failsNothing(run) && outcome === "failure" && verdict !== "ERROR" ? "skipped" : outcome,
    message,
    properties: [
      ["verdict", verdict],
      ...(estimate === null
        ? []
        : ([
            ["ratio", formatChangeRatio(estimate.ratio)],
            ["interval", formatChangeInterval(estimate.low, estimate.high)],
            ["mde", formatPercent(estimate.mde)],
            ["pairs", String(estimate.pairs)],
          ] as const)),
      ...(bench.accepted === undefined ? [] : ([["accepted", bench.accepted.trailer]] as const)),
    ],
  };
}

function failsNothing(run: Results["run"]): boolean {
  return run?.advisory === true || run?.kind === "ab";
}

function engineCases(results: Results): TestCase[] {
  const steady = results.results.filter(({ phase }) => phase === "steady");
  const measured = steady.map((row): TestCase => {
    const comparison = findComparison(results, row);
    return {
      ...namesOf(row),
      seconds: row.median === null ? null : row.median / 1000,
      outcome: row.verified === false ? "failure" : "passed",
      message: row.note ?? "outputs differ",
      properties:
        comparison === undefined
          ? []
          : [
              ["ratio", formatRatio(comparison.ratio)],
              ["interval", formatInterval(comparison.low, comparison.high)],
              ["baseline", comparison.baseline],
              ["claim", claimText(claimOf(results, comparison)) ?? "claim"],
            ],
    };
  });
  const left = results.skipped.map((row): TestCase => ({
    ...namesOf(row),
    seconds: null,
    outcome: row.failed === true ? "failure" : "skipped",
    message: row.reason,
    properties: [],
  }));
  const cases = [...measured, ...left, ...(results.serving ?? []).map(servingCase)];
  const moved = disturbances(results);
  const whole =
    results.run?.aborted === true
      ? [runCase("error", INTERRUPTED)]
      : cases.length === 0
        ? [runCase("error", NO_CASES)]
        : // It voids the claims, and neither times nor outputs.
          moved.length > 0
          ? [runCase("skipped", moved.join("; "))]
          : [];
  return [...whole, ...cases];
}

function servingCase(record: ServingRecord): TestCase {
  const { engine, model, completed, failed, requestsPerSecond, outputTokensPerSecond } = record;
  return {
    name: `${model}, ${arrivalsText(record.arrivals)}`,
    group: `quern.${engine}`,
    seconds: record.wallMs / 1000,
    outcome: failed > 0 || completed === 0 ? "failure" : "passed",
    message: record.failures.map(({ kind, count, example }) => `${count} failed, ${kind}: ${example}`).join("; "),
    properties: [
      ["completed", `${completed} of ${completed + failed}`],
      ["requests/s", requestsPerSecond.toFixed(2)],
      ["tokens/s", outputTokensPerSecond.toFixed(1)],
    ],
  };
}

function namesOf(row: Pick<Result, "case" | "engine" | "precision" | "threads">): Pick<TestCase, "name" | "group"> {
  const { case: name, engine, precision, threads } = row;
  return { name: `${name}, ${precision}, ${threads} threads`, group: `quern.${engine}` };
}
