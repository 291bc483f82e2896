/** AT9: arms that cannot differ, or that load what is not theirs, are refused before anything is measured, or found out then. */

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { EXIT } from "../gate/exit-codes.ts";
import { gateFolders, type MeasuredOptions, type MeasuredTest } from "./measured.ts";
import { expectError, expectRefusal, runScenarios, SMALL } from "./scenario-driver.ts";
import { benchFile, FILE, GOOD, LATE } from "./scenario-files.ts";
import { writtenArms } from "./suite-arms.ts";

const LATE_FILE = "bench/late.js";
const ADDON_FILE = "bench/own.node";

/** What is wrong with how it ended; undefined: nothing. `{ skipped }`: why it was not tried. */
type Outcome = string | undefined | { readonly skipped: string };

const MORE: readonly (readonly [name: string, run: (options: MeasuredOptions) => Promise<Outcome>])[] = [
  ["a file from outside of the arm", foreignFile],
  ["a file of the other arm that is loaded only while it is measured", lateForeignFile],
  ["the native addon of the other arm", foreignAddon],
  ["the same folder twice", sameFolder],
  ["merge base and head are one commit", sameCommit],
];

export const refusedArms: MeasuredTest = async (options) => {
  const title = "arms that cannot differ are refused before anything is measured";
  const identical = {
    name: "identical files",
    base: GOOD,
    head: GOOD,
    wrong: expectRefusal(EXIT.usage, /identical files/),
  };
  const written = await runScenarios("AT9", title, [identical], options);
  const lines: string[] = [];
  let wrong = written.numbers["wrong"] ?? 0;
  let skipped = 0;
  for (const [name, run] of MORE) {
    const outcome = await run(options);
    if (outcome === undefined) lines.push(`ok: ${name}`);
    else if (typeof outcome === "object") {
      lines.push(`skipped: ${name}, ${outcome.skipped}`);
      skipped += 1;
    } else {
      lines.push(`WRONG: ${name}: ${outcome}`);
      wrong += 1;
    }
  }
  return {
    ...written,
    passed: wrong === 0,
    detail: [written.detail, ...lines].join("\n"),
    numbers: { scenarios: 1 + MORE.length, wrong, skipped },
  };
};

/** An absolute path leads out of the arm, to a build that is not its own. */
async function foreignFile({ progress, signal }: MeasuredOptions): Promise<Outcome> {
  const arms = writtenArms(GOOD, GOOD);
  try {
    const elsewhere = join(arms.root, "elsewhere.js");
    writeFileSync(elsewhere, "export const build = 1;\n");
    writeFileSync(join(arms.head, FILE), benchFile("", `import ${JSON.stringify(elsewhere)};`));
    const ended = await gateFolders(arms, { flags: SMALL, progress, signal });
    return expectRefusal(EXIT.wrong, /outside of its directory/)(ended);
  } finally {
    arms.remove();
  }
}

/** The head takes a file of the base, by a path that only later calls follow. */
async function lateForeignFile({ progress, signal }: MeasuredOptions): Promise<Outcome> {
  const arms = writtenArms({ ...GOOD, [LATE_FILE]: "export const build = 1;\n" }, GOOD);
  try {
    const path = JSON.stringify(join(arms.base, LATE_FILE));
    const run = `async: true, run: async (s, x) => { if (++s.calls > ${LATE}) await import(${path}); s.out[0] = sum(x); return s.out; },`;
    writeFileSync(join(arms.head, FILE), benchFile(run));
    const ended = await gateFolders(arms, { flags: SMALL, progress, signal });
    return expectError(/head loaded a file/)(ended);
  } finally {
    arms.remove();
  }
}

async function sameFolder({ progress, signal }: MeasuredOptions): Promise<Outcome> {
  const arms = writtenArms(GOOD, GOOD);
  try {
    const ended = await gateFolders({ ...arms, head: arms.base }, { flags: SMALL, progress, signal });
    return expectRefusal(EXIT.usage, /same folder/)(ended);
  } finally {
    arms.remove();
  }
}

/** In a repository whose branch has been merged: the merge base is the head. */
async function sameCommit(options: MeasuredOptions): Promise<Outcome> {
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
    return expectRefusal(EXIT.usage, /same commit/)(ended);
  } finally {
    arms.remove();
  }
}

/** Both arms have a copy of an addon. Each may load its own; that of the other is a build that is not measured. */
async function foreignAddon({ progress, signal }: MeasuredOptions): Promise<Outcome> {
  const addon = installedAddon();
  if (addon === undefined) return { skipped: "since no native addon is installed here (koffi has one)" };
  const arms = writtenArms(GOOD, GOOD);
  const loading = (path: string, comment = ""): string =>
    benchFile(
      "",
      `${comment}import { createRequire } from "node:module";\ncreateRequire(import.meta.url)(${JSON.stringify(path)});`,
    );
  try {
    for (const folder of [arms.base, arms.head]) cpSync(addon, join(folder, ADDON_FILE));
    writeFileSync(join(arms.base, FILE), loading("./own.node"));
    writeFileSync(join(arms.head, FILE), loading("./own.node", "// another build\n"));
    const own = await gateFolders(arms, { flags: SMALL, progress, signal });
    if (own.refused !== undefined) return `each with its own was refused: ${own.refused}`;
    if (own.exitCode === EXIT.wrong) return "each with its own ended with exit code 4";
    writeFileSync(join(arms.head, FILE), loading(join(arms.base, ADDON_FILE)));
    const ended = await gateFolders(arms, { flags: SMALL, progress, signal });
    // Arms are staged as copies, so that the path leads to what the base was made from.
    return expectRefusal(
      EXIT.wrong,
      /head loads a file (of base|from outside of its directory)\n {2}at .*own\.node/,
    )(ended);
  } finally {
    arms.remove();
  }
}

/** Koffi's addon: it needs nothing beside it. Found as a peer of this package, or beside the kernels, which depend on it. */
function installedAddon(): string | undefined {
  const { platform, arch } = process;
  const here = createRequire(import.meta.url);
  for (const name of ["koffi", "@quern/kernels-cpu/package.json"]) {
    try {
      const koffi = createRequire(here.resolve(name)).resolve("koffi");
      const binary = createRequire(koffi).resolve(`@koromix/koffi-${platform}-${arch}/package.json`);
      const addon = join(dirname(binary), `${platform}_${arch}`, "koffi.node");
      if (existsSync(addon)) return addon;
    } catch {
      // It is not installed, or not for this machine.
    }
  }
  return undefined;
}
