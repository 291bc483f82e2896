/** Lines of a history: hostile ones are told with their place, and two histories join without losing any. */

import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { type HistoryRecord, recordLine } from "./record.ts";
import { sampleRecords } from "./sample-history.test-support.ts";
import { SHARD_PATH, addRecords, appendLines, mergeLines, parseShards, shardPath } from "./shards.ts";

const [first, second, third] = sampleRecords({ days: 3 }) as [HistoryRecord, HistoryRecord, HistoryRecord];
const PATH = "example-2/2026-06.jsonl";

describe("paths", () => {
  it("a file for each class and month", () => {
    expect(shardPath(first)).toBe(PATH);
    expect(shardPath({ ...first, at: "2026-06-30T23:30:00-02:00" })).toBe("example-2/2026-07.jsonl");
  });

  it("classes that read alike have different folders, and no name leads elsewhere", () => {
    const names = [
      "..",
      "../up",
      "a/b",
      "a b",
      "A B",
      "a-b",
      "A-B",
      "",
      ".git",
      "con.",
      "ü",
      "x".repeat(300),
      "-rf",
      "a\0b",
    ];
    const paths = names.map((name) => shardPath({ ...first, class: name }));
    expect(new Set(paths.map((path) => path.toLowerCase())).size).toBe(names.length);
    for (const path of paths) expect(path).toMatch(SHARD_PATH);
    for (const path of paths) expect(path.split("/")[0]).not.toMatch(/^\.|\.git$/);
  });
});

describe("hostile lines", () => {
  const good = recordLine(first);
  it.each([
    ["not json", "no valid JSON"],
    ["", "an empty line"],
    ["null", "no record of a history"],
    ["[]", "no record of a history"],
    ['{"schema":"other"}', "no record of a history"],
    [good.slice(0, 100), "no valid JSON"],
    ["<<<<<<< HEAD", "a conflict that was not resolved"],
    [recordLine({ ...first, value: -1 }), "value"],
    [good.replace(/"value":[\d.]+/, '"value":1e999'), "value"],
    [good.replace(/"value":[\d.]+/, '"value":"12"'), "value"],
    [good.replace(/"at":"[^"]+"/, '"at":"yesterday"'), "at"],
    [good.replace('"controls":{', '"controls":{"__proto__":1,'), "controls"],
    [recordLine({ ...first, bench: "b".repeat(5000) }), "bench"],
    [`{"schema":"quern.history/1","x":"${"y".repeat(70_000)}"}`, "characters"],
  ])("%j", (line, problem) => {
    const text = appendLines("", [recordLine(second), line, recordLine(third)]);
    const { lines, problems } = parseShards(new Map([[PATH, text]]));
    expect(lines.map(({ record }) => record.run)).toEqual(["run-1", "run-2"]);
    expect(problems).toEqual([
      { path: PATH, line: 2, problem: expect.stringContaining(problem) as string, newer: false },
    ]);
  });

  it("a version that is not known is told as such", () => {
    const { problems } = parseShards(new Map([[PATH, good.replace("quern.history/1", "quern.history/2")]]));
    expect(problems).toMatchObject([
      { line: 1, newer: true, problem: expect.stringContaining("quern.history/2") as string },
    ]);
  });

  it("members that a later minor version adds are left out, and stay in the file", () => {
    const text = `${good.slice(0, -1)},"later":{"more":1}}`;
    const { lines, problems } = parseShards(new Map([[PATH, text]]));
    expect([problems, lines[0]?.record, lines[0]?.text]).toEqual([[], first, text]);
  });

  it("files in wrong places", () => {
    expect(parseShards(new Map([["2026-06.jsonl", good]])).problems).toMatchObject([
      { path: "2026-06.jsonl", line: 0 },
    ]);
  });

  it("equal records count once, different ones of the same run are told", () => {
    const twice = new Map([[PATH, appendLines("", [good, good])]]);
    expect(parseShards(twice)).toMatchObject({ lines: [{ record: { run: "run-0" } }], problems: [] });
    const other = recordLine({ ...first, value: 7 });
    const both = parseShards(new Map([[PATH, appendLines("", [good, other])]]));
    expect(both.problems).toMatchObject([{ line: 2, problem: expect.stringContaining("another record") as string }]);
  });

  it("line ends of Windows are read", () => {
    expect(parseShards(new Map([[PATH, `${good}\r\n${recordLine(second)}\r\n`]])).problems).toEqual([]);
  });
});

it("damaged files: every line is a record as it was, or is told; nothing is thrown", () => {
  const seed = 20_261_129;
  const random = new Random(seed);
  const lines = sampleRecords({ days: 8 }).map(recordLine);
  const known = new Set(lines);
  for (let trial = 0; trial < 2000; trial++) {
    const letters = Array.from(appendLines("", lines));
    for (let change = random.below(4); change >= 0; change--) {
      const at = random.below(letters.length);
      const kind = random.below(4);
      if (kind === 0) letters.splice(at, 1 + random.below(60));
      else if (kind === 1) letters[at] = String.fromCodePoint(random.below(0x2100));
      else if (kind === 2) letters.splice(at, 0, ...letters.slice(at, at + random.below(200)));
      else letters.splice(at, 0, "\n");
    }
    const text = letters.join("");
    const { lines: found, problems } = parseShards(new Map([[PATH, text]]));
    const numbers = new Set(problems.map(({ line }) => line));
    text.split("\n").forEach((line, i, all) => {
      if (line === "" && i === all.length - 1) return;
      const whole = known.has(line);
      expect(whole && numbers.has(i + 1) && all.indexOf(line) === i, `seed ${seed}, trial ${trial}`).toBe(false);
      if (!whole && !numbers.has(i + 1)) expect(found.some((each) => each.text === line || known.has(line))).toBe(true);
    });
  }
});

describe("adding", () => {
  it("adds what is not there, and ends a line that somebody left open", () => {
    const shards = new Map([[PATH, recordLine(first)]]);
    const { changed, added, known } = addRecords(shards, [first, second]);
    expect([added, known]).toEqual([1, 1]);
    expect(changed.get(PATH)).toBe(`${recordLine(first)}\n${recordLine(second)}\n`);
    expect(addRecords(changed, [first, second]).changed.size).toBe(0);
  });

  it.each([
    ["a time that is none in JSON", { value: Infinity }, "value"],
    ["a name that is too long", { bench: "b".repeat(5000) }, "bench"],
    ["an interval below nothing", { low: -1 }, "low"],
  ])("refuses %s, which no reader would take", (_, change, problem) => {
    expect(() => addRecords(new Map(), [second, { ...first, ...change }])).toThrow(problem);
  });

  it("takes equal records of one file once, and refuses different ones of the same bench", () => {
    const { changed, added } = addRecords(new Map(), [first, { ...first }]);
    expect([added, changed.get(PATH)]).toEqual([1, `${recordLine(first)}\n`]);
    expect(() => addRecords(new Map(), [first, { ...first, value: 7 }])).toThrow("another record of it");
  });

  it("lines that are no records stay as they are", () => {
    expect(addRecords(new Map([[PATH, "half a li"]]), [first]).changed.get(PATH)).toBe(
      `half a li\n${recordLine(first)}\n`,
    );
  });
});

describe("joining", () => {
  it("takes additions of both, and removals of both", () => {
    expect(mergeLines("a\nb\nc\n", "a\nc\nx\n", "a\nb\ny\n")).toBe("a\ny\nx\n");
    expect(mergeLines("", "a\n", "b\n")).toBe("b\na\n");
    expect(mergeLines("a\n", "", "a\nb\n")).toBe("b\n");
  });

  it("keeps one of two lines of one measurement, that which says more, in either order", () => {
    const known = recordLine({ ...first, committedAt: "2026-05-01T00:00:00.000Z" });
    const [a, b] = [appendLines("", [recordLine(first)]), appendLines("", [known])];
    expect(mergeLines("", a, b)).toBe(b);
    expect(mergeLines("", b, a)).toBe(b);
    const [p, q] = [0.01, 0.02].map((p) => appendLines("", [recordLine({ ...first, change: { ratio: 2, p } })]));
    expect(mergeLines(a, p as string, q as string)).toBe(p);
    expect(mergeLines(a, q as string, p as string)).toBe(p);
    expect(parseShards(new Map([[PATH, mergeLines("", a, b)]])).problems).toEqual([]);
  });

  it("any two histories: nothing is lost, nothing removed comes back, both orders give the same lines", () => {
    const seed = 20_261_128;
    const random = new Random(seed);
    const some = (from: readonly string[], share: number): string[] => from.filter(() => random.uniform() < share);
    for (let trial = 0; trial < 300; trial++) {
      const base = Array.from({ length: Math.floor(10 * random.uniform()) }, (_, i) => `base ${i}`);
      const change = (who: string): string[] => [
        ...some(base, 0.8),
        ...some(["1", "2", "3"], 0.5).map((n) => `${who} ${n}`),
      ];
      const [ours, theirs] = [change("ours"), change("theirs")];
      const texts = [base, ours, theirs].map((lines) => appendLines("", lines)) as [string, string, string];
      const [b, o, t] = texts;
      const found = mergeLines(b, o, t)
        .split("\n")
        .filter((line) => line !== "");
      const expected = new Set([...base, ...ours, ...theirs]);
      for (const line of base) if (!ours.includes(line) || !theirs.includes(line)) expected.delete(line);
      expect(new Set(found), `seed ${seed}, trial ${trial}`).toEqual(expected);
      expect(found.length).toBe(expected.size);
      expect(mergeLines(b, t, o).split("\n").sort()).toEqual([...found, ""].sort());
    }
  });
});
