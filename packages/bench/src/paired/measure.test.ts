import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { measurePairs } from "./measure.ts";
import type { BenchSamples, MeasurePlan, PairSamples } from "./plan.ts";
import { benchText, fileText, shortPlan, temporaryArms, type TemporaryArms } from "./temporary-arms.test-support.ts";

const made: TemporaryArms[] = [];
afterAll(() => {
  for (const both of made) both.remove();
});

function arms(base: string, head?: string): TemporaryArms["arms"] {
  const both = temporaryArms(base, head);
  made.push(both);
  return both.arms;
}

function bench(samples: PairSamples, id: string): BenchSamples {
  const found = samples.benches.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no bench ${id}`);
  return found;
}

const good = benchText("good");

describe("measurePairs", () => {
  it("gives as many slices of both arms as there are rounds, in fresh processes, and checks timed calls", async () => {
    const log = 'setup: () => (fs.appendFileSync("pids", `${process.pid}\\n`), undefined)';
    const text = `import fs from "node:fs";\n${fileText(good.replace("run:", `${log},\n  run:`))}`;
    const both = arms(text);
    const shares: number[] = [];
    const samples = await measurePairs(shortPlan(both, ["good"], { pairs: 4 }), ({ share }) => shares.push(share));
    const { pairs, check, error, flags } = bench(samples, "good");
    expect(error).toBeUndefined();
    expect(pairs.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(pairs.filter(({ order }) => order === "base-first")).toHaveLength(2);
    for (const { base, head } of pairs) {
      expect([base.length, head.length]).toEqual([4, 4]);
      expect([...base, ...head].every((ns) => ns > 0)).toBe(true);
    }
    expect(check).toMatchObject({ maxError: 0, passed: true });
    expect(check?.checked).toBeGreaterThanOrEqual(8);
    expect(flags).not.toContain("unchecked");
    expect(shares).toEqual([0, 0.25, 0.5, 0.75]);
    expect([samples.aborted, samples.outOfTime, samples.changedFiles]).toEqual([false, false, []]);
    for (const arm of both) {
      const file = join(arm.directory, "bench/test.bench.ts");
      expect(samples.loaded[arm.name].map(({ path }) => path)).toContain(file);
      const processes = readFileSync(join(arm.directory, "pids"), "utf8").trim().split("\n");
      expect(new Set(processes).size).toBe(4);
    }
  });

  it("gives both arms the same inputs, other ones in every pair, and the same again for the same seed", async () => {
    const inputs = '(random) => { const x = random.normal(); fs.appendFileSync("inputs", `${x}\\n`); return { x }; }';
    const work = "(_, { x }) => { let sum = x; for (let i = 0; i < 20000; i++) sum += Math.sqrt(i); return sum; }";
    const text = `import fs from "node:fs";\n${fileText(benchText("seen", { inputs, run: work, check: "" }))}`;
    const inputsOf = async (seed: number): Promise<string[]> => {
      const both = arms(text);
      await measurePairs(shortPlan(both, ["seen"], { seed, pairs: 2 }));
      const [base, head] = both.map(({ directory }) => readFileSync(join(directory, "inputs"), "utf8").trim());
      expect(base).toBe(head);
      return base?.split("\n") ?? [];
    };
    const first = await inputsOf(5);
    expect(new Set(first).size).toBe(first.length);
    // How many sets are renewed depends on how long that takes: the first eight of a process are always there.
    expect((await inputsOf(5)).slice(0, 8)).toEqual(first.slice(0, 8));
    expect((await inputsOf(6)).slice(0, 8)).not.toEqual(first.slice(0, 8));
  });

  it("measures some benches in every so many pairs only", async () => {
    const plan = shortPlan(arms(fileText(good, benchText("seldom"))), ["good", "seldom"], { firstIndex: 1, pairs: 3 });
    const benches = plan.benches.map((ref) => (ref.id === "seldom" ? { ...ref, every: 2 } : ref));
    const shares: number[] = [];
    const samples = await measurePairs({ ...plan, benches }, ({ share }) => shares.push(share));
    expect(bench(samples, "good").pairs.map(({ index }) => index)).toEqual([1, 2, 3]);
    expect(bench(samples, "seldom").pairs.map(({ index }) => index)).toEqual([2]);
    expect(shares).toEqual([0, 0.25, 0.5, 0.75]);
  });

  it("says what was loaded while it measured, be it a file of the other arm", async () => {
    const late = `async (state, numbers) => {
      if (++state.calls > 15) await import("../../base/bench/late.js");
      return numbers.map((x) => x * x + 1);
    }`;
    const setup = "() => ({ calls: 0 })";
    const both = arms(fileText(benchText("late")), fileText(benchText("late", { setup, run: late })));
    const file = join(both[0].directory, "bench/late.js");
    writeFileSync(file, "export const build = 1;\n");
    const { loaded, benches } = await measurePairs(shortPlan(both, ["late"]));
    expect(benches[0]?.error).toBeUndefined();
    expect(loaded.head.map(({ path }) => path)).toContain(file);
    expect(loaded.base.map(({ path }) => path)).not.toContain(file);
  });

  it("measures a bench from the file of each arm, where it has moved", async () => {
    const both = arms(fileText(good));
    const moved = join(both[1].directory, "bench/moved.bench.ts");
    renameSync(join(both[1].directory, "bench/test.bench.ts"), moved);
    const plan = shortPlan(both, ["good"]);
    const file = { file: "bench/moved.bench.ts", baseFile: "bench/test.bench.ts" };
    const samples = await measurePairs({ ...plan, benches: plan.benches.map((ref) => ({ ...ref, ...file })) });
    expect(bench(samples, "good")).toMatchObject({ check: { passed: true }, pairs: [{ index: 0 }] });
    expect(bench(samples, "good").error).toBeUndefined();
    expect(samples.loaded.head.map(({ path }) => path)).toContain(moved);
    expect(samples.loaded.base.map(({ path }) => path)).toContain(join(both[0].directory, "bench/test.bench.ts"));
  });

  it("measures without a folder for compiled code where none can be made", async () => {
    const both = arms(fileText(good));
    const { TMPDIR } = process.env;
    process.env["TMPDIR"] = join(both[0].directory, "missing");
    try {
      const samples = await measurePairs(shortPlan(both, ["good"]));
      expect(bench(samples, "good").pairs).toHaveLength(1);
    } finally {
      if (TMPDIR === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = TMPDIR;
    }
  });

  it("measures asynchronous benches", async () => {
    const run = "async (_, numbers) => { await null; return numbers.map((x) => x * x + 1); }";
    const samples = await measurePairs(shortPlan(arms(fileText(benchText("later", { run }))), ["later"]));
    expect(bench(samples, "later")).toMatchObject({ check: { passed: true, maxError: 0 }, pairs: [{ index: 0 }] });
  });

  it("measures native benches of several families in one pair of processes", async () => {
    const native = { native: "true", setup: '() => { console.error("one"); return process.pid; }' };
    const text = fileText(...["n1", "n2", "n3"].map((id) => benchText(id, native)));
    const plan = shortPlan(arms(text), ["n1", "n2", "n3"]);
    const samples = await measurePairs({ ...plan, benches: plan.benches.map((ref) => ({ ...ref, native: true })) });
    expect(samples.benches.map(({ pairs }) => pairs.length)).toEqual([1, 1, 1]);
  });
});

/** Measures benches that are good in base and bad in head, each in processes of its own, and a good one beside them. */
function headRuns(
  bad: readonly string[],
  texts: readonly string[],
  changes: Partial<MeasurePlan> = {},
): Promise<PairSamples> {
  const both = arms(fileText(...bad.map((id) => benchText(id)), good), fileText(...texts, good));
  return measurePairs(shortPlan(both, [...bad, "good"], changes));
}

describe("outputs that are not what they seem (AT11)", () => {
  const square = "for (let i = 0; i < 512; i++) out[i] = numbers[i] ** 2 + 1;";
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
    ["wrong", { run: "(_, numbers) => numbers.map((x) => x * x + 1.001)" }, /wrong output: its error is 0\.0?0?1/],
    ["wrong by what the check throws", { check: '() => { throw new Error("not a square"); }' }, /not a square/],
    ["of the wrong kind for the check", { check: "() => NaN" }, /wrong output: its error is NaN/],
    [
      "right and remembered from the warm-up",
      { setup: "() => ({})", run: "(kept, numbers) => (kept.answer ??= numbers.map((x) => x * x + 1)).slice()" },
      /wrong output/,
    ],
    [
      "remembered for the buffer of the input",
      {
        setup: "() => new Map()",
        run: `(kept, numbers) => {
          if (!kept.has(numbers)) kept.set(numbers, numbers.map((x) => x * x + 1));
          return kept.get(numbers).slice();
        }`,
      },
      /wrong output/,
    ],
    [
      "written into the input",
      { run: "(_, numbers) => { for (let i = 0; i < 512; i++) numbers[i] = numbers[i] ** 2 + 1; return numbers; }" },
      /in the memory of the input/,
    ],
    [
      "right, with the input changed on the side",
      { run: "(_, numbers) => { const out = numbers.map((x) => x * x + 1); numbers[7] += 1; return out; }" },
      /changed its input/,
    ],
    ["zero", { run: "() => new Float64Array(512)" }, /wrong output/],
    ["zero, without a check", { run: "() => new Float64Array(512).fill(0).map((x) => x)", check: "" }, /is zero/],
    [
      "the same for every input, without a check",
      { run: "() => new Float64Array(512).fill(3)", check: "" },
      /the same whatever/,
    ],
    [
      "NaN, with a check that does not see it",
      { run: "(_, numbers) => numbers.map(() => NaN)", check: "() => 0" },
      /NaN/,
    ],
    [
      "not written after the first calls",
      {
        setup: "() => ({ calls: 0, result: new Float64Array(512), other: new Float64Array(512) })",
        run: `(state, numbers) => { const out = state.calls++ < 40 ? state.result : state.other; ${square} return state.result; }`,
        check: "() => 0",
      },
      /512 of 512 output numbers were not written by the call/,
    ],
    [
      "half written",
      {
        setup: "() => new Float64Array(512)",
        run: "(out, numbers) => { for (let i = 0; i < 256; i++) out[i] = numbers[i] ** 2; return out; }",
        check: "() => 0",
      },
      /256 of 512 output numbers were not written/,
    ],
  ];
  let samples: PairSamples;
  beforeAll(async () => {
    const ids = cases.map((_, index) => `bad${index}`);
    const texts = cases.map(([, changes], index) => benchText(`bad${index}`, changes));
    samples = await headRuns(ids, texts, { rounds: 12 });
  });

  it.each(cases.map(([name, , message], index) => [name, message, `bad${index}`] as const))("%s", (_, message, id) => {
    const { error, check, pairs } = bench(samples, id);
    expect(error).toMatchObject({ kind: "output", arm: "head" });
    expect(error?.reason).toMatch(message);
    expect(check?.passed).toBe(false);
    expect(pairs).toEqual([]);
  });

  it("leaves the good one beside them measured", () => {
    expect(bench(samples, "good").error).toBeUndefined();
    expect(bench(samples, "good").pairs).toHaveLength(1);
  });

  it("accepts a buffer that is written anew by every call", async () => {
    const setup = "() => new Float64Array(512)";
    const run = `(out, numbers) => { ${square} return out; }`;
    const text = fileText(benchText("reused", { setup, run }));
    const samples = await measurePairs(shortPlan(arms(text), ["reused"], { pairs: 2, rounds: 12 }));
    expect(bench(samples, "reused")).toMatchObject({ check: { passed: true }, pairs: [{}, {}] });
  });

  it("a rate beyond what the machine can do", async () => {
    const both = arms(fileText(benchText("fast", { work: "{ flops: 1e12 }" })));
    const plan = shortPlan(both, ["fast"], { peaks: { gflops: 100 } });
    const samples = await measurePairs({ ...plan, benches: [{ ...plan.benches[0]!, work: { flops: 1e12 } }] });
    expect(bench(samples, "fast").error).toMatchObject({ kind: "impossible" });
    expect(bench(samples, "fast").error?.reason).toMatch(/GFLOP\/s where no code reaches more than 100/);
  });
});

describe("benches that fail (AT10)", () => {
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, string, RegExp])[] = [
    [
      "crashes in a call",
      { run: '() => { console.error("out of luck"); process.exit(3); }' },
      "crash",
      /exit code 3[^]*out of luck/,
    ],
    ["is killed", { run: '() => process.kill(process.pid, "SIGKILL")' }, "crash", /was ended by SIGKILL/],
    ["throws in setup", { setup: '() => { throw new Error("no data"); }' }, "failed", /no data/],
    ["throws in a call", { run: '() => { throw new TypeError("no such thing"); }' }, "failed", /no such thing/],
    ["hangs", { run: "() => { for (;;); }" }, "timeout", /gave no answer within 12 s/],
  ];
  let samples: PairSamples;
  beforeAll(async () => {
    const ids = cases.map((_, index) => `bad${index}`);
    const texts = cases.map(([, changes], index) => benchText(`bad${index}`, changes));
    samples = await headRuns(ids, texts, { timeoutMs: 12_000 });
  });

  it.each(cases.map(([name, , kind, message], index) => [name, kind, message, `bad${index}`] as const))(
    "%s",
    (_, kind, message, id) => {
      const { error } = bench(samples, id);
      expect(error).toMatchObject({ kind, arm: "head" });
      expect(error?.reason).toMatch(message);
    },
  );

  it("leaves the good one beside them measured", () => {
    expect(bench(samples, "good").error).toBeUndefined();
    expect(bench(samples, "good").pairs).toHaveLength(1);
  });

  it("takes only itself out of a process that it shared", async () => {
    const crash = benchText("bad", { run: "() => process.exit(7)" });
    const both = arms(fileText(benchText("bad"), good, benchText("other")), fileText(crash, good, benchText("other")));
    const plan = shortPlan(both, ["bad", "good", "other"], { pairs: 2 });
    const samples = await measurePairs({ ...plan, benches: plan.benches.map((ref) => ({ ...ref, family: "shared" })) });
    expect(bench(samples, "bad").error).toMatchObject({ kind: "crash", arm: "head" });
    for (const id of ["good", "other"]) {
      expect(bench(samples, id).error).toBeUndefined();
      expect(bench(samples, id).pairs).toHaveLength(2);
    }
  });

  it("is missing in one arm, or its file cannot be loaded", async () => {
    const missing = await measurePairs(
      shortPlan(arms(fileText(benchText("here"), good), fileText(good)), ["here", "good"]),
    );
    expect(bench(missing, "here").error).toMatchObject({ kind: "missing", arm: "head" });
    expect(bench(missing, "good").pairs).toHaveLength(1);
    const broken = await measurePairs(shortPlan(arms("export default nonsense;", fileText(good)), ["good"]));
    expect(bench(broken, "good").error).toMatchObject({ kind: "failed", arm: "base" });
    expect(bench(broken, "good").error?.reason).toMatch(/nonsense is not defined/);
  });

  it("answers in the harness's place: it cannot", async () => {
    const run =
      '(_, numbers) => { process.send?.({ kind: "slice", callNs: 1e-3, calls: 1e9, spentNs: 1 }); return numbers.map((x) => x * x + 1); }';
    const samples = await measurePairs(shortPlan(arms(fileText(benchText("liar", { run }))), ["liar"]));
    expect(bench(samples, "liar").error).toBeUndefined();
    expect(Math.min(...(bench(samples, "liar").pairs[0]?.head ?? []))).toBeGreaterThan(10);
  });
});

describe("bodies too short to be measured (AT12)", () => {
  it("flags them and evaluates nothing", async () => {
    const scalar = { inputs: "(random) => ({ x: random.uniform() })", check: "" };
    const text = fileText(
      benchText("short", { ...scalar, run: "(_, { x }) => x * 2 + 1" }),
      benchText("empty", { inputs: "", check: "", run: "() => undefined" }),
      benchText("enough", {
        ...scalar,
        run: "(_, { x }) => { let s = x; for (let i = 0; i < 400; i++) s = Math.sqrt(s + i); return s; }",
      }),
    );
    const samples = await measurePairs(shortPlan(arms(text), ["short", "empty", "enough"], { pairs: 2, warmUpMs: 60 }));
    expect(bench(samples, "short").pairs).toEqual([]);
    expect(["timer-bound", "empty-body"]).toContain(bench(samples, "short").flags[0]);
    expect(bench(samples, "empty").pairs).toEqual([]);
    expect(["timer-bound", "empty-body"]).toContain(bench(samples, "empty").flags[0]);
    expect(bench(samples, "enough").pairs).toHaveLength(2);
    expect(bench(samples, "enough").flags).toContain("unchecked");
  });
});

it("every bench is torn down as often as it was set up where its process lives, however it ends", async () => {
  const noting = (id: string): Readonly<Record<string, string>> => ({
    setup: `() => { fs.appendFileSync("begun", "${id}\\n"); return { calls: 0 }; }`,
    teardown: `() => fs.appendFileSync("ended", "${id}\\n")`,
  });
  const late = (act: string): Readonly<Record<string, string>> => ({
    run: `(state, numbers) => { if (++state.calls > 15) { ${act} } return numbers.map((x) => x * x + 1); }`,
  });
  const texts = (act: string): string[] => [
    benchText("throws", { ...noting("throws"), ...late(act === "" ? "" : 'throw new Error("late");') }),
    benchText("short", { ...noting("short"), inputs: "", check: "", run: "() => undefined" }),
    benchText("plain", noting("plain")),
    benchText("crashes", { ...noting("crashes"), ...late(act) }),
  ];
  const file = (act: string): string => `import fs from "node:fs";\n${fileText(...texts(act))}`;
  const both = arms(file(""), file("process.exit(3);"));
  const plan = shortPlan(both, ["throws", "short", "plain", "crashes"]);
  const samples = await measurePairs({ ...plan, benches: plan.benches.map((ref) => ({ ...ref, family: "one" })) });
  expect(bench(samples, "throws").error).toMatchObject({ kind: "failed", arm: "head" });
  expect(bench(samples, "crashes").error).toMatchObject({ kind: "crash", arm: "head" });
  expect(bench(samples, "plain").pairs).toHaveLength(1);
  const noted = (arm: number, what: string): string[] =>
    readFileSync(join(both[arm]?.directory ?? "", what), "utf8")
      .trim()
      .split("\n")
      .sort();
  // The base is not set up where the head has failed before.
  expect(noted(0, "ended")).toEqual(noted(0, "begun"));
  expect(noted(0, "ended")).toContain("plain");
  // Where one took its process with it the others were measured, and torn down, in another one.
  expect(noted(1, "ended")).toEqual(expect.arrayContaining(["plain", "throws"]));
});
