/**
 * Checks a result file of `quern bench`: every engine asked for has a verified steady result in every case, and every
 * comparison is a number within its interval. Judges agreement, never speed.
 *
 * usage: node scripts/check-results.ts results.json --engines quern,onnxruntime
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

interface ResultRow {
  readonly case: string;
  readonly phase: string;
  readonly engine: string;
  readonly median: number | null;
  readonly verified: boolean | null;
}

interface ComparisonRow {
  readonly case: string;
  readonly phase: string;
  readonly ratio: number;
  /** Null where too few processes ran for an interval. */
  readonly low: number | null;
  readonly high: number | null;
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { engines: { type: "string" } } });
const [file] = positionals;
if (file === undefined || values.engines === undefined) {
  console.error("usage: node scripts/check-results.ts results.json --engines quern,onnxruntime");
  process.exit(2);
}
const { schema, results, comparisons } = JSON.parse(readFileSync(file, "utf8")) as {
  schema: string;
  results: ResultRow[];
  comparisons: ComparisonRow[];
};

const problems: string[] = [];
if (schema !== "quern.results/1") problems.push(`schema is ${schema}`);
const steady = results.filter((row) => row.phase === "steady");
const cases = new Set(results.map((row) => row.case));
if (cases.size === 0) problems.push("no case was measured");
for (const name of cases) {
  for (const engine of values.engines.split(",")) {
    const rows = steady.filter((row) => row.case === name && row.engine === engine);
    if (rows.length === 0) problems.push(`${name}: ${engine} has no steady result`);
    for (const row of rows) {
      if (row.verified !== true) problems.push(`${name}: ${engine} is not verified`);
      if (row.median === null || !(row.median > 0)) problems.push(`${name}: ${engine} has no time`);
    }
  }
}
for (const row of comparisons) {
  const ordered = row.ratio > 0 && (row.low ?? row.ratio) <= row.ratio && row.ratio <= (row.high ?? row.ratio);
  if (!ordered) problems.push(`${row.case} ${row.phase}: ratio ${row.ratio} is not within ${row.low} to ${row.high}`);
}
console.log(problems.length === 0 ? `${file}: ${cases.size} cases, all verified` : problems.join("\n"));
process.exitCode = problems.length === 0 ? 0 : 1;
