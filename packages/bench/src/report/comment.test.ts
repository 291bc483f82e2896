/** The comment of a pull request: found again, of bounded length, and clear about what a second machine says. */

import { describe, expect, it } from "vitest";
import { sampleGate } from "../results/sample-gate.ts";
import type { BenchRecord, Results } from "../results/schema.ts";
import { COMMENT_MARK, renderComment, secondLooks } from "./comment.ts";
import { withHostileTexts } from "./hostile.test-support.ts";
import { COMMENT_BYTES, renderMarkdown } from "./markdown.ts";

const regressed = sampleGate().benches?.find(({ id }) => id === "sort/1e4") as BenchRecord;

function run(...benches: readonly Partial<BenchRecord>[]): Results {
  return { ...sampleGate(), benches: benches.map((bench) => ({ ...regressed, params: {}, ...bench })) };
}

const bytes = (text: string): number => Buffer.byteLength(text);

describe("a comment", () => {
  it("begins with the same line whatever was found, and the report follows", () => {
    for (const results of [sampleGate(), run({}), run({ verdict: "EQUIVALENT" }), run()]) {
      const [first, ...rest] = renderComment(results).split("\n");
      expect(first).toBe("<!-- quern bench-gate -->");
      expect(rest.join("\n")).toBe(renderMarkdown(results));
    }
  });

  it("fits with any number of rows on both machines, and shows rows of both", () => {
    const many = run(...Array.from({ length: 3000 }, (_, i) => ({ id: `bench/${i}` })));
    expect(bytes(renderComment(many))).toBeLessThanOrEqual(COMMENT_BYTES);
    const both = renderComment(many, many);
    expect(bytes(both)).toBeLessThanOrEqual(COMMENT_BYTES);
    expect(bytes(both)).toBeGreaterThan(0.9 * COMMENT_BYTES);
    expect(both).toContain("## Second machine: 3000 confirmed of 3000");
    for (const part of both.split(/^## /m).slice(1)) expect(part).toContain("more rows do not fit here");
  });

  it("fits where a file was made to be too long", () => {
    const long = "<".repeat(5000);
    const results: Results = {
      ...run({ id: long, reason: long }),
      environment: { ...sampleGate().environment!, disturbances: Array.from({ length: 5000 }, () => long) },
      run: { ...sampleGate().run!, argv: [long, long] },
      summary: { verdict: long, exitCode: 1, geomean: null },
    };
    for (const comment of [renderComment(results), renderComment(results, results)]) {
      expect(comment.startsWith(COMMENT_MARK)).toBe(true);
      // GitHub counts characters and takes 65,536 of them.
      expect(comment.length).toBeLessThan(65_536);
    }
    expect(renderMarkdown(results)).toContain("and 4991 more");
  });
});

describe("a second machine", () => {
  const first = run(
    { id: "a" },
    { id: "b" },
    { id: "c" },
    { id: "d" },
    { id: "e" },
    { id: "n", params: { n: 2 } },
    { id: "n", params: { n: 3 } },
    { id: "fine", verdict: "EQUIVALENT" },
    { id: "allowed", accepted: { trailer: "Bench-Accept: allowed +50% why", limit: 0.5, reason: "why" } },
  );
  const second = run(
    { id: "a" },
    { id: "b", verdict: "EQUIVALENT" },
    { id: "c", verdict: "INCONCLUSIVE" },
    { id: "d", verdict: "ERROR", estimate: null },
    { id: "n", params: { n: 2 }, verdict: "IMPROVED" },
    { id: "n", params: { n: 3 } },
    { id: "fine" },
  );

  it("confirms or clears alarms, and nothing else", () => {
    const looks = secondLooks(first, second).map(({ first: { id, params }, look }) => [id, params?.["n"], look]);
    expect(looks).toEqual([
      ["a", undefined, "confirmed"],
      ["n", 3, "confirmed"],
      ["d", undefined, "not judged"],
      ["e", undefined, "not measured"],
      ["c", undefined, "undecided"],
      ["b", undefined, "cleared"],
      ["n", 2, "cleared"],
    ]);
  });

  it("comes first in the comment, with both reports below", () => {
    const comment = renderComment(first, second);
    const headings = comment.split("\n").filter((line) => line.startsWith("#"));
    expect(headings.map((line) => line.split(":")[0])).toEqual([
      "## Second machine",
      "## First machine",
      "### ERROR",
      "## Second machine",
      "### ERROR",
    ]);
    expect(headings[0]).toBe(
      "## Second machine: 2 confirmed, 1 not judged, 1 not measured, 1 undecided, 2 cleared of 7",
    );
    expect(comment).toContain(
      "| ✓ cleared | <code>b</code> | REGRESSED 1.083× [1.074, 1.092] | EQUIVALENT 1.083× [1.074, 1.092] |",
    );
    expect(comment).toContain("| ⊘ not measured | <code>e</code> | REGRESSED 1.083× [1.074, 1.092] | – |");
  });

  it("that was refused has cleared nothing", () => {
    const refused: Results = { ...second, benches: [], run: { ...second.run!, refused: "the build failed\n  at x" } };
    const [, heading] = renderComment(first, refused).split("\n");
    expect(heading).toBe("## Second machine: 7 not measured of 7; refused: the build failed");
  });

  it("texts of either file stay text", () => {
    const seed = Number(process.env["QUERN_SEED"] ?? 4);
    const hostile = withHostileTexts(first, seed);
    const comment = renderComment(hostile, hostile).replace(COMMENT_MARK, "");
    const tags = [...comment.matchAll(/<[/!]?-*([a-z]*)/gi)].map(([, tag]) => tag?.toLowerCase() ?? "");
    expect(
      tags.filter((tag) => !/^(?:code|sub|br|details|summary|pre)$/.test(tag)),
      `QUERN_SEED=${seed}`,
    ).toEqual([]);
    expect(comment).not.toMatch(/[^\n\P{C}]/u);
  });
});
