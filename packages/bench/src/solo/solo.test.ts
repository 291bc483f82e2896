/** `list` and `run` from outside: what they print, what they write, how they end. No times are asserted. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import { longRows } from "../report/csv.ts";
import { readResults } from "../results/read.ts";
import { leastOf, measureSolo } from "./measure.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-solo-"));
afterAll(() => rmSync(folder, { recursive: true }));

mkdirSync(join(folder, "bench"));
writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
writeFileSync(
  join(folder, "bench", "a.bench.js"),
  `const inputs = (random) => Float64Array.from({ length: 2000 }, () => random.uniform());
   const sum = (_, x) => x.reduce((all, value) => all + value, 0);
   export default [
     { id: "sum/plain", params: { n: 2000, dtype: "f64" }, work: { flops: 2000 }, inputs, run: sum, check: (x, y) => Math.abs(sum(0, x) - y) },
     { id: "sum/wrong", inputs, run: sum, check: () => 1 },
     { id: "sum/crash", inputs, run: (_, x) => { if (x.calls = (x.calls ?? 0) + 1, x.calls > 5) process.exit(3); return x[0]; } },
     { id: "sum/after", inputs, run: sum },
   ];`,
);

const main = fileURLToPath(new URL("../commands/main.ts", import.meta.url));

function call(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const node = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...node, ...args], { cwd: folder, encoding: "utf8" });
  return { code: status, stdout, stderr };
}

describe("list", () => {
  it("names benches, and calls none", () => {
    const { code, stdout } = call("list", "--json");
    expect(code).toBe(EXIT.pass);
    expect(JSON.parse(stdout)).toEqual([
      {
        id: "sum/plain",
        params: { n: 2000, dtype: "f64" },
        file: "bench/a.bench.js",
        work: { flops: 2000 },
        delta: 0.025,
      },
      ...["sum/wrong", "sum/crash", "sum/after"].map((id) => ({ id, file: "bench/a.bench.js", delta: 0.025 })),
    ]);
    expect(call("list", "dtype=f64").stdout).toMatch(/^sum\/plain +n=2000 dtype=f64 +2\.5 % +bench\/a\.bench\.js$/m);
  });

  it("refuses a filter that speaks of nothing", () => {
    const { code, stderr } = call("list", "nothing/*");
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain('no bench is named like "nothing/*"');
  });
});

describe("run", () => {
  it("measures what it is asked for, and records it without a verdict", () => {
    const { code, stdout } = call("run", "sum/plain", "--time", "0.02", "--json", "out.json", "-q");
    expect(code).toBe(EXIT.pass);
    expect(stdout).toMatch(/^sum\/plain n=2000 dtype=f64 .*✓/m);
    const results = readResults(join(folder, "out.json"));
    expect(results.run?.kind).toBe("solo");
    expect(results.summary).toBeUndefined();
    const [row] = results.results;
    expect(row).toMatchObject({ case: "sum/plain", phase: "steady", verified: true, maxError: 0, flops: 2000 });
    expect(row?.samples.length).toBeGreaterThanOrEqual(6);
    expect(row?.median).toBeGreaterThan(0);
    // Slices of one process are no processes of their own.
    const slices = row?.samples.length;
    expect(row?.processes).toEqual([slices]);
    expect([...longRows(results)]).toEqual([expect.objectContaining({ pair: 0, rounds: slices })]);
  });

  it("a wrong output and a crash end with exit code 4; the other benches are measured all the same", () => {
    const { code, stdout } = call("run", "--time", "0.02", "--json", "bad.json", "-q");
    expect(code).toBe(EXIT.wrong);
    expect(stdout).toMatch(/^sum\/wrong .*✗ +wrong output: its error is 1/m);
    expect(stdout).toMatch(/^sum\/crash .*✗ .*ended with exit code 3/m);
    const { results, skipped } = readResults(join(folder, "bad.json"));
    expect(results.map(({ case: name, verified }) => [name, verified])).toEqual([
      ["sum/plain", true],
      ["sum/wrong", false],
      ["sum/after", null],
    ]);
    expect(skipped).toMatchObject([{ case: "sum/crash", failed: true }]);
  });

  it("tears down a bench that has failed, where its process lives", async () => {
    const mark = JSON.stringify(join(folder, "ended"));
    const file = "bench/torn.js";
    writeFileSync(
      join(folder, file),
      `import { appendFileSync } from "node:fs";
       const run = (state) => { if (++state.calls > 20) throw new Error("late"); return state.calls; };
       export default { id: "torn", setup: () => ({ calls: 0 }), run, teardown: () => appendFileSync(${mark}, "x") };`,
    );
    const [bench] = await measureSolo(
      {
        arm: { name: "head", directory: folder, project: folder },
        benches: [{ id: "torn", file }],
        seconds: 0.02,
        sliceMs: 1,
        warmUpMs: 5,
        seed: 1,
        timeoutMs: 30_000,
        processOptions: {},
      },
      () => {},
    );
    expect(bench?.failure).toContain("late");
    expect(readFileSync(join(folder, "ended"), "utf8")).toBe("x");
  });

  it("has room for the samples of a long one", () => {
    expect(leastOf(new Array<number>(500_000).fill(2).with(7, 1))).toBe(1);
  });

  it("refuses a time that is none", () => {
    const { code, stderr } = call("run", "--time", "soon");
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain("--time");
  });
});
