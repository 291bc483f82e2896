import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hostileTexts, withHostileTexts } from "./hostile.test-support.ts";
import { sampleGate, samplePairs } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import { sampleServing } from "../results/sample-serving.ts";
import { Random } from "../harness/random.ts";
import type { BenchRecord, Results } from "../results/schema.ts";
import { median } from "../statistics/basics.ts";
import { compareResults } from "./compare.ts";
import {
  CSV_COLUMNS,
  longRows,
  renderCsv,
  renderCsvRounds,
  renderJsonLines,
  renderJsonLinesRounds,
  roundRows,
} from "./csv.ts";
import { csvCell, escapeMarkdown, plainText, shorten } from "./escape.ts";
import { sparkline } from "./gate-terminal.ts";
import { renderJunit } from "./junit.ts";
import { COMMENT_BYTES, SUMMARY_BYTES, renderMarkdown } from "./markdown.ts";
import { renderTerminal } from "./terminal.ts";
import { bySeverity, isFailure, logRatios, remarks, verdictText } from "./verdicts.ts";

const goldens = new URL("../../golden/report/", import.meta.url);

/** The golden file of that name, which QUERN_BLESS=1 writes; undefined where there is none. */
function golden(name: string, text: string): string | undefined {
  const file = new URL(name, goldens);
  if (process.env["QUERN_BLESS"] === "1") writeFileSync(file, text);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

const example = sampleGate().benches?.[0] as BenchRecord;

function bench(changes: Partial<BenchRecord>): BenchRecord {
  return { ...example, ...changes };
}

function many(count: number, verdict: BenchRecord["verdict"] = "EQUIVALENT"): Results {
  const benches = Array.from({ length: count }, (_, i) => bench({ id: `bench/${i}`, verdict }));
  return { ...sampleGate(), benches };
}

describe("golden files of a gate run", () => {
  const results = sampleGate();
  it.each([
    ["gate.txt", renderTerminal(results)],
    ["gate-verbose.txt", renderTerminal(results, { verbose: true })],
    ["gate.md", renderMarkdown(results)],
    ["gate.junit.xml", renderJunit(results)],
    ["gate.head.csv", `${renderCsv(results).split("\r\n").slice(0, 12).join("\n")}\n`],
    ["gate-rounds.head.csv", `${renderCsvRounds(results).split("\r\n").slice(0, 12).join("\n")}\n`],
    ["serving.txt", renderTerminal(sampleServing())],
    ["serving.md", renderMarkdown(sampleServing())],
    ["serving.head.csv", `${renderCsv(sampleServing()).split("\r\n").slice(0, 8).join("\n")}\n`],
    ["engines.txt", renderTerminal(sampleResults())],
    ["engines.md", renderMarkdown(sampleResults())],
    ["engines.junit.xml", renderJunit(sampleResults())],
    ["engines.csv", renderCsv(sampleResults()).replaceAll("\r\n", "\n")],
    ["compare.txt", compareResults(sampleResults(), { ...sampleResults(), createdAt: "2026-11-24T12:00:00.000Z" })],
  ])("%s", (name, text) => {
    expect(text, `${name}: QUERN_BLESS=1 rewrites it`).toBe(golden(name, text));
  });
});

describe("terminal", () => {
  it("puts suspects first, one line each, with nothing of colour", () => {
    const lines = renderTerminal(sampleGate()).split("\n");
    const order = lines.flatMap((line) => /^(?:‼|✗|⊘|\?|↓|✓) (\w+)/.exec(line)?.[1] ?? []);
    expect(order).toEqual(["ERROR", "REGRESSED", "REGRESSED", "INVALID", "INCONCLUSIVE", "IMPROVED", "EQUIVALENT"]);
    expect(lines.join("")).not.toContain("\u001b");
  });

  it("shows an accepted regression behind one that is not, and the largest change first", () => {
    const ids = bySeverity(sampleGate().benches ?? []).map(({ id }) => id);
    expect(ids.slice(0, 3)).toEqual(["render/page", "sort/1e4", "gemm/256"]);
  });

  it("a regression beyond what was accepted fails like one that nobody accepted", () => {
    const [within, beyond] = [0.05, 0.03].map((limit) => {
      const accepted = { trailer: `Bench-Accept: x +${100 * limit}% exact`, limit, reason: "exact" };
      const reason = `slower; told of ${limit}: exact`;
      const estimate = { ...(example.estimate as NonNullable<typeof example.estimate>), ratio: 1.041 };
      return bench({ id: `x/${limit}`, verdict: "REGRESSED", reason, accepted, estimate });
    }) as [BenchRecord, BenchRecord];
    const results = { ...sampleGate(), benches: [within, beyond] };
    expect(results.benches.map(isFailure)).toEqual([false, true]);
    expect(results.benches.map(verdictText)).toEqual(["REGRESSED, accepted", "REGRESSED"]);
    expect(bySeverity(results.benches)).toEqual([beyond, within]);
    expect(renderJunit(results)).toMatch(/name="x\/0\.03[^]*<failure message="REGRESSED/);
    expect(remarks(within)).toBe(within.reason);
  });

  it("a budget that cut pairs short is an error of JUnit only where the run says so", () => {
    const { run } = sampleGate();
    const { environment } = sampleGate();
    const results = (exitCode: number): Results => ({
      ...many(2),
      environment: { ...(environment as NonNullable<typeof environment>), changed: [] },
      run: { ...(run as NonNullable<typeof run>), outOfTime: true },
      summary: { verdict: "EQUIVALENT", exitCode, geomean: 1 },
    });
    expect(renderJunit(results(0))).toContain('failures="0" errors="0"');
    expect(renderJunit(results(6))).toContain('failures="0" errors="1"');
  });

  it("draws how pairs are spread", () => {
    expect(sparkline([0, 0, 0, Math.log(1.07)])).toBe("1.000× █      ▃ 1.070×");
    expect(sparkline([])).toBe("");
    // More values than a call may have arguments.
    expect(sparkline(Array.from({ length: 300_000 }, () => 0))).toMatch(/^1\.000× █ +1\.000×$/);
  });

  it("a pair is the median of its rounds' ratios, not the ratio of medians", () => {
    const pair = { index: 0, order: "base-first", base: [1, 10, 100], head: [2, 10, 100] } as const;
    expect(logRatios([pair])).toEqual([0]);
  });

  it("says that a run was interrupted, is advisory, or found nothing", () => {
    const { run } = sampleGate();
    const interrupted = {
      ...sampleGate(),
      run: { ...(run as NonNullable<typeof run>), aborted: true, advisory: true },
    };
    expect(renderTerminal(interrupted)).toContain("interrupted: not all that was asked for; advisory: fails no build");
    expect(renderTerminal({ ...sampleGate(), benches: [] })).toContain("no benchmark was measured");
  });
});

describe("Markdown", () => {
  const bytes = (text: string): number => Buffer.byteLength(text);

  it("fits its place with any number of rows, and says what is left out", () => {
    const comment = renderMarkdown(many(5000));
    expect(bytes(comment)).toBeLessThanOrEqual(COMMENT_BYTES);
    expect(bytes(comment)).toBeGreaterThan(0.9 * COMMENT_BYTES);
    const shown = comment.split("\n").filter((line) => line.startsWith("| ✓")).length;
    expect(comment).toContain(`${5000 - shown} more rows do not fit here`);
    expect(comment).toContain("Totals: 5000 EQUIVALENT");
    const summary = renderMarkdown(many(20_000), { limit: SUMMARY_BYTES });
    expect(bytes(summary)).toBeLessThanOrEqual(SUMMARY_BYTES);
    expect(bytes(summary)).toBeGreaterThan(0.9 * SUMMARY_BYTES);
  });

  it("keeps the worst rows, whatever their names", () => {
    const benches = [...(many(3000, "INCONCLUSIVE").benches ?? []), bench({ id: "zzz", verdict: "REGRESSED" })];
    const comment = renderMarkdown({ ...sampleGate(), benches });
    expect(comment.indexOf("zzz")).toBeGreaterThan(0);
    expect(comment.indexOf("zzz")).toBeLessThan(comment.indexOf("bench/"));
  });

  it("names are text and no links, mentions, emphasis, references or HTML", () => {
    const text = escapeMarkdown("@user #1 `a` *b* _c_ [d](e) <f> |g| ~~h~~ https://i.example :j: \\k ![l](m)");
    expect(text.replaceAll(/&#\d+;/g, "")).not.toMatch(/[^\w (),./=+%:-]|_|:[^ ]/);
    expect(escapeMarkdown("a--b www.example.com")).toBe("a&#45;&#45;b www&#46;example.com");
    expect(escapeMarkdown("sort/1e4 (n=3), 5.0 %")).toBe("sort/1e4 (n=3), 5.0 %");
  });
});

describe("CSV", () => {
  it("has one row for each bench, arm and pair: the median of its rounds", () => {
    const rows = [...longRows(sampleGate())].filter(({ kind }) => kind === "bench");
    const pairs = (sampleGate().benches ?? []).flatMap(({ id, stages }) =>
      stages.flatMap(({ stage, pairs: ofStage }) =>
        ofStage.flatMap(({ index, base, head }) => [
          [id, stage, "base", index, median(base), base.length],
          [id, stage, "head", index, median(head), head.length],
        ]),
      ),
    );
    const unmeasured = ["render/page", undefined, undefined, undefined, null, 0];
    expect(rows.map(({ bench: id, phase, arm, pair, value, rounds }) => [id, phase, arm, pair, value, rounds])).toEqual(
      [...pairs, unmeasured],
    );
    const ofEngine = [...longRows(sampleResults())].filter(({ bench: id }) => id === "gemm/64x64x64");
    expect(ofEngine.filter(({ phase, arm }) => phase === "steady" && arm === "quern")).toEqual(
      [0.01, 0.011, 0.012].map((value, pair) => expect.objectContaining({ pair, value, rounds: 1 })),
    );
  });

  it("has one row without a value where outputs are wrong or nothing was measured, in both forms", () => {
    const engines = sampleResults();
    // As a comparison withholds times: it still says how many processes there were.
    const wrong = engines.results.map((row) => (row.verified === false ? { ...row, processes: [0, 0, 0] } : row));
    for (const results of [engines, { ...engines, results: wrong }]) {
      for (const rows of [[...longRows(results)], [...roundRows(results)]]) {
        const [row, ...more] = rows.filter(({ bench: id }) => id === "model/spoiled");
        expect(row).toMatchObject({ arm: "quern", phase: "steady", value: null, verified: false, rounds: 0 });
        expect(more).toEqual([]);
      }
      expect(renderCsv(results)).toMatch(/,model\/spoiled,.*,ms,,false,,0\r\n/);
      expect(renderJsonLines(results)).toMatch(/"bench":"model\/spoiled".*"verified":false,"value":null,"rounds":0}/);
    }
    const failed = [...longRows(sampleGate())].filter(({ bench: id }) => id === "render/page");
    expect(failed).toEqual([expect.objectContaining({ verdict: "ERROR", value: null, verified: false, rounds: 0 })]);
  });

  it("counts of processes that are none lose no samples and repeat none", () => {
    const { results, ...rest } = sampleResults();
    const odd = results.slice(0, 1).map((row) => ({ ...row, processes: [3, -3, 3, -3, 3] }));
    expect([...roundRows({ ...rest, results: odd })].map(({ value }) => value)).toEqual([0.01, 0.011, 0.012]);
  });

  it("has one row for each round where these are asked for", () => {
    const rows = [...roundRows(sampleGate())];
    const samples = (sampleGate().benches ?? []).flatMap(({ stages }) =>
      stages.flatMap(({ pairs }) => pairs.flatMap(({ base, head }) => [...base, ...head])),
    );
    expect(rows.filter(({ kind, rounds }) => kind === "bench" && rounds !== 0).map(({ value }) => value)).toEqual(
      samples,
    );
    expect(rows.filter(({ kind }) => kind === "control")).toHaveLength(48);
    const engineSamples = sampleResults().results.flatMap((row) => row.samples);
    const engineRows = [...roundRows(sampleResults())].filter(({ rounds }) => rounds !== 0);
    expect(engineRows.map(({ value }) => value)).toEqual(engineSamples);
  });

  it("has two times of each request of a load test, and none of one that failed", () => {
    const rows = [...longRows(sampleServing())];
    expect(rows).toHaveLength(42);
    expect(rows[1]).toMatchObject({ kind: "request", phase: "end-to-end", pair: 0, unit: "ms", value: 40 });
    expect(rows[40]).toMatchObject({ phase: "first-token", pair: 20, value: null, verdict: "failed: status" });
  });

  it("has one header for every kind of run and both forms", () => {
    for (const results of [sampleGate(), sampleResults(), sampleServing()]) {
      for (const text of [renderCsv(results), renderCsvRounds(results)]) {
        expect(text.split("\r\n")[0]).toBe(CSV_COLUMNS.join(","));
      }
    }
  });

  it("quotes what must be quoted, and gives spreadsheets no formula", () => {
    expect(csvCell('a,"b"')).toBe('"a,""b"""');
    expect(csvCell("a\r\nb")).toBe("a b");
    expect(["=1+1", "+1", "-1", "@x", " =1"].map(csvCell)).toEqual(["'=1+1", "'+1", "'-1", "'@x", "' =1"]);
    expect([-1, null, undefined, true].map(csvCell)).toEqual(["-1", "", "", "true"]);
  });

  it("is the same as lines of JSON", () => {
    const lines = renderJsonLines(sampleGate()).trimEnd().split("\n");
    expect(lines).toHaveLength([...longRows(sampleGate())].length);
    const first = { kind: "bench", bench: "parse/small", arm: "base" };
    expect(JSON.parse(lines[0] as string)).toMatchObject({ ...first, rounds: 4 });
    expect(JSON.parse(renderJsonLinesRounds(sampleGate()).split("\n")[0] as string)).toMatchObject({
      ...first,
      round: 0,
    });
  });
});

describe("JUnit", () => {
  const counts = (text: string): Record<string, number> =>
    Object.fromEntries(
      [...(/<testsuite .*?>/.exec(text)?.[0].matchAll(/(tests|failures|errors|skipped)="(\d+)"/g) ?? [])].map(
        ([, name, count]) => [name, Number(count)],
      ),
    );

  it("fails for regressions and errors, skips what is undecided", () => {
    // The changed governor is the eighth case, an error beside the bench that is not valid.
    expect(counts(renderJunit(sampleGate()))).toEqual({ tests: 8, failures: 2, errors: 2, skipped: 1 });
  });

  it("an advisory run fails by errors alone, a strict one also by doubt", () => {
    const { run, ...rest } = sampleGate();
    const given = run as NonNullable<typeof run>;
    const policy = given.policy as NonNullable<typeof given.policy>;
    expect(counts(renderJunit({ ...rest, run: { ...given, advisory: true } }))["failures"]).toBe(1);
    expect(counts(renderJunit({ ...rest, run: { ...given, policy: { ...policy, strict: true } } }))["failures"]).toBe(
      3,
    );
  });

  it("of two builds beside each other fails by errors alone, as the run does", () => {
    const { run, ...rest } = sampleGate();
    const given = run as NonNullable<typeof run>;
    expect(counts(renderJunit({ ...rest, run: { ...given, kind: "ab" } }))["failures"]).toBe(1);
  });

  it("says what a control failed of: a shift, or rounds that were disturbed", () => {
    const { environment, ...rest } = sampleGate();
    const given = environment as NonNullable<typeof environment>;
    const [control] = given.controls;
    const run = (changes: object): string =>
      renderJunit({
        ...rest,
        environment: { ...given, changed: [], controls: [{ ...control!, moved: true, ...changes }] },
      });
    expect(run({ disturbed: 0.3 })).toContain(
      'message="30 % of the rounds of the control ctl.fma have one slice above 1.5 times the other"',
    );
    expect(run({ disturbed: 0 })).toContain(
      'message="the control ctl.fma, the same code in both arms, changed by +0.1 %"',
    );
  });

  it("is never empty and green", () => {
    expect(counts(renderJunit({ ...sampleGate(), benches: [] }))).toEqual({
      tests: 1,
      failures: 0,
      errors: 1,
      skipped: 0,
    });
    expect(counts(renderJunit({ ...sampleResults(), results: [], skipped: [] }))["errors"]).toBe(1);
  });

  it("of engines is red where it was interrupted, and says where the machine was disturbed", () => {
    const { run = sampleGate().run, ...rest } = sampleResults();
    const given = run as NonNullable<typeof run>;
    const interrupted = renderJunit({ ...rest, run: { ...given, kind: "engines", aborted: true } });
    expect(counts(interrupted)).toMatchObject({ tests: 5, errors: 1 });
    expect(interrupted).toContain('<error message="interrupted: not all that was asked for"');
    const environment = {
      ...(sampleGate().environment as NonNullable<Results["environment"]>),
      changed: [],
      controls: [],
    };
    const disturbed = { ...rest, environment: { ...environment, disturbances: ["the peak fell by 40 %"] } };
    expect(counts(renderJunit(disturbed))).toMatchObject({ tests: 5, errors: 0, skipped: 2 });
    expect(renderJunit(disturbed)).toContain('<skipped message="the peak fell by 40 %"/>');
  });

  it("of a load test has a case for each, which fails by its failures", () => {
    const results = sampleServing();
    const [record] = results.serving ?? [];
    const serving = record === undefined ? [] : [record];
    const failing = renderJunit({ ...results, results: [], skipped: [], serving });
    expect(counts(failing)).toMatchObject({ tests: 1, errors: 0, failures: (record?.failed ?? 0) > 0 ? 1 : 0 });
    const whole = serving.map((each) => ({ ...each, failed: 0, failures: [] }));
    expect(counts(renderJunit({ ...results, results: [], skipped: [], serving: whole }))).toMatchObject({
      tests: 1,
      errors: 0,
      failures: 0,
    });
  });

  it("of engines fails for wrong outputs", () => {
    expect(counts(renderJunit(sampleResults()))).toEqual({ tests: 4, failures: 1, errors: 0, skipped: 1 });
  });
});

describe("two files beside each other", () => {
  it("say that nothing was paired, and what differs", () => {
    const a = sampleResults();
    const b = {
      ...a,
      machine: { ...a.machine, fingerprint: "ffffffffffff" },
      results: a.results.map((row) => ({ ...row, median: row.median === null ? null : row.median * 2 })),
      engines: a.engines.map((engine) => ({ ...engine, version: "9.9.9" })),
    };
    const text = compareResults(a, b);
    expect(text.startsWith("advisory: unpaired")).toBe(true);
    expect(text).toContain("the machines differ");
    expect(text).toMatch(
      /gemm\/64x64x64 +steady, quern.*11\.0 µs +22\.0 µs +2\.000× +machines differ.*versions differ/,
    );
  });

  it("of gate runs compares the heads", () => {
    const random = new Random(5);
    const stages = (level: number): BenchRecord["stages"] => [
      { stage: "screen", pairs: samplePairs(random, 8, 4, level, 1) },
    ];
    const a = { ...sampleGate(), benches: [bench({ id: "x", stages: stages(1000) }), bench({ id: "gone" })] };
    const b = { ...sampleGate(), benches: [bench({ id: "x", stages: stages(3000) })] };
    const text = compareResults(a, b);
    expect(text).toMatch(/\nx +head/);
    expect(text).toContain("1 rows are in one file only");
  });
});

describe("text from strangers", () => {
  const seed = Number(process.env["QUERN_SEED"] ?? 4);
  const results = withHostileTexts(sampleGate(), seed);
  const engines = withHostileTexts(sampleResults(), seed);
  const serving = withHostileTexts(sampleServing(), seed);

  it.each([results, engines, serving])("has no effect on a terminal", (given) => {
    for (const text of [renderTerminal(given, { verbose: true }), compareResults(given, given)]) {
      expect(text, `QUERN_SEED=${seed}`).not.toMatch(/[^\n\P{C}]/u);
    }
  });

  it("makes no line of its own on a terminal", () => {
    const forged = "x\n::stop-commands::t";
    const gate = sampleGate();
    const run = gate.run as NonNullable<Results["run"]>;
    const environment = gate.environment as NonNullable<Results["environment"]>;
    const skipped = [{ case: forged, engine: "base", precision: "highest" as const, threads: 1, reason: forged }];
    const given = {
      ...gate,
      run: { ...run, id: forged },
      environment: { ...environment, disturbances: [forged] },
      skipped,
    };
    const text = renderTerminal(given);
    expect(text).toContain("x ::stop-commands::t");
    expect(text).not.toMatch(/^::/m);
  });

  it("of more rows than a call has arguments fits its place", () => {
    const skipped = Array.from({ length: 200_000 }, (_, i) => ({
      case: `case ${i}`,
      engine: "base",
      precision: "highest" as const,
      threads: 1,
      reason: "left out",
    }));
    expect(Buffer.byteLength(renderMarkdown({ ...sampleGate(), skipped }))).toBeLessThanOrEqual(SUMMARY_BYTES);
  });

  it.each([results, engines, serving])("is text in Markdown", (given) => {
    const text = renderMarkdown(given);
    const tags = [...text.matchAll(/<\/?([a-z]+)/gi)].map(([, tag]) => tag?.toLowerCase() ?? "");
    expect(tags).toContain("code");
    expect(tags.filter((tag) => !/^(?:code|sub|br|details|summary|pre)$/.test(tag))).toEqual([]);
    expect(text).not.toMatch(/[^\n\P{C}]/u);
    // Every row of a table has as many cells as its head.
    const tables = text.split("\n\n").filter((part) => part.includes("\n| ---"));
    for (const table of tables) {
      const widths = table
        .split("\n")
        .filter((line) => line.startsWith("|"))
        .map((line) => line.split("|").length);
      expect(new Set(widths).size, table).toBe(1);
    }
  });

  it.each([results, engines])("is text in XML", (given) => {
    const text = renderJunit(given);
    const open: string[] = [];
    const left = text
      .replace(/^<\?xml [^>]*\?>/, "")
      .replace(
        /<(\/?)([a-z]+)((?: [a-z]+="[^"<]*")*)(\/?)>/g,
        (_, close: string, name: string, _attributes, empty: string) => {
          if (close === "/") expect(open.pop()).toBe(name);
          else if (empty === "") open.push(name);
          return "";
        },
      );
    expect(open).toEqual([]);
    expect(left).not.toMatch(/[<>]/);
    expect(left.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, "")).not.toContain("&");
    expect(text).not.toMatch(/[^\n\P{C}]/u);
  });

  it.each([results, engines, serving])("is text in CSV", (given) => {
    const lines = renderCsv(given).trimEnd().split("\r\n");
    const width = (line: string): number => line.replaceAll(/"(?:[^"]|"")*"/g, "").split(",").length;
    expect(new Set(lines.map(width))).toEqual(new Set([CSV_COLUMNS.length]));
    expect(lines.join("")).not.toMatch(/\p{Cc}/u);
    const cells = lines.flatMap((line) => line.split(","));
    expect(cells.filter((cell) => /^"?[=+@]/.test(cell))).toEqual([]);
  });

  it("is shown without its controls", () => {
    for (const text of hostileTexts) expect(plainText(text)).not.toMatch(/\p{C}/u);
    expect(plainText("a\u001b[31m\u202eb")).toBe("a\\u{1b}[31m\\u{202e}b");
    expect(shorten("a😀b😀c", 3)).toBe("a😀…");
    expect(["😀😀😀", "😀😀😀😀", "😀".repeat(100)].map((text) => shorten(text, 3))).toEqual([
      "😀😀😀",
      "😀😀…",
      "😀😀…",
    ]);
    expect(plainText("a \n\t b   c\u00a0\r\nd\te ")).toBe("a b   c d e ");
  });
});
