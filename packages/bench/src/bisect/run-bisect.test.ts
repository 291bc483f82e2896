/** Bisections of real repositories, measured for real. The effect is so large that no noise hides it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import { makeRepository, temporaryFolder } from "../paired/arms/repository.test-support.ts";
import type { BisectResult } from "./bisect.ts";
import { runBisect, type BisectRequest } from "./run-bisect.ts";

const BENCH = `
  import { sum } from "../lib.js";
  export default {
    id: "sum",
    inputs: (random) => Float64Array.from({ length: 2000 }, () => random.uniform()),
    run: (_, input) => sum(input),
    check: (input, output) => Math.abs(output - input.reduce((a, b) => a + b, 0)),
    tolerance: 1e-6,
  };`;

/** Sums, several times over: real work that no engine may leave out, since the turns depend on one another. */
const lib = (turns: number, remark: string): string => `
  // ${remark}
  export function sum(values) {
    let total = 0;
    for (let turn = 0; turn < ${turns}; turn++) {
      total *= 1e-300;
      for (let i = 0; i < values.length; i++) total += values[i];
    }
    return total;
  }`;

const CONFIG = "export default { version: 1, rounds: 3, sliceMs: 1, pairs: [4, 4], seed: 5 };";

const FILES = { "package.json": '{"type":"module"}', "quern.bench.config.js": CONFIG, "bench/a.bench.js": BENCH };

const run = (folder: string, part: Partial<BisectRequest>): Promise<BisectResult> =>
  runBisect(
    { good: "main~3", bad: "main", bench: "sum", cwd: folder, flags: {}, env: {}, ...part },
    { progress: () => {}, detail: () => {} },
  );

describe("runBisect", () => {
  it("finds the commit that made a bench slow, and is tidy", async () => {
    const { folder, git, commit } = makeRepository();
    const ids = ["fast", "broken", "text", "slow"].map((title, k) =>
      commit(title, {
        ...FILES,
        "lib.js": k === 1 ? "syntax error here" : k === 2 ? lib(2, "fast") : lib(k === 0 ? 2 : 30, title),
        "README.md": title,
      }),
    );
    const stateFile = join(temporaryFolder(), "state.json");
    const result = await run(folder, { stateFile, confidence: 0.8 });
    const shown = JSON.stringify(result.probes);
    expect(result.outcome, shown).toBe("found");
    expect(result.first, shown).toEqual([{ source: ids[3], label: `${ids[3]?.slice(0, 10)} slow` }]);
    expect(result.before.source).toBe(ids[2]);
    expect(result.ratio?.ratio, shown).toBeGreaterThan(3);
    // Only a text differs from the good one: nothing is measured to know that it is as fast.
    expect(result.ratioBefore).toEqual({ ratio: 1, low: 1, high: 1 });
    expect(JSON.parse(readFileSync(stateFile, "utf8")).probes).toHaveLength(result.probes.length);
    expect(git("worktree", "list").split("\n")).toHaveLength(1);
    expect(git("status", "--porcelain")).toBe("");
  });

  it("says why a build cannot be measured", async () => {
    const { folder, commit } = makeRepository();
    commit("fast", { ...FILES, "lib.js": lib(2, "fast") });
    commit("broken", { "lib.js": "syntax error here" });
    await expect(run(folder, { good: "main~1" })).rejects.toThrow(
      /the bad build cannot be measured: .* failed at bench\/a\.bench\.js: .*\n {2}at .{10} broken/,
    );
  });

  it("says that a good build lacks the bench", async () => {
    const { folder, commit } = makeRepository();
    commit("zero", { ...FILES, "lib.js": lib(2, "zero"), "bench/a.bench.js": BENCH.replace('"sum"', '"other"') });
    commit("one", { "lib.js": lib(8, "one"), "bench/a.bench.js": BENCH });
    await expect(run(folder, { good: "main~1" })).rejects.toThrow(
      /the good build has no bench "sum"\n.*\n {2}--current-benches/,
    );
    const missing = run(folder, { good: "main~1", bench: "none", currentBenches: true });
    await expect(missing).rejects.toThrow('the good build has no bench "none"');
    await expect(missing).rejects.toMatchObject({ exitCode: EXIT.wrong });
  });

  it("says that the bench fails in the good build, or is wrong there", async () => {
    const { folder, commit } = makeRepository();
    commit("throws", { ...FILES, "lib.js": "export function sum() { throw new Error('no luck'); }" });
    commit("wrong", { "lib.js": "export const sum = () => 1;" });
    commit("right", { "lib.js": lib(2, "right") });
    const good = async (commitName: string): Promise<unknown> =>
      await run(folder, { good: commitName }).catch((error: unknown) => error);
    expect(await good("main~2")).toMatchObject({ reason: "benches-failed", exitCode: EXIT.wrong });
    const wrong = await good("main~1");
    expect(wrong).toMatchObject({ reason: "benches-failed", exitCode: EXIT.wrong });
    expect((wrong as Error).message).toMatch(/^the bench fails: wrong output: its error is /);
  });
});
