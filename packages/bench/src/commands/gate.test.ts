/** The command from outside: exit codes, files, the line for scripts, Ctrl-C. What is measured is as small as it can be. */

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { readResults } from "../results/read.ts";
import { EXIT } from "../gate/exit-codes.ts";

const folder = mkdtempSync(join(tmpdir(), "quern-gate-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const BENCH = (more: string): string => `export default {
  id: "sum",
  inputs: (random) => Float64Array.from({ length: 2000 }, () => random.uniform()),
  run: (_, x) => { let s = 0; for (let r = 0; r < 20; r++) for (let i = 0; i < x.length; i++) s += x[i] * r; return s; },
};
// ${more}
`;

for (const [name, more] of [
  ["old", "old"],
  ["new", "new"],
  ["same", "old"],
] as const) {
  mkdirSync(join(folder, name, "bench"), { recursive: true });
  writeFileSync(join(folder, name, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, name, "bench", "sum.bench.js"), BENCH(more));
}

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const ARGS = ["--conditions=quern-src", "--disable-warning=ExperimentalWarning", main];
const SMALL = { ...process.env, BENCH_PAIRS: "3,3", BENCH_ROUNDS: "3", BENCH_SLICE: "1ms", QUERN_DEBUG: "" };
const ENDINGS: readonly (number | null)[] = [EXIT.pass, EXIT.regressed, EXIT.invalid];

function call(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...ARGS, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: SMALL,
  });
  return { code: status, stdout, stderr };
}

describe("wrong use ends with exit code 2 and says what is wrong", () => {
  it.each([
    { args: ["gate"], says: /--base/ },
    { args: ["gate", "--base", "nowhere"], says: /nowhere/ },
    { args: ["gate", "--base", "old", "--head", "new", "-o", "pdf=x"], says: /no report in the form "pdf"/ },
    {
      args: ["gate", "--base", "old", "--head", "new", "--json", "old/package.json/x.json"],
      says: /cannot be written/,
    },
    { args: ["gate", "--base", "old", "--head", "new", "--delta", "lots"], says: /--delta/ },
    { args: ["gate", "--base", "old", "--head", "new", "-f", "nothing"], says: /nothing/ },
    { args: ["gate", "--base", "old", "--head", "old"], says: /same folder/ },
    { args: ["selftest", "AT99"], says: /AT99/ },
    { args: ["calibrate", "--aa", "none"], says: /--aa/ },
    { args: ["gate", "--base", "old", "--head", "same"], says: /identical files[^]*--identical neutral/ },
    { args: ["gate", "--base", "old", "--head", "new", "--identical", "fine"], says: /error, neutral/ },
    {
      args: ["gate", "--base", "old", "--head", "same", "--identical", "neutral", "--allow-identical"],
      says: /either measured or left unmeasured/,
    },
    { args: ["gate", "--base", "old", "--head", "old", "--identical", "neutral"], says: /same folder/ },
    { args: ["bisect", "sum", "--good", "a", "--bad", "b", "--threshold", "0.5"], says: /--threshold/ },
    ...["1", "0.3", "101%", "high", "0.95%", ""].map((text) => ({
      args: ["bisect", "sum", "--good", "a", "--bad", "b", "--confidence", text],
      says: /--confidence/,
    })),
  ])("$args", ({ args, says }) => {
    const { code, stderr } = call(...args);
    expect(stderr).toMatch(says);
    expect(code).toBe(EXIT.usage);
    expect(stderr).not.toContain("defect");
  });
});

describe("quern-bench gate", () => {
  it("shows the configuration that counts", () => {
    const { code, stdout } = call("gate", "--base", "old", "--dump-config", "--delta", "5%");
    expect(code).toBe(0);
    expect(stdout).toContain("delta: 0.05, // --delta");
    expect(stdout).toContain("pairs: [3,3], // BENCH_PAIRS");
  });

  it("measures nothing where both builds are the same and that is neutral, and says so", () => {
    const args = ["gate", "--base", "old", "--head", "same", "--identical", "neutral", "-q", "--json-summary"];
    const { code, stdout } = call(...args, "--json", "out-same.json");
    expect(code).toBe(EXIT.pass);
    expect(stdout).toMatch(/^IDENTICAL: NOTHING WAS MEASURED/);
    const line = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as object;
    expect(line).toMatchObject({ verdict: "IDENTICAL", exitCode: 0, identical: true, counts: {}, regressed: [] });
    const results = readResults(join(folder, "out-same.json"));
    expect(results.summary).toEqual({ verdict: "IDENTICAL", exitCode: 0, geomean: null });
    expect(results.arms?.map(({ artefactSha256 }) => artefactSha256)).toHaveLength(2);
  });

  it("a plan has no results: a report of it is refused", () => {
    const { code, stderr } = call("gate", "--base", "old", "--head", "new", "--dry-run", "-o", "md=plan.md");
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain("a plan has no results to report");
  });

  it("writes whole files and a last line for scripts", () => {
    const reports = ["json=out/r.json.gz", "md=out/r.md", "junit=out/r.xml"].flatMap((report) => ["-o", report]);
    const { code, stdout } = call("gate", "--base", "old", "--head", "new", "-q", "--json-summary", ...reports);
    expect(ENDINGS).toContain(code);
    const summary = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as { exitCode: number; files: string[] };
    expect(summary.exitCode).toBe(code);
    expect(summary.files).toEqual(["out/r.json.gz", "out/r.md", "out/r.xml"]);
    expect(readdirSync(join(folder, "out")).sort()).toEqual(["r.json.gz", "r.md", "r.xml"]);
    const results = readResults(join(folder, "out", "r.json.gz"));
    expect(results.benches?.map(({ id }) => id)).toEqual(["sum"]);
    expect(results.run?.argv.slice(0, 3)).toEqual(["gate", "--base", "old"]);
    expect(readFileSync(join(folder, "out", "r.md"), "utf8")).toContain("sum");
  });

  it("a refusal takes the place of older reports; a wrong option does not", () => {
    const green = '<testsuites tests="1" failures="0" errors="0"/>';
    mkdirSync(join(folder, "stale"), { recursive: true });
    const junit = join(folder, "stale", "junit.xml");
    writeFileSync(junit, green);
    const outputs = ["-o", "json=stale/r.json", "-o", "junit=stale/junit.xml", "-o", "bmf=stale/b.json"];
    const args = ["gate", "--base", "old", "-q", "--json-summary", ...outputs];

    for (const wrong of [
      ["--head", "new", "--delta", "lots"],
      ["--head", "new", "-f", "n="],
      ["--head", "same", "--identical", "neutral", "--allow-identical"],
      ["--head", "new", "-o", "pdf=x"],
    ]) {
      expect(call(...args, ...wrong).code, wrong.join(" ")).toBe(EXIT.usage);
      expect(readFileSync(junit, "utf8")).toBe(green);
      expect(readdirSync(join(folder, "stale"))).toEqual(["junit.xml"]);
    }

    const same = call(...args, "--head", "same");
    expect(same.code).toBe(EXIT.usage);
    expect(same.stderr).toContain("identical files");
    expect(readFileSync(junit, "utf8")).toMatch(/errors="1"[^]*refused: base and head load identical files/);
    const results = readResults(join(folder, "stale", "r.json"));
    expect(results.summary).toEqual({ verdict: "ERROR", exitCode: EXIT.usage, geomean: null });
    expect(results.run?.argv.slice(0, 3)).toEqual(["gate", "--base", "old"]);
    const line = JSON.parse(same.stdout.trimEnd().split("\n").at(-1) ?? "") as { files: string[] };
    expect(line).toMatchObject({ verdict: "ERROR", exitCode: EXIT.usage, regressed: [] });
    expect(line.files).toEqual(["stale/r.json", "stale/junit.xml"]);

    writeFileSync(
      join(folder, "fails.config.mjs"),
      'export default { version: 1, prepare: ["echo it broke >&2; exit 3"] };',
    );
    execFileSync("git", ["init", "--quiet", "repository"], { cwd: folder });
    const repository = join(folder, "repository");
    cpSync(join(folder, "new"), repository, { recursive: true });
    cpSync(join(folder, "fails.config.mjs"), join(repository, "quern.bench.config.mjs"));
    const identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
    execFileSync("git", ["add", "."], { cwd: repository });
    execFileSync("git", [...identity, "commit", "--quiet", "-m", "one"], { cwd: repository });
    writeFileSync(join(repository, "more.js"), "");
    const { status } = spawnSync(
      process.execPath,
      [...ARGS, "gate", "--base", "HEAD", "-q", "-o", "md=report.md", "-o", "junit=junit.xml"],
      { cwd: repository, env: SMALL },
    );
    expect(status).toBe(EXIT.wrong);
    expect(readFileSync(join(repository, "report.md"), "utf8")).toMatch(/^### ERROR: refused: [^]*it broke/);
    expect(readFileSync(join(repository, "junit.xml"), "utf8")).toContain('errors="1"');
  });

  it("Ctrl-C leaves what was measured, marked", async () => {
    const file = join(folder, "interrupted.json");
    const args = ["gate", "--base", "old", "--head", "new", "--pairs", "500,500", "--json", file];
    const child = spawn(process.execPath, [...ARGS, ...args], {
      cwd: folder,
      env: SMALL,
      // As in a terminal, everyone in the group gets the signal.
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let heard = "";
    child.stderr.on("data", (chunk: Buffer) => {
      heard += chunk.toString();
      if (heard.includes("screening") && !child.killed) {
        child.removeAllListeners("data");
        heard = "";
        process.kill(-(child.pid as number), "SIGINT");
      }
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(code).toBe(EXIT.interrupted);
    expect(readResults(file).run?.aborted).toBe(true);
  });
});

describe("quern-bench bisect", () => {
  it("Ctrl-C before the search is no defect", async () => {
    const hanging = join(folder, "hanging");
    writeFileSync(
      join(folder, "hang.config.mjs"),
      `import { writeFileSync } from "node:fs";
writeFileSync(${JSON.stringify(hanging)}, "");
await new Promise(() => setInterval(() => {}, 1000));
export default { version: 1 };
`,
    );
    const builds = ["--good", "a", "--bad", "b", "--config", "hang.config.mjs"];
    const args = ["bisect", "sum", ...builds, "--state", join(folder, "bisect.json"), "-q"];
    const child = spawn(process.execPath, [...ARGS, ...args], {
      cwd: folder,
      env: SMALL,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let heard = "";
    child.stderr.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    const end = new Promise((resolve) => child.once("close", resolve));
    while (!existsSync(hanging) && child.exitCode === null) await setTimeout(20);
    child.kill("SIGINT");
    expect(await end).toBe(EXIT.interrupted);
    expect(heard).toBe("quern-bench: interrupted before anything was measured\n");
  });
});
