import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commitOf, messagesBetween } from "../paired/arms/git.ts";
import { makeRepository, temporaryFolder } from "../paired/arms/repository.test-support.ts";
import { acceptanceFor, collectAcceptances, parseAcceptances, requireKnownBenches, type Acceptance } from "./accept.ts";

const parse = (text: string): Acceptance[] => parseAcceptances(text, "text");

describe("parseAcceptances", () => {
  it("reads identifiers and patterns, limits and reasons", () => {
    const text = [
      "Sum exactly",
      "",
      "Costs a second pass.",
      "",
      "Bench-Accept: sort/1e4 +4% exact sums need a second pass  ",
      "bench-accept:gemm/*/f32 +2.5 % same",
      "Signed-off-by: A <a@example.org>",
      "  BENCH-ACCEPT: {a,b} +100% slow",
    ].join("\r\n");
    expect(parse(text)).toEqual([
      {
        pattern: "sort/1e4",
        limit: 0.04,
        reason: "exact sums need a second pass",
        trailer: "Bench-Accept: sort/1e4 +4% exact sums need a second pass",
        where: "text, line 5",
      },
      {
        pattern: "gemm/*/f32",
        limit: 0.025,
        reason: "same",
        trailer: "bench-accept:gemm/*/f32 +2.5 % same",
        where: "text, line 6",
      },
      { pattern: "{a,b}", limit: 1, reason: "slow", trailer: "BENCH-ACCEPT: {a,b} +100% slow", where: "text, line 8" },
    ]);
  });

  it("finds none in texts that only speak of it", () => {
    for (const text of [
      "",
      "A Bench-Accept: line accepts a regression",
      "Bench-Accept lines are parsed strictly from now on",
      "`Bench-Accept: a +4% b` is read",
      "> Bench-Accept: a +4% b",
      "Bench-Reject: a",
      "Workbench-Accept: x",
      "bench accepts 3 arguments",
    ]) {
      expect(parse(text), text).toEqual([]);
    }
  });

  it("does not read what comments of a template hold, and counts their lines", () => {
    expect(
      parse("<!-- Bench-Accept: a +4% example\nBench-Accept: nonsense -->\nBench-Accept: b +1% true"),
    ).toMatchObject([{ pattern: "b", where: "text, line 3" }]);
    expect(parse("<!-- never closed\nBench-Accept: a +4% hidden")).toEqual([]);
  });

  it.each([
    ["Bench-Accept:", "it names no bench"],
    ["Bench-Accept: sort", "it has no limit"],
    ["Bench-Accept: sort 4% reason", '"4%" is no limit such as +4%'],
    ["Bench-Accept: sort +4 reason", '"+4" has no per cent sign'],
    ["Bench-Accept: sort +x% reason", '"+x%" is no limit such as +4%'],
    ["Bench-Accept: sort -4% faster", "only slow-downs need accepting"],
    ["Bench-Accept: sort +4%", "it gives no reason"],
    ["Bench-Accept: sort +4%   ", "it gives no reason"],
    ["Bench-Accept: +4% sort reason", "the bench comes first"],
    ["Bench-Accept: sort +0% reason", "the limit lies above 0% and up to 1000%"],
    ["Bench-Accept: sort +1001% reason", "the limit lies above 0% and up to 1000%"],
    ["Bench-Accept: sort +1e1% reason", "is no limit"],
    ["Bench-Accept: sort +4,5% reason", "is no limit"],
    ["Bench-Accepted: sort +4% reason", "is no Bench-Accept line"],
    ["bench accept: sort +4% reason", "is no Bench-Accept line"],
    ["Bench_Accept: sort +4% reason", "is no Bench-Accept line"],
    ["BenchAccept: sort +4% reason", "is no Bench-Accept line"],
    ["Bench-Accept = sort +4% reason", "is no Bench-Accept line"],
    ["Bench-Accept sort +4% reason", "is no Bench-Accept line"],
  ])("refuses %j", (line, message) => {
    expect(() => parse(`Title\n\n${line}`)).toThrow(message);
    expect(() => parse(`Title\n\n${line}`)).toThrow("at text, line 3\n  For instance: Bench-Accept: sort/1e4 +4% ");
  });
});

describe("collectAcceptances", () => {
  it("reads commits between base and head, a file and the environment", async () => {
    const repository = makeRepository();
    repository.commit("base\n\nBench-Accept: before +1% not part of the branch");
    const first = repository.commit("one\n\nBench-Accept: a +1% first");
    repository.commit("two");
    const last = repository.commit("three\n\nBody with ümlauts.\n\nBench-Accept: a +3% third\nBench-Accept: b +2% too");
    const base = (await commitOf(repository.folder, "main~3")) ?? "";
    const commits = await messagesBetween(repository.folder, base, last);
    expect(commits).toHaveLength(3);
    const file = join(temporaryFolder(), "body.md");
    writeFileSync(file, "Bench-Accept: c +5% of the request");
    const found = collectAcceptances({ commits, file, environment: "Bench-Accept: d +6% of the job" });
    expect(found.map(({ pattern, limit, where }) => [pattern, limit, where])).toEqual([
      ["a", 0.01, `message of ${first.slice(0, 10)}, line 3`],
      ["a", 0.03, `message of ${last.slice(0, 10)}, line 5`],
      ["b", 0.02, `message of ${last.slice(0, 10)}, line 6`],
      ["c", 0.05, `${file}, line 1`],
      ["d", 0.06, "BENCH_ACCEPT, line 1"],
    ]);
  });

  it("refuses a file that cannot be read", () => {
    expect(() => collectAcceptances({ file: "/nowhere/body.md" })).toThrow(
      /cannot be read .*\n {2}at --accept-from \/nowhere/,
    );
    expect(collectAcceptances({})).toEqual([]);
  });
});

describe("acceptanceFor", () => {
  const acceptances = parse(
    ["sort/1e4 +2% a", "sort/* +9% b", "sort/1e4 +4% c", "gemm +1% d"]
      .map((line) => `Bench-Accept: ${line}`)
      .join("\n"),
  );

  it("prefers the bench itself, then the largest limit", () => {
    expect(acceptanceFor("sort/1e4", acceptances)?.reason).toBe("c");
    expect(acceptanceFor("sort/1e5", acceptances)?.reason).toBe("b");
    expect(acceptanceFor("gemm/64", acceptances)?.reason).toBe("d");
    expect(acceptanceFor("other", acceptances)).toBeUndefined();
  });

  it("is refused where it speaks of no bench", () => {
    requireKnownBenches(acceptances, ["sort/1e4", "gemm/64"]);
    expect(() => requireKnownBenches(acceptances, ["sort/1e4", "gemn"])).toThrow(
      '"Bench-Accept: gemm +1% d" speaks of no bench\n  at text, line 4\n  Did you mean "gemn"?',
    );
    expect(() => requireKnownBenches(parse("Bench-Accept: x* +1% d"), ["a"])).toThrow("Benches: a.");
  });
});
