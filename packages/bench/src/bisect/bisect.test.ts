import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EXIT } from "../gate/exit-codes.ts";
import { Random } from "../harness/random.ts";
import { temporaryFolder } from "../paired/arms/repository.test-support.ts";
import { studentQuantile } from "../statistics/distributions.ts";
import { bisect, type BisectPlan, type BisectResult, type Compare } from "./bisect.ts";
import type { Candidate, Candidates } from "./candidates.ts";
import type { Comparison } from "./probes.ts";

function candidatesOf(count: number): Candidates {
  const candidate = (k: number): Candidate => ({ source: `c${k}`, label: `commit ${k}` });
  return { good: candidate(0), after: Array.from({ length: count }, (_, k) => candidate(k + 1)) };
}

const indexOf = (candidate: Candidate): number => Number(candidate.source.slice(1)) - 1;

/** A machine on which build `k` takes `level(k)` times as long as the good one; log-ratios of pairs vary by `sd`. */
function machine(seed: number, level: (k: number) => number, sd: number, outliers = 0): Compare {
  return async (candidate, { pairs, number }): Promise<Comparison> => {
    const random = Random.of(seed, candidate.source, number);
    const logs = Array.from({ length: pairs }, () => {
      const spread = random.uniform() < outliers ? 10 * sd : sd;
      return Math.log(level(indexOf(candidate))) + spread * random.normal();
    });
    const mean = logs.reduce((sum, log) => sum + log, 0) / pairs;
    const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (pairs - 1);
    const reach = studentQuantile(0.975, pairs - 1) * Math.sqrt(variance / pairs);
    return { ratio: Math.exp(mean), low: Math.exp(mean - reach), high: Math.exp(mean + reach), verdict: "measured" };
  };
}

const step =
  (at: number, ratio: number) =>
  (k: number): number =>
    k >= at ? ratio : 1;

const search = (count: number, compare: Compare, part: Partial<BisectPlan> = {}): Promise<BisectResult> =>
  bisect({ candidates: candidatesOf(count), bench: "sort", compare, pairs: 16, ...part });

const labels = (result: BisectResult): string[] => result.first.map(({ label }) => label);

describe("bisect", () => {
  it("finds the first slow build wherever it is, on a quiet machine", async () => {
    for (const count of [1, 2, 3, 10, 33]) {
      for (let at = 0; at < count; at++) {
        const result = await search(count, machine(7, step(at, 1.2), 0.002));
        expect(result.outcome, `${at} of ${count}`).toBe("found");
        expect(labels(result)).toEqual([`commit ${at + 1}`]);
        expect(result.before.label).toBe(`commit ${at}`);
        expect(result.ratio?.ratio).toBeCloseTo(1.2, 2);
        if (at > 0) expect(result.ratioBefore?.ratio).toBeCloseTo(1, 2);
        expect(result.threshold).toBeCloseTo(Math.sqrt(1.2), 2);
      }
    }
  });

  it("needs little more than the logarithm of the builds", async () => {
    const result = await search(1000, machine(7, step(613, 1.3), 0.005));
    expect(labels(result)).toEqual(["commit 614"]);
    expect(result.probes.length).toBeLessThanOrEqual(1 + 10 + 5);
  });

  it.each([
    ["noise as large as the step", 1.1, 0.1, 0],
    ["one pair in five far off", 1.1, 0.02, 0.2],
    ["a small step", 1.03, 0.015, 0],
  ])("finds it in nearly all runs with %s", async (_, ratio, sd, outliers) => {
    let right = 0;
    let wrong = 0;
    const runs = 150;
    for (let seed = 1; seed <= runs; seed++) {
      const at = Random.of(seed, "place").below(40);
      const result = await search(40, machine(seed, step(at, ratio), sd, outliers));
      const includes = labels(result).includes(`commit ${at + 1}`);
      if (result.outcome === "found" && includes) right++;
      if (result.first.length > 0 && !includes) wrong++;
    }
    // Seeds 1 to 150; a plain bisection without asking again goes wrong in several of each hundred.
    expect(wrong).toBeLessThanOrEqual(2);
    expect(right).toBeGreaterThanOrEqual(0.85 * runs);
  });

  it("recovers from a wrong answer", async () => {
    const quiet = machine(3, step(21, 1.2), 0.003);
    let lied = 0;
    // The first comparison of the middle says the opposite of what is so.
    const compare: Compare = async (candidate, request) => {
      if (lied++ !== 1) return await quiet(candidate, request);
      return indexOf(candidate) >= 21
        ? { ratio: 1, low: 0.99, high: 1.01, verdict: "measured" }
        : { ratio: 1.2, low: 1.19, high: 1.21, verdict: "measured" };
    };
    const result = await search(40, compare);
    expect(labels(result)).toEqual(["commit 22"]);
  });

  it("says when the bad build is not slow, and when that is unclear", async () => {
    const same = await search(
      20,
      machine(1, () => 1, 0.003),
    );
    expect(same).toMatchObject({ outcome: "not-slow", first: [] });
    expect(same.probes.every(({ index }) => index === 19)).toBe(true);
    const faster = await search(20, machine(1, step(3, 0.8), 0.003));
    expect(faster.outcome).toBe("not-slow");
    const unclear = await search(20, machine(1, step(3, 1.01), 0.2));
    expect(unclear).toMatchObject({ outcome: "unclear", first: [] });
    expect(unclear.probes.map(({ pairs }) => pairs)).toEqual([16, 32, 64]);
  });

  it("finds the build that crosses the half when there are several losses, or a threshold that is given", async () => {
    const stairs = (k: number): number => (k < 5 ? 1 : k < 12 ? 1.05 : k < 20 ? 1.2 : 1.25);
    expect(labels(await search(30, machine(2, stairs, 0.004)))).toEqual(["commit 13"]);
    expect(labels(await search(30, machine(2, stairs, 0.004), { threshold: 1.025 }))).toEqual(["commit 6"]);
    await expect(search(30, machine(2, stairs, 0.004), { threshold: 0.5 })).rejects.toThrow(
      "a threshold of 0.5 is none",
    );
  });

  it("leaves out builds that cannot be measured and names the range", async () => {
    const quiet = machine(5, step(10, 1.2), 0.003);
    const broken = new Set([8, 9, 10, 11]);
    const compare: Compare = async (candidate, request) =>
      broken.has(indexOf(candidate))
        ? { ratio: null, low: null, high: null, verdict: "error", reason: "it does not build" }
        : await quiet(candidate, request);
    const result = await search(25, compare);
    expect(result.outcome).toBe("range");
    expect(labels(result)).toEqual(["commit 9", "commit 10", "commit 11", "commit 12", "commit 13"]);
    expect(result.before.label).toBe("commit 8");
    for (const index of broken) expect(result.probes.filter((probe) => probe.index === index).length).toBeLessThan(2);
    // Elsewhere they do not matter.
    expect(
      labels(
        await search(25, (candidate, request) =>
          indexOf(candidate) === 3 ? compare({ ...candidate, source: "c10" }, request) : quiet(candidate, request),
        ),
      ),
    ).toEqual(["commit 11"]);
  });

  it("asks again with more pairs where a build is undecided, then leaves it out", async () => {
    const quiet = machine(5, step(10, 1.2), 0.003);
    const compare: Compare = async (candidate, request) =>
      indexOf(candidate) === 9
        ? { ratio: 1.1, low: 1, high: 1.2, verdict: "measured" }
        : await quiet(candidate, request);
    const result = await search(20, compare);
    expect(result.outcome).toBe("range");
    expect(labels(result)).toEqual(["commit 10", "commit 11"]);
    expect(result.probes.filter(({ index }) => index === 9).map(({ pairs }) => pairs)).toEqual([16, 32, 64]);
    expect(result.probes.filter(({ index }) => index !== 9).every(({ pairs }) => pairs === 16)).toBe(true);
  });

  it("tries again after a disturbed comparison, with as many pairs, and gives up on a build that is always disturbed", async () => {
    const quiet = machine(5, step(10, 1.2), 0.003);
    let number = 0;
    const often: Compare = async (candidate, request) =>
      number++ % 2 === 0 ? { ratio: 1, low: 0.5, high: 2, verdict: "invalid" } : await quiet(candidate, request);
    const result = await search(20, often);
    expect(labels(result)).toEqual(["commit 11"]);
    expect(new Set(result.probes.map(({ pairs }) => pairs))).toEqual(new Set([16]));
    const always: Compare = async () => ({ ratio: null, low: null, high: null, verdict: "invalid" });
    expect(await search(20, always)).toMatchObject({ outcome: "unclear" });
  });

  it("does not say found where builds that stay undecided leave it less than sure", async () => {
    const quiet = machine(5, step(10, 1.2), 0.003);
    const asked = new Map<number, number>();
    // The first slow build and the one before it are decided once, and never again.
    const compare: Compare = async (candidate, request) => {
      const index = indexOf(candidate);
      const times = (asked.get(index) ?? 0) + 1;
      asked.set(index, times);
      if ((index === 9 || index === 10) && times > 1) return { ratio: 1.1, low: 1, high: 1.2, verdict: "measured" };
      return await quiet(candidate, request);
    };
    const result = await search(20, compare, { confidence: 0.9999 });
    expect(result.outcome).toBe("range");
    expect(labels(result)).toContain("commit 11");
    expect(result.probability).toBeLessThan(1);
  });

  it("is never certain of a range before anything is known", async () => {
    const result = await search(60, machine(5, step(10, 1.2), 0.003), { deadline: Date.now() - 1 });
    expect(result.outcome).toBe("out-of-time");
    expect(result.probability).toBeCloseTo(0.95, 10);
  });

  it("is an error where the bad build cannot be measured", async () => {
    const compare: Compare = async () => ({ ratio: null, low: null, high: null, verdict: "error", reason: "no bench" });
    await expect(search(20, compare)).rejects.toThrow("the bad build cannot be measured: no bench\n  at commit 20");
    await expect(search(0, compare)).rejects.toThrow("there is no build after the good one");
  });

  it("ends by itself when answers are nonsense", async () => {
    const compare: Compare = async (_, { number }) => {
      const ratio = number === 0 || Random.of(9, number).uniform() < 0.5 ? 1.2 : 1;
      return { ratio, low: ratio - 0.01, high: ratio + 0.01, verdict: "measured" };
    };
    const result = await search(500, compare);
    expect(result.probes.length).toBeLessThanOrEqual(20 + 6 * 9);
  });

  it("tells how far it is", async () => {
    const lefts: number[] = [];
    const result = await bisect(
      { candidates: candidatesOf(100), bench: "sort", compare: machine(5, step(70, 1.2), 0.003), pairs: 16 },
      ({ done, left }) => {
        expect(done).toBe(lefts.length);
        lefts.push(left);
      },
    );
    expect(lefts).toHaveLength(result.probes.length);
    expect(lefts[0]).toBeGreaterThan(lefts[lefts.length - 1] as number);
  });
});

describe("the state of a bisection", () => {
  const compare = machine(11, step(23, 1.15), 0.01);

  it("goes on where it was interrupted, and ends as if it had not been", async () => {
    const folder = temporaryFolder();
    const whole = await search(60, compare, { stateFile: join(folder, "whole.json") });
    const stateFile = join(folder, "deep", "state.json");
    let outcome = "";
    let turns = 0;
    while (outcome !== "found") {
      const controller = new AbortController();
      let compared = 0;
      const result = await search(
        60,
        async (candidate, request) => {
          // The second comparison of every turn is interrupted half-way.
          if (++compared === 2) {
            controller.abort();
            throw new Error("interrupted");
          }
          return await compare(candidate, request);
        },
        { stateFile, signal: controller.signal },
      );
      outcome = result.outcome;
      if (outcome === "aborted") expect(result.first.length).toBeGreaterThan(0);
      turns++;
    }
    expect(turns).toBe(whole.probes.length);
    expect(readFileSync(stateFile, "utf8")).toBe(readFileSync(join(folder, "whole.json"), "utf8"));
    expect(readdirSync(join(folder, "deep"))).toEqual(["state.json"]);
  });

  it("is not asked again when it is complete, unless anew", async () => {
    const stateFile = join(temporaryFolder(), "state.json");
    const first = await search(60, compare, { stateFile });
    const never: Compare = async () => {
      throw new Error("compared again");
    };
    expect(await search(60, never, { stateFile })).toEqual(first);
    await expect(search(60, never, { stateFile, restart: true })).rejects.toThrow("compared again");
  });

  it("goes on where more confidence is wanted than before, and less needs fewer comparisons", async () => {
    const stateFile = join(temporaryFolder(), "state.json");
    const rough = await search(60, compare, { stateFile, confidence: 0.8 });
    expect([rough.outcome, labels(rough)]).toEqual(["found", ["commit 24"]]);
    expect(rough.probability).toBeGreaterThanOrEqual(0.8);
    const sure = await search(60, compare, { stateFile, confidence: 0.999 });
    expect(labels(sure)).toEqual(["commit 24"]);
    expect(sure.probability).toBeGreaterThanOrEqual(0.999);
    expect(sure.probes.length).toBeGreaterThan(rough.probes.length);
    expect(sure.probes.slice(0, rough.probes.length)).toEqual(rough.probes);
  });

  it("tries again what has failed, and keeps the answers", async () => {
    const stateFile = join(temporaryFolder(), "state.json");
    const numbers: number[] = [];
    const counted = (next: Compare): Compare => {
      return async (candidate, request) => {
        numbers.push(request.number);
        return await next(candidate, request);
      };
    };
    const failing: Compare = async () => ({
      ratio: null,
      low: null,
      high: null,
      verdict: "error",
      reason: "no network",
    });
    for (let turn = 0; turn < 3; turn++) {
      await expect(search(60, counted(failing), { stateFile })).rejects.toThrow(
        /no network[^]*The same call tries it again/,
      );
    }
    const whole = await search(60, compare);
    const result = await search(60, counted(compare), { stateFile });
    expect(labels(result)).toEqual(labels(whole));
    // No number is used twice.
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(result.probes.every(({ verdict }) => verdict === "measured")).toBe(true);
  });

  it("ends at a deadline", async () => {
    const result = await search(60, compare, { deadline: Date.now() - 1 });
    expect(result).toMatchObject({ outcome: "out-of-time", probes: [] });
    expect(result.first).toHaveLength(60);
  });

  it.each([
    ["another bench", { bench: "other" }, 'its "bench" differs'],
    ["other builds", { candidates: candidatesOf(61) }, 'its "after" differs'],
    ["another threshold", { threshold: 1.1 }, 'its "rules" differs'],
    ["other settings", { measured: "with other settings" }, "settings, or which bench files run, differ"],
  ])("is refused for %s and left as it is", async (_, part, message) => {
    const stateFile = join(temporaryFolder(), "state.json");
    await search(60, compare, { stateFile });
    const before = readFileSync(stateFile, "utf8");
    await expect(search(60, compare, { stateFile, ...part })).rejects.toThrow(message);
    expect(readFileSync(stateFile, "utf8")).toBe(before);
  });

  it.each([
    ["half a file", '{"schema":"quern.bisect/1","be', "the state of the bisection cannot be read"],
    ["another schema", '{"schema":"quern.bisect/2"}', 'its schema is "quern.bisect/2", not "quern.bisect/1"'],
    ["a list", "[]", "its schema is undefined"],
    ["null", "null", "it is no object"],
    [
      "a build that is none",
      '{"schema":"quern.bisect/1","after":["a"],"probes":[{"index":1,"pairs":1,"ratio":1,"low":1,"high":1,"verdict":"measured"}]}',
      "comparison 1 is malformed",
    ],
    [
      "a ratio that is none",
      '{"schema":"quern.bisect/1","after":["a"],"probes":[{"index":0,"pairs":1,"ratio":"1","low":1,"high":1,"verdict":"measured"}]}',
      "comparison 1 is malformed",
    ],
  ])("is refused where it is %s", async (_, text, message) => {
    const stateFile = join(temporaryFolder(), "state.json");
    writeFileSync(stateFile, text);
    await expect(search(60, compare, { stateFile })).rejects.toThrow(message);
    expect(readFileSync(stateFile, "utf8")).toBe(text);
    expect((await search(60, compare, { stateFile, restart: true })).outcome).toBe("found");
  });

  it("ends with a code of its own where the disk is full", async ({ skip }) => {
    if (!existsSync("/dev/full")) skip("this system has no /dev/full");
    const work = search(60, compare, { stateFile: "/dev/full", restart: true });
    await expect(work).rejects.toMatchObject({ reason: "disk-full", exitCode: EXIT.invalid });
  });

  it("is not begun where it cannot be written", async () => {
    if (!existsSync("/proc")) return;
    await expect(search(60, compare, { stateFile: "/proc/nowhere/state.json" })).rejects.toThrow(
      "the file cannot be written",
    );
  });
});
