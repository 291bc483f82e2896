import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkConfig, defineConfig, type BenchConfig } from "./config.ts";
import { findConfig, loadConfig } from "./load-config.ts";
import { deltaOf, dumpConfig, resolveConfig, type ConfigSources } from "./resolve-config.ts";
import { percentShare, type Settings } from "./settings.ts";

const PRESET: Settings = {
  profile: "ci",
  delta: 0.025,
  delta0: 0.01,
  q: 0.01,
  fdr: "bh",
  pairs: [16, 48],
  rounds: 20,
  sliceMs: 5,
  pin: "auto",
  threads: 1,
  seed: 1,
  budgetS: null,
  strict: false,
  timeoutS: 120,
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quern-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (name: string, text: string): string => {
  const file = join(folder, name);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
  return file;
};

describe("checkConfig", () => {
  const check = (value: unknown): BenchConfig => checkConfig(value, "x.ts");

  it("accepts what the type allows", () => {
    const config = defineConfig({
      version: 1,
      benches: ["bench/**/*.bench.ts"],
      files: ["data/*.json"],
      prepare: ["npm ci"],
      profile: "quick",
      delta: 0.05,
      deltas: { "sort/*": 0.1 },
      removed: ["old"],
      env: { A: "1" },
      nodeOptions: ["--no-opt"],
      pairs: [8, 16],
      pin: [0, 2],
      budgetS: null,
      strict: true,
    });
    expect(check(config)).toBe(config);
  });

  it("names an unknown key and the nearest known one", () => {
    expect(() => check({ version: 1, detla: 0.1 })).toThrow(
      'there is no setting "detla"\n  at x.ts\n  Did you mean "delta"?',
    );
    expect(() => check({ version: 1, colour: "red" })).toThrow("Known keys: version, benches");
    expect(() => check({ version: 1, constructor: 1 })).toThrow('there is no setting "constructor"');
  });

  it("refuses versions that it does not know", () => {
    expect(() => check({ version: 2 })).toThrow(
      "version 2 is not known\n  at x.ts\n  This program reads `version: 1`.",
    );
    expect(() => check({ version: "1" })).toThrow('version "1" is not known');
    expect(() => check({})).toThrow("the configuration has no version");
    expect(() => check([])).toThrow("the configuration is no object");
  });

  it.each([
    [{ delta: "2%" }, '"delta" is a share from 0.001 to 10, such as 0.025 or 2.5%, not "2%"'],
    [{ delta: 0 }, '"delta" is a share'],
    [{ delta: Number.NaN }, '"delta" is a share'],
    [{ pairs: [16] }, '"pairs" is two whole numbers from 3 to 1000, such as 16,48, or three'],
    [{ pin: "0,1" }, '"pin" is auto, none, or a list of processors such as 0,2-3 ([0, 2, 3] in a file), not "0,1"'],
    [{ pin: [0, -1] }, '"pin" is auto, none, or a list of processors'],
    [{ profile: "fast" }, '"profile" is one of quick, ci, rigorous, not "fast"'],
    [{ benches: [] }, '"benches" names at least one glob, not []'],
    [{ benches: ["../other/*.bench.ts"] }, '"benches" is a list of globs within the folder'],
    [{ benches: ["{a,..}/*.bench.ts"] }, '"benches" is a list of globs within the folder'],
    [{ benches: ["/etc/*"] }, '"benches" is a list of globs within the folder'],
    [{ prepare: "npm ci" }, '"prepare" is a list of texts, none of them empty, not "npm ci"'],
    [{ deltas: { a: -1 } }, '"deltas" is a record of patterns'],
    [{ env: { A: 1 } }, '"env" is a record of names and texts, not {"A":1}'],
    [{ nodeOptions: ["conditions"] }, '"nodeOptions" is a list of options of Node'],
    [{ shared: ["cuda"] }, '"shared" is a list of absolute folders, not ["cuda"]'],
    [{ seed: 1.5 }, '"seed" is a whole number'],
  ])("says what is wrong with %j", (part, message) => {
    expect(() => check({ version: 1, ...part })).toThrow(message);
  });
});

describe("loadConfig", () => {
  it("finds the file above, up to the root of the repository", async () => {
    const file = write("repo/quern.bench.config.mjs", "export default { version: 1, delta: 0.04 };");
    write("repo/sub/deep/a.txt", "");
    expect(findConfig(join(folder, "repo/sub/deep"))).toBe(file);
    expect(await loadConfig(join(folder, "repo/sub/deep"))).toMatchObject({ file, config: { delta: 0.04 } });
    write("repo/sub/.git/HEAD", "");
    expect(findConfig(join(folder, "repo/sub/deep"))).toBeUndefined();
    expect((await loadConfig(join(folder, "repo/sub"))).config).toEqual({ version: 1 });
  });

  it("reads TypeScript that uses defineConfig of this package", async () => {
    write(
      "quern.bench.config.ts",
      `import { defineConfig } from "@quern/bench/define";
       const delta: number = 0.03;
       export default defineConfig({ version: 1, delta });`,
    );
    // The folder has no packages at all: the harness resolves to itself.
    expect((await loadConfig(folder)).config.delta).toBe(0.03);
  });

  it("refuses two files in one folder and a missing file", async () => {
    write("quern.bench.config.mjs", "export default { version: 1 };");
    write("quern.bench.config.js", "export default { version: 1 };");
    expect(() => findConfig(folder)).toThrow("there are two configuration files");
    await expect(loadConfig(folder, { file: "missing.ts" })).rejects.toThrow("there is no file missing.ts");
  });

  it.each([
    ["throw new Error('broken here')", /the configuration failed: broken here\n {2}at .*given\.mjs/],
    ["export const x = 1", "it has no default export"],
    ["process.exit(3)", "the configuration ended with exit code 3"],
    [
      "console.log('last words'); process.kill(process.pid, 'SIGKILL'); await new Promise((r) => setTimeout(r, 9e4))",
      "SIGKILL",
    ],
    ["export default { version: 1, prepare: [() => 1] }", "more than plain data"],
    ["export default {", "Unexpected"],
  ])("says what is wrong with a file of %s", async (text, message) => {
    write("given.mjs", text);
    await expect(loadConfig(folder, { file: "given.mjs" })).rejects.toThrow(message);
  });
});

describe("resolveConfig", () => {
  const resolve = (part: Partial<ConfigSources>): ReturnType<typeof resolveConfig> =>
    resolveConfig({
      flags: {},
      env: {},
      file: { version: 1 },
      presets: (profile) => ({ ...PRESET, profile }),
      ...part,
    });

  it("lets flags go before variables, variables before the file, the file before the preset", () => {
    const file: BenchConfig = { version: 1, delta: 0.03, rounds: 7, seed: 3 };
    const { settings, origins } = resolve({
      flags: { delta: "5%" },
      env: { BENCH_DELTA: "4%", BENCH_ROUNDS: "9" },
      file,
    });
    expect(settings).toEqual({ ...PRESET, delta: 0.05, rounds: 9, seed: 3 });
    expect(origins).toMatchObject({ delta: "flag", rounds: "environment", seed: "file", sliceMs: "preset" });
  });

  it("asks for the preset of the profile that counts", () => {
    const asked: string[] = [];
    const presets: ConfigSources["presets"] = (profile) => {
      asked.push(profile);
      return { ...PRESET, rounds: profile === "quick" ? 5 : 20 };
    };
    const { settings } = resolve({
      presets,
      env: { BENCH_PROFILE: "quick" },
      file: { version: 1, profile: "rigorous" },
    });
    expect(asked).toEqual(["quick"]);
    expect(settings).toMatchObject({ profile: "quick", rounds: 5 });
  });

  it.each([
    ["delta", "2.5%", 0.025],
    ["delta", ".025", 0.025],
    ["delta", "7%", 0.07],
    ["q", "1e-3", 0.001],
    ["pairs", "12, 24", [12, 24]],
    ["sliceMs", "5ms", 5],
    ["sliceMs", "0.01s", 10],
    ["budgetS", "8m", 480],
    ["budgetS", "90", 90],
    ["budgetS", "1.5h", 5400],
    ["budgetS", "none", null],
    ["strict", "no", false],
    ["timeoutS", "2min", 120],
  ] as const)("reads %s of %s", (key, text, value) => {
    expect(resolve({ flags: { [key]: text } }).settings[key]).toEqual(value);
  });

  it.each([
    [{ delta: "2,5%" }, '"2,5%" is not a share from 0.001 to 10, such as 0.025 or 2.5%\n  at --delta'],
    [{ delta: "0x1" }, "at --delta"],
    [{ pairs: "16" }, "at --pairs"],
    [{ pairs: "16,48,96,96" }, "at --pairs"],
    [{ budgetS: "8 weeks" }, "at --budget"],
    [{ budgetS: "" }, "at --budget"],
    [{ seed: -1 }, "-1 is not a whole number"],
    [{ fdr: "bonferroni" }, '"bonferroni" is not one of bh, by'],
  ])("refuses the flag %j", (flags, message) => {
    expect(() => resolve({ flags: flags as ConfigSources["flags"] })).toThrow(message);
  });

  it("refuses variables that are nearly its own and leaves others alone", () => {
    expect(() => resolve({ env: { BENCH_DETLA: "1" } })).toThrow(
      "there is no variable BENCH_DETLA\n  at environment\n  Did you mean BENCH_DELTA?",
    );
    expect(() => resolve({ env: { BENCH_DELTA: "x" } })).toThrow("at BENCH_DELTA");
    expect(resolve({ env: { BENCH_FILES_OF_OTHERS: "1", BENCH_ACCEPT: "", BENCH_DELTA: "" } }).settings).toEqual(
      PRESET,
    );
  });

  it("finds the threshold of a bench", () => {
    const deltas = { "sort/*": 0.1, "sort/1e4": 0.2, "**": 0.05 };
    const config = resolve({ file: { version: 1, delta: 0.03, deltas } });
    expect(deltaOf(config, { id: "sort/1e4" })).toBe(0.2);
    expect(deltaOf(config, { id: "sort/1e5", delta: 0.4 })).toBe(0.1);
    expect(deltaOf(config, { id: "gemm" })).toBe(0.05);
    const plain = resolve({ file: { version: 1, delta: 0.03 } });
    expect(deltaOf(plain, { id: "gemm", delta: 0.4 })).toBe(0.4);
    expect(deltaOf(plain, { id: "gemm" })).toBe(0.03);
    const flagged = resolve({ flags: { delta: "1%" }, file: { version: 1, deltas } });
    expect(deltaOf(flagged, { id: "sort/1e4", delta: 0.4 })).toBe(0.01);
  });

  it("takes the files of npm arms from the folders of the globs", () => {
    const files = (...benches: string[]): readonly string[] => resolve({ file: { version: 1, benches } }).files;
    expect(files("bench/**/*.bench.ts", "./a/b/{c,d}/*.ts", "*.bench.ts", "x/y.bench.js")).toEqual([
      "bench/**",
      "a/b/**",
      "x/**",
    ]);
    expect(resolve({}).files).toEqual(["bench/**"]);
  });

  it("dumps a file that gives the same settings again", async () => {
    const first = resolve({
      flags: { delta: "5%", budgetS: "8m" },
      file: { version: 1, prepare: ['echo "a"'], removed: ["x"] },
    });
    const text = dumpConfig(first, "a.ts");
    expect(text).toContain("delta: 0.05, // --delta");
    expect(text).toContain("rounds: 20, // preset ci");
    write("quern.bench.config.mjs", text);
    const { config } = await loadConfig(folder);
    const second = resolve({ file: config, presets: () => ({}) as Settings });
    expect({ ...second, origins: 0 }).toEqual({ ...first, origins: 0 });
  });
});

describe("percentShare", () => {
  it("is the number nearest to what was written", () => {
    for (const [percent, share] of [
      [2.5, 0.025],
      [7, 0.07],
      [0.1, 0.001],
      [1e-7, 1e-9],
      [5.7, 0.057],
    ] as const) {
      expect(percentShare(percent)).toBe(share);
    }
  });
});
