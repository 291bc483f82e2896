/** `report` as users meet it: forms, files, and what it makes of files that are no results. */

import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { Command } from "commander";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { sampleRecords, temporaryFolder } from "../history/sample-history.test-support.ts";
import { DirectoryStore } from "../history/directory-store.ts";
import { addRecords } from "../history/shards.ts";
import { sampleGate } from "../results/sample-gate.ts";
import { sampleResults } from "../results/sample-results.ts";
import { addReport } from "./report.ts";

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);

/** Runs the command here; rejects with what the program would print. */
async function report(...args: string[]): Promise<{ readonly out: string; readonly err: string }> {
  const program = new Command("quern").exitOverride().configureOutput({ writeErr: () => {} });
  addReport(program);
  let [out, err] = ["", ""];
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean((out += String(text))));
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => Boolean((err += String(text))));
  try {
    await program.parseAsync(["report", ...args], { from: "user" });
    return { out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}

beforeAll(() => {
  writeFileSync(path("gate.json"), JSON.stringify(sampleGate()));
  writeFileSync(path("engines.json"), JSON.stringify(sampleResults()));
});

describe("report", () => {
  it("shows the file, and with -v its pairs", async () => {
    const { out } = await report(path("gate.json"));
    expect(out).toContain("✗ REGRESSED");
    expect(out).not.toContain("█");
    expect((await report(path("gate.json"), "-v")).out).toContain("█");
    expect((await report(path("engines.json"))).out).toContain("gemm/64x64x64");
  });

  it("writes every form, and says which files there are", async () => {
    const files = {
      html: "<!doctype html>",
      md: "### ERROR",
      summary: "### ERROR",
      csv: "schema,run,",
      "csv-rounds": "schema,run,",
      junit: "<?xml ",
    };
    const outputs = Object.keys(files).flatMap((form) => ["-o", `${form}=${path(`out.${form}`)}`]);
    const { out, err } = await report(path("gate.json"), ...outputs, "-o", `json=${path("out.json.gz")}`);
    expect(out).toContain("✗ REGRESSED");
    for (const [form, start] of Object.entries(files)) {
      expect(readFileSync(path(`out.${form}`), "utf8").startsWith(start), form).toBe(true);
      expect(err).toContain(`wrote ${path(`out.${form}`)}\n`);
    }
    expect(JSON.parse(gunzipSync(readFileSync(path("out.json.gz"))).toString())).toEqual(sampleGate());
  });

  it("makes a comment, which says what a second machine found", async () => {
    expect((await report(path("gate.json"), "-o", "comment")).out).toMatch(/^<!-- quern bench-gate -->\n### ERROR/);
    const gate = sampleGate();
    const benches = gate.benches!.map((bench) => ({ ...bench, verdict: "EQUIVALENT" as const }));
    writeFileSync(path("second.json"), JSON.stringify({ ...gate, benches }));
    const { out } = await report(path("gate.json"), "--confirm", path("second.json"), "-o", "comment");
    expect(out).toMatch(/^<!-- quern bench-gate -->\n## Second machine: 1 cleared of 1\n/);
    await expect(report(path("gate.json"), "--confirm", path("second.json"), "-o", "md")).rejects.toThrow(
      "only a comment shows what a second machine found",
    );
    const over = ["--confirm", path("second.json"), "-o", `comment=${path("second.json")}`];
    await expect(report(path("gate.json"), ...over)).rejects.toThrow("the place of the results");
  });

  it("has forms for tools that keep times, and a badge", async () => {
    const gate = sampleGate();
    const calm = { ...gate, environment: { ...gate.environment!, changed: [] } };
    writeFileSync(path("calm.json"), JSON.stringify(calm));
    const bmf = JSON.parse((await report(path("calm.json"), "-o", "bmf")).out) as Record<string, unknown>;
    expect(Object.keys(bmf)).toContain("parse/small");
    expect(bmf["parse/small"]).toMatchObject({ latency: { value: expect.any(Number) } });
    const gha = JSON.parse((await report(path("calm.json"), "-o", "gha")).out) as readonly object[];
    expect(gha).toContainEqual(expect.objectContaining({ name: "parse/small", unit: "ns" }));
    expect(JSON.parse((await report(path("calm.json"), "-o", "badge")).out)).toEqual({
      schemaVersion: 1,
      label: "benchmarks",
      message: "1 failed, 2 slower, 1 not valid, 1 undecided, 1 faster, 1 unchanged",
      color: "red",
    });
  });

  it("gives no times of a disturbed machine away, and writes the other forms", async () => {
    const outputs = ["-o", `bmf=${path("disturbed.bmf")}`, "-o", `csv=${path("disturbed.csv")}`];
    await expect(report(path("gate.json"), ...outputs)).rejects.toThrow("the machine was disturbed");
    expect(existsSync(path("disturbed.bmf"))).toBe(false);
    expect(existsSync(path("disturbed.csv"))).toBe(true);
  });

  it("writes no times, and is no failure, where nothing needed to be measured", async () => {
    const gate = sampleGate();
    const neutral = {
      ...gate,
      benches: [],
      environment: { ...gate.environment!, changed: [], controls: [] },
      run: { ...gate.run!, identical: true },
      summary: { verdict: "IDENTICAL", exitCode: 0, geomean: null },
    };
    writeFileSync(path("neutral.json"), JSON.stringify(neutral));
    const { err } = await report(path("neutral.json"), "-o", `bmf=${path("neutral.bmf")}`, "-o", `md=${path("n.md")}`);
    expect(err).toBe(`wrote ${path("n.md")}\n`);
    expect(existsSync(path("neutral.bmf"))).toBe(false);
  });

  it("refuses a history that no form would show", async () => {
    await expect(report(path("gate.json"), "--history", path("h"), "-o", "md")).rejects.toThrow("an HTML page shows");
  });

  it("writes one form to standard output, alone", async () => {
    const { out } = await report(path("gate.json"), "-o", "junit");
    expect(out.startsWith("<?xml ")).toBe(true);
    expect(out.trimEnd().endsWith("</testsuites>")).toBe(true);
  });

  it("adds the trends of its benches on its class of machine, and no others", async () => {
    const records = [
      ...sampleRecords({ days: 60, bench: "sort/1e4", class: "example-2", level: (day) => (day < 30 ? 1 : 1.1) }),
      ...sampleRecords({ days: 60, bench: "sort/1e4", class: "another" }),
      ...sampleRecords({ days: 60, bench: "unrelated", class: "example-2" }),
    ];
    await new DirectoryStore(path("h")).update(undefined, () => addRecords(new Map(), records).changed);
    const { out } = await report(path("gate.json"), "--history", path("h"), "-o", "json");
    const { trends } = JSON.parse(out) as ReturnType<typeof sampleGate>;
    expect(trends?.map(({ bench, class: machine, changes }) => [bench, machine, changes.length])).toEqual([
      ["sort/1e4", "example-2", 1],
    ]);
  });

  it.each([
    ["a later version", '{"schema":"quern.results/2"}', "the results are of version 2"],
    ["no results", '{"hello":1}', "this is no result file of quern"],
    ["half a file", '{"schema":"quern', "the file is not valid JSON"],
  ])("refuses %s, and writes nothing", async (_, text, message) => {
    writeFileSync(path("bad.json"), text);
    await expect(report(path("bad.json"), "-o", `html=${path("bad.html")}`)).rejects.toThrow(message);
    expect(existsSync(path("bad.html"))).toBe(false);
  });

  it("refuses to write over the results, unknown forms, a missing history", async () => {
    await expect(report(path("gate.json"), "-o", `html=${path("gate.json")}`)).rejects.toThrow(
      "the place of the results",
    );
    await expect(report(path("gate.json"), "-o", `html=${folder}/./gate.json`)).rejects.toThrow(
      "the place of the results",
    );
    symlinkSync(path("gate.json"), path("link.json"));
    await expect(report(path("gate.json"), "-o", `md=${path("link.json")}`)).rejects.toThrow(
      "the place of the results",
    );
    await expect(report(path("gate.json"), "-o", "pdf=x.pdf")).rejects.toThrow('no report in the form "pdf"');
    await expect(report(path("gate.json"), "--history", path("none"), "-o", "html")).rejects.toThrow(
      "there is no such folder",
    );
    expect(JSON.parse(readFileSync(path("gate.json"), "utf8"))).toEqual(sampleGate());
  });

  it("compare says that it is advisory", async () => {
    const { out } = await report("compare", path("engines.json"), path("engines.json"));
    expect(out.startsWith("advisory: unpaired")).toBe(true);
    expect(out).toContain("1.000×");
  });
});
