/**
 * The gate on this repository itself, short enough for every run of CI: the working tree against the commit before the last
 * change of code that our benches load. Where a clone does not reach so far back, the tree is compared with a copy of itself: the
 * machinery is proven all the same, and the report says what it compared.
 *
 * Advisory: a dozen pairs prove no regression of a few per cent. What fails is what no machine excuses: wrong outputs, crashes,
 * missing benches, a broken configuration. `bench-gate.yml` is the gate of pull requests.
 *
 * usage: node scripts/bootstrap.mjs node scripts/self-gate.ts [options of `quern gate`]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXIT } from "../packages/bench/src/gate/exit-codes.ts";
import { readResults } from "../packages/bench/src/results/read.ts";
import { root } from "./workspace.ts";

/** What bench files import. Tests change no arm. */
const LOADED = [
  ...["core", "kernels-cpu", "importers", "llm", "bench"].map((name) => `packages/${name}/src`),
  ":(exclude)*.test.ts",
  ":(exclude)*.test-support.ts",
];

const SHORT = ["--profile", "quick", "--pairs", "6,12", "--budget", "150s", "--quiet"];

/** Codes that say something of the machine and of the time it had, and nothing of the code. */
const EXCUSED: Readonly<Record<number, string>> = {
  [EXIT.invalid]: "the machine was disturbed: nothing is said of the code",
  [EXIT.budget]: "the time was too short to say more",
};

function git(...args: readonly string[]): string {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : "";
}

/** The commit before the last change; undefined where there is none, or the clone ends there. */
function baseCommit(): string | undefined {
  const changed = git("log", "-1", "--first-parent", "--format=%H", "HEAD", "--", ...LOADED);
  return changed === "" ? undefined : git("rev-parse", "--verify", "--quiet", `${changed}^1`) || undefined;
}

function main(): number {
  const base = baseCommit();
  console.log(
    base === undefined
      ? "base: a copy of the head, since this clone has no older state of the code"
      : `base: ${git("log", "-1", "--format=%h %s", base)}`,
  );
  const folder = mkdtempSync(join(tmpdir(), "quern-self-gate-"));
  const file = join(folder, "results.json");
  try {
    const cli = join(root, "apps", "cli", "src", "main.ts");
    const arms = ["--base", base ?? "HEAD", "--head", ".", "--exact", "--allow-identical"];
    const args = [...process.execArgv, cli, "gate", ...arms, ...SHORT, "--json", file, ...process.argv.slice(2)];
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
    const code = status ?? EXIT.internal;
    if (code === EXIT.pass || code in EXCUSED) describe(file);
    const excuse = EXCUSED[code];
    if (excuse !== undefined) console.log(`accepted: ${excuse}`);
    return excuse === undefined ? code : EXIT.pass;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a reader of the log may otherwise take for more than it is. */
function describe(file: string): void {
  const { arms = [], benches = [], run } = readResults(file);
  // The budget may be spent by builds alone, and the disk be full before anything is measured.
  if (run?.refused !== undefined) return;
  if (benches.length === 0) throw new Error("the gate measured no bench");
  if (new Set(arms.map(({ artefactSha256 }) => artefactSha256)).size === 1)
    console.log("both arms load the same files: what differs is noise");
}

process.exitCode = main();
