/**
 * Acceptance tests with small arms written for them: what must be refused, what must be an error, what must not be judged.
 * Bench files here are text, since most of them are wrong on purpose.
 */

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Flags } from "../define/resolve-config.ts";
import { EXIT } from "../gate/exit-codes.ts";
import { GATE_PARTS, type GateParts } from "../gate/gate-parts.ts";
import { controlScenarios } from "./scenario-controls.ts";
import { gateFolders, type Ended, type MeasuredOptions, type MeasuredTest } from "./measured.ts";
import type { SelftestResult } from "./result.ts";
import { writtenArms } from "./suite-arms.ts";

/** Few and short pairs: what these tests look for needs no statistics. */
const SMALL: Flags = { pairs: [3, 3], rounds: 4, sliceMs: 1, seed: 1, timeoutS: 60 };

export interface Scenario {
  readonly name: string;
  readonly base: Readonly<Record<string, string>>;
  readonly head: Readonly<Record<string, string>>;
  readonly flags?: Flags;
  readonly filter?: readonly string[];
  readonly allowIdentical?: boolean;
  /** What is wrong with how it ended; undefined: nothing. */
  readonly wrong: (ended: Ended) => string | undefined;
}

export function expectExit(...codes: readonly number[]): Scenario["wrong"] {
  return ({ exitCode, refused }) =>
    codes.includes(exitCode) ? undefined : `exit code ${exitCode}${refused === undefined ? "" : ` (${refused})`}`;
}

/** Not measured at all, with this exit code. */
export function expectRefusal(code: number, words: RegExp): Scenario["wrong"] {
  return ({ exitCode, refused }) => {
    if (refused === undefined) return `it was measured, exit code ${exitCode}`;
    if (exitCode !== code) return `exit code ${exitCode} (${refused})`;
    return words.test(refused) ? undefined : `refused for another reason: ${refused}`;
  };
}

/** Exit code 4, and a bench is an error whose reason says it. */
function expectError(words: RegExp): Scenario["wrong"] {
  return ({ exitCode, refused, results }) => {
    if (exitCode !== EXIT.wrong || results === undefined) {
      return `exit code ${exitCode}${refused === undefined ? "" : ` (${refused})`}`;
    }
    const reasons = (results.benches ?? []).filter(({ verdict }) => verdict === "ERROR").map(({ reason }) => reason);
    return reasons.some((reason) => words.test(reason)) ? undefined : `the reasons are "${reasons.join('", "')}"`;
  };
}

export async function runScenarios(
  test: string,
  title: string,
  scenarios: readonly Scenario[],
  { progress, signal }: Pick<MeasuredOptions, "progress" | "signal">,
  parts: GateParts = GATE_PARTS,
): Promise<SelftestResult> {
  const complaints: string[] = [];
  const lines: string[] = [];
  for (const { name, base, head, flags, filter, allowIdentical, wrong } of scenarios) {
    const arms = writtenArms(base, head);
    try {
      const ended = await gateFolders(
        arms,
        {
          flags: { ...SMALL, ...flags },
          filter,
          allowIdentical,
          progress: (stage, text) => progress(`${test} ${name}: ${stage}`, text),
          signal,
        },
        parts,
      );
      const complaint = wrong(ended);
      lines.push(`${complaint === undefined ? "ok" : "WRONG"}: ${name}, exit code ${ended.exitCode}`);
      if (complaint !== undefined) complaints.push(`${name}: ${complaint}`);
    } finally {
      arms.remove();
    }
  }
  return {
    test,
    title,
    passed: complaints.length === 0,
    detail: [...lines, ...complaints].join("\n"),
    numbers: { scenarios: scenarios.length, wrong: complaints.length },
  };
}

/** A bench file: sums 2000 random numbers some times over. `change` replaces members; `top` goes above. */
function benchFile(change = "", top = ""): string {
  return `${top}
const sum = (input) => { let s = 0; for (let r = 0; r < 20; r++) for (let i = 0; i < input.length; i++) s += input[i] * (r + 1); return s; };
export default [{
  id: "sum",
  setup: () => ({ out: new Float64Array(1), calls: 0, seen: new Map() }),
  inputs: (random) => Float64Array.from({ length: 2000 }, () => random.uniform() - 0.5),
  run: (state, input) => { state.out[0] = sum(input); return state.out; },
  check: (input, out) => Math.abs(out[0] - sum(input)),
  tolerance: 1e-9,
  ${change}
}];
`;
}

const FILE = "bench/sum.bench.js";
const GOOD = { [FILE]: benchFile() };
const headWith = (change: string, top = ""): Record<string, string> => ({ [FILE]: benchFile(change, top) });
/** Another file with the same benches. */
const OTHER = headWith("", "// another build");

/** Calls before the fault: more than the one of the attempt, and those of a warm-up. */
const LATE = 15;

const at9: MeasuredTest = async (options) => {
  const written = await runScenarios(
    "AT9",
    "arms that cannot differ are refused before anything is measured",
    [{ name: "identical files", base: GOOD, head: GOOD, wrong: expectRefusal(EXIT.usage, /identical files/) }],
    options,
  );
  const found = [await foreignFile(options), await sameFolder(options), await sameCommit(options)];
  const more = found.filter((text) => text !== undefined);
  return {
    ...written,
    passed: written.passed && more.length === 0,
    detail: [written.detail, ...more].join("\n"),
    numbers: { scenarios: 4, wrong: (written.numbers["wrong"] ?? 0) + more.length },
  };
};

/** An absolute path leads out of the arm, to a build that is not its own. */
async function foreignFile({ progress, signal }: MeasuredOptions): Promise<string | undefined> {
  const arms = writtenArms(GOOD, GOOD);
  try {
    const elsewhere = join(arms.root, "elsewhere.js");
    writeFileSync(elsewhere, "export const build = 1;\n");
    writeFileSync(join(arms.head, FILE), benchFile("", `import ${JSON.stringify(elsewhere)};`));
    const ended = await gateFolders(arms, { flags: SMALL, progress, signal });
    const wrong = expectRefusal(EXIT.wrong, /outside of its directory/)(ended);
    return wrong === undefined ? undefined : `a file from outside of the arm: ${wrong}`;
  } finally {
    arms.remove();
  }
}

async function sameFolder({ progress, signal }: MeasuredOptions): Promise<string | undefined> {
  const arms = writtenArms(GOOD, GOOD);
  try {
    const ended = await gateFolders({ ...arms, head: arms.base }, { flags: SMALL, progress, signal });
    const wrong = expectRefusal(EXIT.usage, /same folder/)(ended);
    return wrong === undefined ? undefined : `the same folder twice: ${wrong}`;
  } finally {
    arms.remove();
  }
}

/** In a repository whose branch has been merged: the merge base is the head. */
async function sameCommit(options: MeasuredOptions): Promise<string | undefined> {
  const arms = writtenArms(GOOD, GOOD);
  const git = (...args: readonly string[]): void => {
    const who = ["-c", "user.name=quern", "-c", "user.email=quern@example.com", "-c", "commit.gpgsign=false"];
    execFileSync("git", [...who, ...args], { cwd: arms.base, stdio: "ignore" });
  };
  try {
    git("init", "--initial-branch=main");
    git("add", ".");
    git("commit", "--message=one");
    const ended = await gateFolders(
      { base: "main", head: ".", root: arms.base },
      { flags: SMALL, progress: options.progress, signal: options.signal },
    );
    const wrong = expectRefusal(EXIT.usage, /same commit/)(ended);
    return wrong === undefined ? undefined : `merge base and head are one commit: ${wrong}`;
  } finally {
    arms.remove();
  }
}

const at10: MeasuredTest = (options) =>
  runScenarios(
    "AT10",
    "what could not be measured never passes",
    [
      {
        name: "a filter that nothing matches",
        base: GOOD,
        head: OTHER,
        filter: ["nothing/*"],
        wrong: expectExit(EXIT.usage),
      },
      {
        name: "no bench files",
        base: { "x.js": "" },
        head: { "x.js": "//" },
        wrong: expectExit(EXIT.usage, EXIT.wrong),
      },
      {
        name: "a process that crashes while it is measured",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) process.kill(process.pid, "SIGSEGV"); return sum(x); }, check: undefined,`,
        ),
        wrong: expectError(/SIGSEGV|ended/),
      },
      {
        name: "a process that ends by itself",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) process.exit(0); return sum(x); }, check: undefined,`,
        ),
        wrong: expectError(/ended|exit code/),
      },
      {
        name: "a bench that hangs",
        base: GOOD,
        head: headWith(`run: (s, x) => { while (++s.calls > ${LATE}); return sum(x); }, check: undefined,`),
        flags: { timeoutS: 3 },
        wrong: expectError(/answer|within/),
      },
      {
        name: "a bench that throws",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) throw new Error("broken"); return sum(x); }, check: undefined,`,
        ),
        wrong: expectError(/broken/),
      },
      {
        name: "an output that is NaN",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { s.out[0] = ++s.calls > ${LATE} ? NaN : sum(x); return s.out; }, check: undefined,`,
        ),
        wrong: expectError(/NaN|output|number/i),
      },
      {
        name: "messages that are none of the harness's",
        base: GOOD,
        head: headWith(
          `run: (s, x) => { if (++s.calls > ${LATE}) process.send({ nonsense: true }); return sum(x); }, check: undefined,`,
        ),
        wrong: expectExit(EXIT.wrong),
      },
      {
        name: "a file that does not parse",
        base: GOOD,
        head: { [FILE]: "export default [{" },
        wrong: expectExit(EXIT.usage, EXIT.wrong),
      },
      {
        name: "a bench that head lacks",
        base: headWith('}, { id: "gone", run: () => { let s = 0; for (let i = 0; i < 9999; i++) s += i; return s; },'),
        head: GOOD,
        wrong: expectError(/missing/),
      },
    ],
    options,
  );

const at11: MeasuredTest = (options) =>
  runScenarios(
    "AT11",
    "outputs that are wrong, remembered or shared are rejected",
    [
      {
        name: "a wrong output",
        base: GOOD,
        head: headWith("run: (s, x) => { s.out[0] = sum(x) + 1e-6; return s.out; },"),
        wrong: expectError(/output|error|check/i),
      },
      {
        name: "the output of the first call",
        base: GOOD,
        head: headWith("run: (s, x) => { if (s.calls++ === 0) s.out[0] = sum(x); return s.out; },"),
        wrong: expectError(/output|NaN|error|check/i),
      },
      {
        name: "outputs remembered by the identity of the input",
        base: GOOD,
        head: headWith(
          "run: (s, x) => { if (!s.seen.has(x)) s.seen.set(x, sum(x)); s.out[0] = s.seen.get(x); return s.out; },",
        ),
        wrong: expectError(/output|error|check/i),
      },
      {
        name: "a bench that writes to its input",
        base: GOOD,
        head: headWith("run: (s, x) => { s.out[0] = sum(x); x[7] += 1; return s.out; },"),
        wrong: expectError(/input/i),
      },
      {
        name: "an output that is the input",
        base: GOOD,
        head: headWith("run: (s, x) => { sum(x); return x; }, check: undefined,"),
        wrong: expectError(/input|output/i),
      },
      {
        name: "zeros",
        base: GOOD,
        head: headWith("run: (s) => { s.out[0] = 0; return s.out; },"),
        wrong: expectError(/output|error|check/i),
      },
    ],
    options,
  );

const at12: MeasuredTest = (options) =>
  runScenarios(
    "AT12",
    "a body of a few nanoseconds is not evaluated",
    [
      {
        name: "a body of some 20 ns",
        base: headWith("run: (s, x) => x[1] * 3 + x[2], check: undefined,"),
        head: headWith("run: (s, x) => x[1] * 3 + x[3], check: undefined,"),
        wrong: ({ results, exitCode, refused }) => {
          const bench = results?.benches?.[0];
          if (bench === undefined) return refused ?? "there are no results";
          if (!bench.flags.some((flag) => flag === "timer-bound" || flag === "empty-body")) {
            return `flags ${bench.flags.join(", ") || "none"}`;
          }
          if (bench.estimate !== null || bench.verdict === "REGRESSED") return `it was judged: ${bench.verdict}`;
          return exitCode === EXIT.regressed ? "the run failed" : undefined;
        },
      },
    ],
    options,
  );

const at8: MeasuredTest = async (options) => controlScenarios(options, { runScenarios, good: GOOD, other: OTHER });

export const SCENARIO_TESTS: Readonly<Record<string, MeasuredTest>> = {
  AT8: at8,
  AT9: at9,
  AT10: at10,
  AT11: at11,
  AT12: at12,
};
