/**
 * The scripts of the workflows and of the action `bench-gate`, run as GitHub runs them: bash with variables. `gh` and `npm` are
 * made up, the report is the real one.
 */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { COMMENT_MARK } from "../packages/bench/src/report/comment.ts";
import { sampleGate } from "../packages/bench/src/results/sample-gate.ts";
import type { Results } from "../packages/bench/src/results/schema.ts";
import { root } from "./workspace.ts";

const WORKFLOWS = readdirSync(join(root, ".github", "workflows")).map((name) => join(".github", "workflows", name));
const ACTION = join(".github", "actions", "bench-gate", "action.yml");
const GATE = join(".github", "workflows", "bench-gate.yml");
const REPORT = join(".github", "workflows", "bench-gate-report.yml");
const NIGHTLY = join(".github", "workflows", "bench-nightly.yml");

const folder = mkdtempSync(join(tmpdir(), "quern-workflows-test-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string): string => join(folder, name);

interface Script {
  /** Of the step: its name or its id. */
  readonly name: string;
  readonly text: string;
  readonly line: number;
}

/** The steps with a script in a file, in their order. Enough of YAML for files that are written as these are. */
function scriptsOf(file: string): Script[] {
  const lines = readFileSync(join(root, file), "utf8").split("\n");
  const found: Script[] = [];
  for (const [i, line] of lines.entries()) {
    const match = /^( *)(- )?run: (.*)$/.exec(line);
    if (match === null) continue;
    const [, indent = "", dash = "", rest = ""] = match;
    const column = indent.length + dash.length;
    const block: string[] = [];
    for (const next of lines.slice(i + 1)) {
      if (rest !== "|" || (next.trim() !== "" && !next.startsWith(" ".repeat(column + 1)))) break;
      block.push(next.slice(column + 2));
    }
    const before = lines.slice(0, i + 1).findLastIndex((each) => each.startsWith(`${" ".repeat(column - 2)}- `));
    const names = lines.slice(before, i + 1).flatMap((each) => /^[ -]+(?:name|id): (.*)$/.exec(each)?.[1] ?? []);
    found.push({ name: names[0] ?? "", text: rest === "|" ? block.join("\n") : rest, line: i + 1 });
  }
  return found;
}

function script(file: string, name: string): string {
  const found = scriptsOf(file).find((each) => each.name === name);
  if (found === undefined) throw new Error(`${file} has no step "${name}" with a script`);
  return found.text;
}

function program(name: string, text: string): void {
  writeFileSync(path(`bin/${name}`), text);
  chmodSync(path(`bin/${name}`), 0o755);
}

/** Runs a script in the folder; standard error is shown where it fails. */
function bash(
  text: string,
  env: Readonly<Record<string, string>> = {},
): { readonly code: number | null; readonly out: string } {
  const all = {
    PATH: `${path("bin")}:${process.env["PATH"]}`,
    HOME: folder,
    RUNNER_TEMP: path("temp"),
    ...FILES,
    ...env,
  };
  const { status, stdout, stderr } = spawnSync("bash", ["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", text], {
    cwd: folder,
    encoding: "utf8",
    env: all,
  });
  return { code: status, out: `${stdout}${stderr}` };
}

const FILES = { GITHUB_STEP_SUMMARY: path("summary.md"), GITHUB_OUTPUT: path("output.txt") };

const cli = join(root, "packages", "bench", "src", "commands", "main.ts");
const quern = `exec "${process.execPath}" --conditions=quern-src --disable-warning=ExperimentalWarning "${cli}"`;

/** GitHub with one pull request: comments are kept in a file, and found by what their text begins with. */
const GH = `#!${process.execPath}
const { appendFileSync, existsSync, readFileSync, writeFileSync } = require("node:fs");
const args = process.argv.slice(2);
const value = (name) => args[args.indexOf(name) + 1];
const url = args.find((arg) => arg.startsWith("repos/"));
const store = ${JSON.stringify(path("comments.json"))};
const comments = existsSync(store) ? JSON.parse(readFileSync(store, "utf8")) : [];
const method = args.includes("--method") ? value("--method") : "GET";
const body = args.some((arg) => arg.startsWith("body=@")) ? readFileSync(args.find((arg) => arg.startsWith("body=@")).slice(6), "utf8") : "";
if (url.endsWith("/pulls")) {
  if (value("--jq").includes('"' + process.env.HEAD_IN_PULL + '"')) console.log(process.env.PULLS);
} else if (method === "GET") {
  const start = /startswith\\("(.*?)"\\)/.exec(value("--jq"))[1];
  for (const { id, text } of comments) if (text.startsWith(start)) console.log(id);
} else {
  if (body.length > 65536) process.exit(1);
  if (method === "POST") comments.push({ id: 100 + comments.length, text: body });
  else comments.find(({ id }) => url.endsWith("/comments/" + id)).text = body;
  writeFileSync(store, JSON.stringify(comments));
}
`;

beforeEach(() => {
  rmSync(folder, { recursive: true });
  mkdirSync(path("bin"), { recursive: true });
  mkdirSync(path("temp"));
});

describe("every script", () => {
  const all = [...WORKFLOWS, ACTION].flatMap((file) => scriptsOf(file).map((each) => ({ file, ...each })));

  it("is found", () => {
    expect(all.length).toBeGreaterThanOrEqual(9);
  });

  it.each(all)("$file:$line is bash, and takes nothing but variables", ({ text }) => {
    const { status, stderr } = spawnSync("bash", ["-n", "-c", text], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    // A branch may be called as a command is.
    expect(text).not.toContain("${{");
  });
});

describe("the comment of a pull request", () => {
  const ENV = {
    GITHUB_REPOSITORY: "o/r",
    HEAD_SHA: "a1",
    HEAD_IN_PULL: "a1",
    HEAD_REPOSITORY: "o/r",
    HEAD_BRANCH: "b",
    NUMBER: "",
    PULLS: "7",
    RUN_URL: "https://example.com/runs/1",
  };

  /** Renders and publishes; gives all comments that there are then. */
  function publish(first: unknown, second?: unknown, env: Readonly<Record<string, string>> = {}): string[] {
    program("gh", GH);
    program("npm", `#!/usr/bin/env bash\nshift 4 # run --silent quern --\n${quern} "$@"\n`);
    for (const [name, results] of Object.entries({ "bench-gate": first, "bench-gate-confirm": second })) {
      rmSync(path(`temp/${name}`), { recursive: true, force: true });
      if (results === undefined) continue;
      mkdirSync(path(`temp/${name}`));
      writeFileSync(path(`temp/${name}/results.json`), JSON.stringify(results));
    }
    for (const step of ["render", "comment"]) {
      const { code, out } = bash(script(REPORT, step), { ...ENV, ...env });
      expect(code, out).toBe(0);
    }
    if (!existsSync(path("comments.json"))) return [];
    const comments = JSON.parse(readFileSync(path("comments.json"), "utf8")) as { text: string }[];
    return comments.map(({ text }) => text);
  }

  const calm = (): Results => {
    const gate = sampleGate();
    const benches = gate.benches!.map((bench) => ({ ...bench, verdict: "EQUIVALENT" as const }));
    return { ...gate, benches, summary: { verdict: "EQUIVALENT", exitCode: 0, geomean: 1 } };
  };

  it("is one, whatever is found", () => {
    const [first, ...others] = publish(sampleGate());
    expect(others).toEqual([]);
    expect(first).toMatch(/^<!-- quern bench-gate -->\n### ERROR/);
    expect(publish(calm())).toEqual([expect.stringMatching(/^<!-- quern bench-gate -->\n### EQUIVALENT/)]);
    expect(publish(undefined)).toEqual([expect.stringMatching(/^<!-- quern bench-gate -->\n### No report/)]);
    expect(publish(sampleGate())).toEqual([first]);
  });

  it("says what a second machine found, and so does the summary, which stays", () => {
    const [comment] = publish(sampleGate(), calm());
    expect(comment).toMatch(/^<!-- quern bench-gate -->\n## Second machine: 1 cleared of 1\n/);
    expect(comment).toContain("## First machine");
    expect(comment).toContain("An alarm fails the build unless the second machine clears it, or it is accepted.");
    publish(calm());
    expect(readFileSync(path("summary.md"), "utf8")).toMatch(/## Second machine: 1 cleared of 1[^]*### EQUIVALENT/);
  });

  it.each([
    ["there is no artifact", undefined, undefined],
    ["the results are of another form", { schema: "quern.results/2" }, undefined],
    ["those of the second machine are", sampleGate(), "</script>"],
  ])("links to the run where %s", (_, first, second) => {
    expect(publish(first, second)).toEqual([
      `${COMMENT_MARK}\n### No report\n\nThe run has left no results that can be read: see [its log](https://example.com/runs/1).\n`,
    ]);
  });

  it("is left alone where the commit is no longer that of a pull request", () => {
    expect(publish(sampleGate(), undefined, { HEAD_IN_PULL: "b2" })).toEqual([]);
  });

  it("goes to the pull request that the run names, and to none where several have its commit", () => {
    expect(publish(sampleGate(), undefined, { PULLS: "7\n8" })).toEqual([]);
    expect(publish(sampleGate(), undefined, { PULLS: "7\n8", NUMBER: "8" })).toHaveLength(1);
  });
});

describe("the action", () => {
  const INPUTS = {
    GATE_BASE: "main",
    GATE_HEAD: ".",
    GATE_FILTER: "",
    GATE_PROFILE: "ci",
    GATE_DELTA: "",
    GATE_BUDGET: "",
    GATE_STRICT: "false",
    GATE_ADVISORY: "false",
    GATE_IDENTICAL: "neutral",
    GATE_RUNNER_CONFIRM: "false",
    GATE_COMMAND: "quern-bench",
    GATE_ACCEPT: "",
    GATE_RUN: "5",
  };

  it("keeps the reports of a gate that is refused, and fails by its exit code", () => {
    program("quern-bench", `#!/usr/bin/env bash\n${quern} "$@"\n`);
    const { code, out } = bash(script(ACTION, "gate"), INPUTS);
    expect(code, out).toBe(2);
    expect(readdirSync(path("temp/bench-gate")).sort()).toEqual([
      "junit.xml",
      "report.html",
      "report.md",
      "results.json",
      "summary.md",
    ]);
    expect(readFileSync(path("output.txt"), "utf8")).toBe("exit-code=2\nverdict=ERROR\nregressed=\n");
    expect(readFileSync(path("summary.md"), "utf8")).toMatch(/^### ERROR: refused: /);
  });

  it("leaves a regression to a second machine where it should, and tries a disturbed one again", () => {
    const line = JSON.stringify({ verdict: "REGRESSED", regressed: ["sort/1e4", "$(touch x)"] });
    program("quern-bench", `#!/usr/bin/env bash\necho '${line}'\nexit "$(cat ${path("code")})"\n`);
    writeFileSync(path("code"), "1");
    expect(bash(script(ACTION, "gate"), { ...INPUTS, GATE_RUNNER_CONFIRM: "true" }).code).toBe(0);
    expect(readFileSync(path("output.txt"), "utf8")).toBe("exit-code=1\nverdict=REGRESSED\nregressed=sort/1e4\n");
    expect(bash(script(ACTION, "gate"), INPUTS).code).toBe(1);

    // So do npx where there is no such program, and Node where it cannot load one.
    program("quern-bench", "#!/usr/bin/env bash\necho 'npm error'\nexit 1\n");
    expect(bash(script(ACTION, "gate"), { ...INPUTS, GATE_RUNNER_CONFIRM: "true" }).code).toBe(70);

    program("quern-bench", `#!/usr/bin/env bash\necho x >> "${path("calls")}"\necho '{}'\nexit 3\n`);
    expect(bash(script(ACTION, "gate"), INPUTS).code).toBe(3);
    expect(readFileSync(path("calls"), "utf8")).toBe("x\nx\n");
  });

  it.each([
    ["IDENTICAL", "base and head load the same files"],
    ["NEW", "the base has no benches"],
  ])("warns beside the green mark where nothing was measured: %s", (verdict, why) => {
    program("quern-bench", `#!/usr/bin/env bash\necho '${JSON.stringify({ verdict, regressed: [] })}'\n`);
    const { code, out } = bash(script(ACTION, "gate"), INPUTS);
    expect(code).toBe(0);
    expect(out).toContain(`::warning title=bench-gate::Nothing was measured: ${why}. This is no pass.\n`);
    expect(readFileSync(path("output.txt"), "utf8")).toContain(`verdict=${verdict}\n`);
  });
});

describe("the gate of a pull request", () => {
  const text = readFileSync(join(root, GATE), "utf8");

  it("runs again when its text is edited, which may accept a regression", () => {
    expect(text).toMatch(/\n {2}pull_request:\n(?: {4}#.*\n)* {4}types: \[opened, synchronize, reopened, edited\]\n/);
  });

  it.each([
    ["EQUIVALENT", true],
    ["IMPROVED", true],
    ["INCONCLUSIVE", false],
    ["REGRESSED", false],
    ["IDENTICAL", false],
    ["", false],
  ])("is cleared by a second machine where that finds %j: %j", (verdict, cleared) => {
    const ended = bash(script(GATE, "cleared"), { CLEARED: "sort/1e4", VERDICT: verdict });
    expect(ended.code).toBe(0);
    expect(ended.out).toBe(cleared ? "::notice title=bench-gate::Cleared by a second machine - sort/1e4\n" : "");
  });

  it("fails where the second machine cannot decide", () => {
    const recipe = readFileSync(join(root, "docs", "gate-in-ci.md"), "utf8");
    for (const each of [text, recipe]) {
      const confirm = each.slice(each.indexOf("\n  confirm:\n"));
      expect(confirm.slice(0, confirm.indexOf("artifact: bench-gate-confirm"))).toMatch(/\n {10}strict: "true"\n/);
    }
  });
});

describe("every night", () => {
  const LAST = "no slower than the last release";

  function measure(code: number, begun = true): { readonly code: number | null; readonly output: string } {
    program("git", "#!/usr/bin/env bash\necho v1.0\n");
    program("npm", `#!/usr/bin/env bash\necho "$@" >> "${path("calls")}"\nexit ${code}\n`);
    mkdirSync(path("nightly"), { recursive: true });
    if (begun) writeFileSync(path("nightly/results.json"), "{}");
    writeFileSync(path("output.txt"), "");
    const ended = bash(script(NIGHTLY, "measure"), { GITHUB_RUN_NUMBER: "9" });
    return { code: ended.code, output: readFileSync(path("output.txt"), "utf8") };
  }

  it("a regression is kept for the end of the job, which it fails", () => {
    expect(measure(1, false)).toEqual({ code: 1, output: "" });
    expect(measure(1)).toEqual({ code: 0, output: "slower-than=v1.0\n" });
    expect(bash(script(NIGHTLY, LAST), { BASE: "v1.0" })).toMatchObject({
      code: 1,
      out: expect.stringContaining("main is slower than v1.0") as string,
    });
    const texts = scriptsOf(NIGHTLY).map(({ name, text }) => (name === "" ? text : name));
    expect(texts).toEqual([
      "measure",
      "npm run --silent quern -- history add nightly/results.json --push origin",
      "npm run --silent quern -- history analyze --fail-since 3d",
      LAST,
    ]);
    // Whether or not the analysis has failed before.
    expect(readFileSync(join(root, NIGHTLY), "utf8")).toContain(
      `- name: ${LAST}\n        if: \${{ !cancelled() && steps.measure.outputs.slower-than != '' }}\n`,
    );
  });

  it("a pass is one, and what is neither ends the job at once", () => {
    expect(measure(0)).toEqual({ code: 0, output: "" });
    expect(measure(4)).toEqual({ code: 4, output: "" });
    rmSync(path("calls"));
    expect(measure(3)).toEqual({ code: 3, output: "" });
    expect(readFileSync(path("calls"), "utf8").trimEnd().split("\n")).toHaveLength(2);
  });
});
