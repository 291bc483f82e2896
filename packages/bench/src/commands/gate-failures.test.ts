/** The exit codes of what goes wrong before anything is measured, from outside. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import { makeRepository, temporaryFolder, writeFiles } from "../paired/arms/repository.test-support.ts";
import { readResults } from "../results/read.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const SMALL = { ...process.env, BENCH_PAIRS: "3,3,0", BENCH_ROUNDS: "3", BENCH_SLICE: "1ms", QUERN_DEBUG: "" };

function call(cwd: string, ...args: string[]): { code: number | null; stderr: string } {
  const node = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main];
  const { status, stderr } = spawnSync(process.execPath, [...node, ...args, "-q"], {
    cwd,
    encoding: "utf8",
    env: SMALL,
  });
  return { code: status, stderr };
}

const SUM = `{
  id: "sum",
  inputs: (random) => Float64Array.from({ length: 2000 }, () => random.uniform()),
  run: (_, x) => { let s = 0; for (let r = 0; r < 20; r++) for (let i = 0; i < x.length; i++) s += x[i] * r; return s; },
}`;

const file = (other: string): string => `export default [${SUM}, { id: "other", run: ${other} }];\n`;
const FINE = file("() => { let s = 0; for (let i = 0; i < 9999; i++) s += Math.sqrt(i); return s; }");

function folders(head: string): string {
  const folder = temporaryFolder();
  writeFiles(folder, {
    "old/package.json": '{ "type": "module" }',
    "old/bench/a.bench.js": FINE,
    "new/package.json": '{ "type": "module" }',
    "new/bench/a.bench.js": head,
  });
  return folder;
}

describe("a build whose benches fail is exit code 4", () => {
  it("where one ends its process in its first call; the others are measured", () => {
    const folder = folders(file('() => process.kill(process.pid, "SIGSEGV")'));
    const { code } = call(folder, "gate", "--base", "old", "--head", "new", "--json", "r.json");
    expect(code).toBe(EXIT.wrong);
    const { benches = [] } = readResults(join(folder, "r.json"));
    const [sum, other] = benches;
    expect(other).toMatchObject({ verdict: "ERROR", reason: expect.stringMatching(/^head: .* ended by SIGSEGV/) });
    expect(sum?.stages[0]?.pairs).toHaveLength(3);
  });

  it.each([
    ["throws when it is loaded", "throw new Error('no such device');", /no such device/],
    ["does not parse", "export default [{", /Unexpected end of input/],
    ["ends the process", "process.exit(0);", /ended with exit code 0 at bench\/a.bench.js/],
  ])("where its file %s", (_, text, message) => {
    const { code, stderr } = call(folders(text), "gate", "--base", "old", "--head", "new");
    expect(stderr).toMatch(message);
    expect(stderr).toContain("the benches of head");
    expect(code).toBe(EXIT.wrong);
  });

  it("and a configuration that does not parse is exit code 2", () => {
    const folder = folders(FINE);
    writeFiles(folder, { "quern.bench.config.mjs": "export default {" });
    const { code, stderr } = call(folder, "gate", "--base", "old", "--head", "new");
    expect(stderr).toContain("the configuration failed");
    expect(code).toBe(EXIT.usage);
  });
});

it("a checkout in which a package is missing is exit code 4, with the advice to prepare it", () => {
  const repository = makeRepository();
  const bench = 'import "commander-that-nobody-installed";\nexport default { id: "a", run: () => 1 };\n';
  repository.commit("base", { "package.json": '{ "type": "module" }', "bench/a.bench.js": bench });
  repository.commit("head", { "lib.js": "" });
  const { code, stderr } = call(repository.folder, "gate", "--base", "HEAD~1", "--exact");
  expect(stderr).toMatch(/Cannot find package 'commander-that-nobody-installed'/);
  expect(stderr).toContain('set `prepare: ["npm ci"]` in quern.bench.config.ts');
  expect(code).toBe(EXIT.wrong);
});

it("a budget that the builds use up is exit code 6", () => {
  const repository = makeRepository();
  repository.commit("base", {
    "bench/a.bench.js": FINE,
    "quern.bench.config.mjs": 'export default { version: 1, prepare: ["sleep 60"] };',
  });
  repository.commit("head", { "lib.js": "" });
  const { code, stderr } = call(repository.folder, "gate", "--base", "HEAD~1", "--exact", "--budget", "3s");
  expect(stderr).toMatch(/the budget of 3 s was spent before anything was measured\n {2}at preparing base: sleep 60/);
  expect(code).toBe(EXIT.budget);
  expect(repository.git("worktree", "list").split("\n")).toHaveLength(1);
});
