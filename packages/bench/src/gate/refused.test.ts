/** A gate that was refused or has failed: a result file that nobody can read as a pass. */

import { InternalError, UserError } from "@quern/core/errors";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { recordsOf } from "../history/from-results.ts";
import { Refusal } from "../paired/arms/refusal.ts";
import { renderBadge } from "../report/badge.ts";
import { renderComment } from "../report/comment.ts";
import { renderCsv } from "../report/csv.ts";
import { renderHtml } from "../report/html.ts";
import { renderJunit } from "../report/junit.ts";
import { renderMarkdown } from "../report/markdown.ts";
import { renderTerminal } from "../report/terminal.ts";
import { parseResults } from "../results/read.ts";
import { resultsSchema, type Results } from "../results/schema.ts";
import { judgeGate } from "../vitest/matcher.ts";
import { EXIT } from "./exit-codes.ts";
import { gate, REQUEST } from "./fake-gate.test-support.ts";
import { refusedResults } from "./refused.ts";

const validate = new Ajv2020({ strict: true, formats: { "date-time": true } }).compile(resultsSchema);

function refused(error: unknown, change: Partial<typeof REQUEST> = {}): Results {
  const results = refusedResults({ ...REQUEST, ...change }, error, 1_700_000_000_000, 1_700_000_004_000);
  validate(results);
  expect(validate.errors).toBeNull();
  return parseResults(JSON.stringify(results), "the run");
}

const BUILD = new Refusal("prepare-failed", "the build failed: npm run <build>", {
  where: "prepare of head (.)",
  hint: "> tsc\n\n::error::src/a.ts(1,1): no such type",
});

describe("a refused run", () => {
  it("has the reason, its exit code, and no bench", async () => {
    const error = await gate({ ratios: { a: 1 }, same: true }).catch((caught: unknown) => caught);
    const results = refused(error);
    expect(results.summary).toEqual({ verdict: "ERROR", exitCode: EXIT.usage, geomean: null });
    expect(results.run).toMatchObject({ kind: "gate", argv: REQUEST.argv, seed: 11, wallMs: 4000 });
    expect(results.run?.refused).toMatch(/^base and head load identical files/);
    expect(results.benches).toEqual([]);
  });

  it.each([
    ["a build that fails", BUILD, EXIT.wrong, /^the build failed/],
    ["a full disk", new Refusal("disk-full", "the disk is full"), EXIT.invalid, /^the disk is full$/],
    ["a wrong configuration", new UserError("there is no key x"), EXIT.usage, /^there is no key x$/],
    ["a defect", new TypeError("x is no function"), EXIT.internal, /^this is a defect of quern: x is no function$/],
    ["a defect of ours", new InternalError("lost"), EXIT.internal, /^this is a defect of quern: lost$/],
    ["what is no error at all", "text", EXIT.internal, /text$/],
    ["a long reason", new UserError("x".repeat(1e5)), EXIT.usage, /^x{7999}…$/],
  ])("%s", (_, error, exitCode, reason) => {
    const results = refused(error);
    expect(results.summary?.exitCode).toBe(exitCode);
    expect(results.run?.refused).toMatch(reason);
  });

  it("no report of it reads as a pass", () => {
    const results = refused(BUILD);
    for (const render of [renderTerminal, renderMarkdown, renderComment, renderHtml, renderJunit]) {
      const body = render(results).replace(/<style>.*?<\/style>|<script>.*?<\/script>/gs, "");
      expect(body).toContain("refused: the build failed: npm run ");
      expect(body).not.toMatch(/EQUIVALENT|✓|passed|NOTHING WAS MEASURED/);
      expect(body).toMatch(/no such type/);
      if (render !== renderTerminal) expect(body).not.toContain("<build>");
    }
    expect(renderMarkdown(results)).toMatch(/^### ERROR: refused: the build failed/);
    expect(renderHtml(results)).toContain('<div class="verdict bad">');
    expect(renderJunit(results)).toMatch(/tests="1" failures="0" errors="1" skipped="0"/);
    expect(renderCsv(results).trimEnd().split("\r\n")).toHaveLength(1);
    expect(renderBadge(results)).toContain("not measured");
    expect(judgeGate(results).pass).toBe(false);
    expect(() => recordsOf(results, "x.json")).toThrow(/the run was refused/);
  });

  it("is repeated without a seed that nobody has drawn", () => {
    expect(renderTerminal(refused(BUILD))).toContain("\nrepeat: quern gate --base main\n");
  });

  it("a refusal weighs more than what else a file says", () => {
    const results = refused(BUILD);
    const forged: Results = { ...results, run: { ...results.run!, identical: true } };
    expect(renderJunit(forged)).toContain('errors="1"');
    expect(renderHtml(forged)).toContain('<div class="verdict bad">');
    expect(renderMarkdown(forged)).toContain("refused");
  });
});

describe("Ctrl-C before anything was measured", () => {
  it("is an interruption and no refusal", () => {
    const results = refused(new Error("aborted"), { signal: AbortSignal.abort() });
    expect(results.run).toMatchObject({ aborted: true });
    expect(results.run?.refused).toBeUndefined();
    expect(results.summary?.exitCode).toBe(EXIT.interrupted);
    expect(renderJunit(results)).toMatch(/errors="1"[^]*interrupted: not all that was asked for/);
  });

  it("hides no defect", () => {
    const results = refused(new InternalError("lost"), { signal: AbortSignal.abort() });
    expect(results.summary?.exitCode).toBe(EXIT.internal);
  });
});
