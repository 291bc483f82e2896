import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { filesOfGlobs } from "./bench-files.ts";
import { listBenches, type ListAnswer, type ListOptions } from "./list-benches.ts";

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "quern-list-")));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (name: string, text: string): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
};

const list = (options: Partial<ListOptions> = {}): Promise<ListAnswer> =>
  listBenches(
    { directory: folder, project: folder },
    { what: "base", benches: ["bench/**/*.bench.{js,ts}"], ...options },
  );

describe("filesOfGlobs", () => {
  it("finds files once, sorted, never those of packages", () => {
    for (const name of ["b/z.bench.js", "b/a.bench.js", "b/node_modules/x/y.bench.js", "b/c.js", "b/d.bench.js/x"]) {
      write(name, "");
    }
    expect(filesOfGlobs(folder, ["b/**/*.bench.js", "b/a*"])).toEqual(["b/a.bench.js", "b/z.bench.js"]);
  });
});

describe("listBenches", () => {
  it("lists what bench files export, in the order of the files", async () => {
    write(
      "bench/b.bench.ts",
      `import { defineBench } from "@quern/bench/define";
       const size: number = 3;
       export default [1, 2].map((n) => defineBench({ id: \`b/\${n}\`, params: { n, size }, delta: 0.1, run: () => n }));`,
    );
    write("bench/a.bench.js", "export default { id: 'a', native: true, work: { flops: 2 }, run: () => 1 };");
    const { benches, loaded } = await list();
    expect(benches).toEqual([
      { file: "bench/a.bench.js", index: 0, id: "a", native: true, work: { flops: 2 } },
      { file: "bench/b.bench.ts", index: 0, id: "b/1", params: { n: 1, size: 3 }, delta: 0.1 },
      { file: "bench/b.bench.ts", index: 1, id: "b/2", params: { n: 2, size: 3 }, delta: 0.1 },
    ]);
    expect(loaded.filter(({ path }) => path.startsWith(folder)).map(({ path }) => path)).toEqual([
      join(folder, "bench/a.bench.js"),
      join(folder, "bench/b.bench.ts"),
    ]);
  });

  it("tries each bench and records what that loads: modules, CommonJS, WebAssembly", async () => {
    write("lib/late.js", "export const late = 1;");
    write("lib/old.cjs", "module.exports = require('./older.cjs');");
    write("lib/older.cjs", "module.exports = 2;");
    writeFileSync(join(folder, "lib/x.wasm"), Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    write(
      "bench/a.bench.js",
      `import { readFile } from "node:fs/promises";
       import { createRequire } from "node:module";
       export default {
         id: "a",
         setup: async ({ directory }) => {
           await WebAssembly.compile(await readFile(new URL("../lib/x.wasm", import.meta.url)));
           return createRequire(import.meta.url)(directory + "/lib/old.cjs");
         },
         inputs: (random, state) => random.uniform() + state,
         run: async (state, input) => (await import("../lib/late.js")).late + input,
       };`,
    );
    const names = async (attempt: boolean): Promise<string[]> =>
      (await list({ attempt })).loaded
        .map(({ path }) => path)
        .filter((path) => path.startsWith(folder))
        .map((path) => path.slice(folder.length + 1));
    expect(await names(false)).toEqual(["bench/a.bench.js"]);
    expect(await names(true)).toEqual([
      "bench/a.bench.js",
      "lib/late.js",
      "lib/old.cjs",
      "lib/older.cjs",
      "lib/x.wasm",
    ]);
  });

  it.each([
    [
      "a process that is waited for",
      `import { execFileSync } from "node:child_process";
       const run = () => execFileSync(process.execPath, ["--version"]);`,
      ["a child process"],
    ],
    [
      "a process in a promise, which gives what it gave before",
      `import { execFile } from "node:child_process";
       import { promisify } from "node:util";
       const run = async () => {
         const { stdout } = await promisify(execFile)(process.execPath, ["--version"]);
         if (!stdout.startsWith("v")) throw new Error(stdout);
       };`,
      ["a child process"],
    ],
    [
      "a worker thread, by a class of its own, and a process of CommonJS",
      `import { createRequire } from "node:module";
       import { Worker } from "node:worker_threads";
       const { spawnSync } = createRequire(import.meta.url)("child_process");
       class Own extends Worker {}
       const run = () => new Promise((resolve, reject) => {
         spawnSync(process.execPath, ["--version"]);
         const worker = new Own("", { eval: true });
         if (!(worker instanceof Own && worker instanceof Worker)) reject(new Error("another class"));
         worker.on("exit", resolve);
       });`,
      ["a child process", "a worker thread"],
    ],
    ["nothing of the kind", "const run = () => 1;", []],
  ])("says that code ran where its files are not seen: %s", async (_, text, unseen) => {
    write("bench/a.bench.js", `${text}\nexport default { id: "a", run };`);
    expect((await list()).unseen).toEqual([]);
    const answer = await list({ attempt: true });
    expect(answer.benches[0]?.failure).toBeUndefined();
    expect(answer.unseen).toEqual(unseen);
  });

  it("keeps the error of a bench that fails when it is tried, and tries the others", async () => {
    write(
      "bench/a.bench.js",
      `export default [
         { id: "a", run: () => { throw new Error("no such kernel"); } },
         { id: "b", setup: () => Promise.reject("reason"), run: () => 1 },
         { id: "c", run: () => 1 },
       ];`,
    );
    const { benches } = await list({ attempt: true });
    expect(benches.map(({ failure }) => failure)).toEqual(["no such kernel", "reason", undefined]);
  });

  it("keeps what is wrong with the output of that call: its error, a check that throws, NaN", async () => {
    write(
      "bench/a.bench.js",
      `export default [
         { id: "near", run: () => 1, check: () => 0.5, tolerance: 0.5 },
         { id: "far", run: () => 1, check: () => 0.5, tolerance: 0.25 },
         { id: "async", run: async () => 1, check: async (_, output) => output },
         { id: "throws", run: () => 1, check: () => { throw new Error("not sorted"); } },
         { id: "nan", run: () => Float64Array.of(1, NaN) },
         { id: "input", inputs: () => Float64Array.of(1), run: (_, x) => (x[0] = 2), check: () => 1 },
         { id: "teardown", run: () => 1, check: () => 1, teardown: () => { throw new Error("too late"); } },
       ];`,
    );
    const { benches } = await list({ attempt: true });
    expect(benches.map(({ id, failure, wrong }) => [id, failure ?? wrong])).toEqual([
      ["near", undefined],
      ["far", "wrong output: its error is 0.5, the tolerance 0.25"],
      ["async", "wrong output: its error is 1, the tolerance 0"],
      ["throws", "not sorted"],
      ["nan", "NaN in the output"],
      ["input", expect.stringMatching(/^the call changed its input/)],
      ["teardown", "too late"],
    ]);
    expect(benches.map(({ failure }) => failure)).toEqual([...Array.from({ length: 6 }), "too late"]);
  });

  it("tears down what it has set up, whatever a call ends with", async () => {
    write(
      "bench/a.bench.js",
      `import { appendFileSync } from "node:fs";
       const throws = () => { throw new Error("no luck"); };
       const bench = (id, part) => ({ id, run: () => 1, teardown: () => appendFileSync(${JSON.stringify(join(folder, "ended"))}, id), ...part });
       export default [
         bench("a", { inputs: throws }), bench("b", { run: throws }), bench("c", { check: throws }), bench("d", { setup: throws }),
         { id: "e", run: throws, teardown: () => { throw new Error("too late"); } },
       ];`,
    );
    const { benches } = await list({ attempt: true });
    expect(benches.map(({ failure, wrong }) => failure ?? wrong)).toEqual(Array.from({ length: 5 }, () => "no luck"));
    expect(readFileSync(join(folder, "ended"), "utf8")).toBe("abc");
  });

  it("gives the advice that there is for a failure, of a file and of a call", async () => {
    const advice = (failure: string): string | undefined => (failure.includes("nowhere") ? "Install it." : undefined);
    write("bench/a.bench.js", "export default [{ id: 'a', run: () => import('nowhere') }, { id: 'b', run: () => x }];");
    const { benches } = await list({ attempt: true, advice });
    expect(benches.map(({ failure }) => failure)).toEqual([
      expect.stringMatching(/^Cannot find package 'nowhere'.*\nInstall it\.$/),
      "x is not defined",
    ]);
    write("bench/a.bench.js", "import 'nowhere';");
    await expect(list({ advice })).rejects.toThrow(/Cannot find package 'nowhere'.*\n {2}at .*\n {2}Install it\./);
  });

  it("tries those that the filter chooses, and lists all; this build need not have any of them", async () => {
    write("lib/late.js", "export const late = 1;");
    write(
      "bench/a.bench.js",
      `const run = async () => (await import("../lib/late.js")).late;
       export default [
         { id: "good", params: { n: 2 }, run: () => 1 },
         { id: "crash", run: () => process.exit(3) },
         { id: "late", params: { n: 3 }, run },
       ];`,
    );
    const tried = async (...filter: readonly string[]): Promise<unknown> => {
      const { benches, loaded } = await list({ attempt: true, filter });
      expect(benches.map(({ id }) => id)).toEqual(["good", "crash", "late"]);
      return loaded.some(({ path }) => path.endsWith("late.js"));
    };
    expect(await tried("good")).toBe(false);
    expect(await tried("!crash")).toBe(true);
    expect(await tried("n=3")).toBe(true);
    expect(await tried("only-in-the-other")).toBe(false);
  });

  it("keeps how benches ended or blocked their process, and tries the others in another one", async () => {
    write("lib/late.js", "export const late = 1;");
    write(
      "bench/a.bench.js",
      `export default [
         { id: "exit", run: () => { console.error("no device"); process.exit(3); } },
         { id: "good", run: async () => (await import("../lib/late.js")).late },
         { id: "hang", run: () => { for (;;); } },
         { id: "throws", run: () => { throw new Error("no such kernel"); } },
         { id: "kill", run: () => process.kill(process.pid, "SIGSEGV") },
       ];`,
    );
    const { benches, loaded } = await list({ attempt: true, timeoutMs: 5000 });
    expect(benches.map(({ id, failure }) => [id, failure])).toEqual([
      ["exit", "the process of its first call ended with exit code 3\nno device"],
      ["good", undefined],
      ["hang", "the process of its first call gave no answer within 5 s"],
      ["throws", "no such kernel"],
      ["kill", "the process of its first call was ended by SIGSEGV"],
    ]);
    expect(loaded.some(({ path }) => path.endsWith("late.js"))).toBe(true);
  });

  it("refuses a build where one bench after the other ends its process", async () => {
    write(
      "bench/a.bench.js",
      "export default Array.from({ length: 20 }, (_, i) => ({ id: `a/${i}`, run: () => process.exit(1) }));",
    );
    await expect(list({ attempt: true })).rejects.toMatchObject({ reason: "benches-failed", exitCode: 4 });
  });

  it("takes no answer from a bench in place of its own", async () => {
    const run = "() => { process.send?.({ value: { benches: [], loaded: [] } }); process.send?.('x'); return 1; }";
    write("bench/a.bench.js", `export default { id: "liar", run: ${run} };`);
    const { benches } = await list({ attempt: true });
    expect(benches.map(({ id, failure }) => [id, failure])).toEqual([["liar", undefined]]);
  });

  it.each([
    [
      "an import that is missing",
      "import 'nowhere';",
      /the process of the benches of base failed at bench\/a.bench.js: Cannot find package/,
    ],
    ["no default export", "export const a = 1;", "the bench file has no default export\n  at bench/a.bench.js"],
    ["a misspelt key", "export default { id: 'a', rum: () => 1, run: () => 1 };", 'has no "rum"'],
    ["a file that does not parse", "export default [{", /failed at bench\/a.bench.js: Unexpected end of input/],
    ["a process that ends", "process.exit(0);", "ended with exit code 0 at bench/a.bench.js"],
    ["a crash", "process.kill(process.pid, 'SIGSEGV'); for (;;);", "was ended by SIGSEGV at bench/a.bench.js"],
    ["a hang", "for (;;);", "gave no answer within 5 s at bench/a.bench.js"],
  ])("refuses a build whose file has %s", async (_, text, message) => {
    write("bench/a.bench.js", text);
    const error = await list({ attempt: true, timeoutMs: 5000 }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: "benches-failed", exitCode: 4 });
    expect((error as Error).message).toMatch(message);
  });

  it("refuses an id that two files use, and no files", async () => {
    write("bench/a.bench.js", "export default { id: 'same', run: () => 1 };");
    write("bench/b.bench.js", "export default { id: 'same', run: () => 1 };");
    await expect(list()).rejects.toThrow(
      'the bench "same" of base is defined twice\n  at bench/a.bench.js and bench/b.bench.js',
    );
    await expect(list({ benches: ["perf/*.js"] })).rejects.toThrow("base has no bench files");
    expect(await list({ benches: ["perf/*.js"], mayBeEmpty: true })).toEqual({ benches: [], loaded: [] });
  });

  it("ends when it is told to", async () => {
    write("bench/a.bench.js", "export default { id: 'a', run: () => { for (;;); } };");
    await expect(list({ attempt: true, signal: AbortSignal.timeout(500) })).rejects.toThrow(/timeout/);
  });
});
