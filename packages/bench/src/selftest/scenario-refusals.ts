/** AT9: arms that cannot differ, or that load what is not theirs, are refused before anything is measured, or found out then. */

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../gate/exit-codes.ts";
import { gateFolders, type MeasuredOptions, type MeasuredTest } from "./measured.ts";
import { expectError, expectRefusal, runScenarios, SMALL } from "./scenario-driver.ts";
import { benchFile, FILE, GOOD, LATE } from "./scenario-files.ts";
import { writtenArms } from "./suite-arms.ts";

const LATE_FILE = "bench/late.js";

export const refusedArms: MeasuredTest = async (options) => {
  const written = await runScenarios(
    "AT9",
    "arms that cannot differ are refused before anything is measured",
    [{ name: "identical files", base: GOOD, head: GOOD, wrong: expectRefusal(EXIT.usage, /identical files/) }],
    options,
  );
  const found = [
    await foreignFile(options),
    await lateForeignFile(options),
    await sameFolder(options),
    await sameCommit(options),
  ];
  const more = found.filter((text) => text !== undefined);
  return {
    ...written,
    passed: written.passed && more.length === 0,
    detail: [written.detail, ...more].join("\n"),
    numbers: { scenarios: 1 + found.length, wrong: (written.numbers["wrong"] ?? 0) + more.length },
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

/** The head takes a file of the base, by a path that only later calls follow. */
async function lateForeignFile({ progress, signal }: MeasuredOptions): Promise<string | undefined> {
  const arms = writtenArms({ ...GOOD, [LATE_FILE]: "export const build = 1;\n" }, GOOD);
  try {
    const path = JSON.stringify(join(arms.base, LATE_FILE));
    const run = `async: true, run: async (s, x) => { if (++s.calls > ${LATE}) await import(${path}); s.out[0] = sum(x); return s.out; },`;
    writeFileSync(join(arms.head, FILE), benchFile(run));
    const ended = await gateFolders(arms, { flags: SMALL, progress, signal });
    const wrong = expectError(/head loaded a file/)(ended);
    return wrong === undefined ? undefined : `a file that is loaded only while it is measured: ${wrong}`;
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
