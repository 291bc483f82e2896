import { describe, expect, it } from "vitest";
import { Random } from "../harness/random.ts";
import { BenchFailure } from "./arm-process.ts";
import type { PairContext, PairSettings } from "./pair-context.ts";
import { conclude, PairOutcomes } from "./pair-outcomes.ts";
import { openBenches, warmUp } from "./pair-preparation.ts";
import type { PairProcesses } from "./pair-processes.ts";
import type { BenchRef } from "./plan.ts";
import type { Opened, PairedRequest } from "./protocol.ts";

/** Processes that answer at once; what is asked of them is noted. */
class FakeProcesses implements Pick<PairProcesses, "ask" | "askAlone" | "pauseBoth" | "armOf" | "bothAlive"> {
  readonly asked: string[] = [];
  bothAlive = true;
  readonly #answer: (name: string, request: PairedRequest) => object;

  constructor(answer: (name: string, request: PairedRequest) => object) {
    this.#answer = answer;
  }

  armOf: PairProcesses["armOf"] = (name) => ({ name, directory: `/${name}`, project: `/${name}/project` });

  ask: PairProcesses["ask"] = async (name, _, request) => {
    const what = "id" in request ? request.id : "file" in request ? request.file : "";
    this.asked.push(`${name} ${request.kind} ${what}${request.kind === "open" ? ` ${request.collect}` : ""}`);
    return this.#answer(name, request) as never;
  };

  askAlone: PairProcesses["askAlone"] = (name, id, request) => this.ask(name, [id], request);

  pauseBoth(): void {
    this.asked.push("pause");
  }
}

const OPENED: Opened = { callNs: 1e5, makeMs: 0, timerNs: 40, emptyNs: null };

function contextOf(benches: readonly BenchRef[], fake: FakeProcesses): PairContext {
  const processes = fake as unknown as PairProcesses;
  const settings = {
    seed: 1,
    index: 3,
    sliceMs: 5,
    warmUpMs: 50,
    rounds: 20,
    modes: new Map(),
  } as unknown as PairSettings;
  const orders = { spawn: "base-first", warmUp: "head-first" } as const;
  const group = { name: "family x", benches };
  return { group, settings, orders, random: new Random(1), processes, outcomes: new PairOutcomes(processes) };
}

const refs = (...ids: readonly string[]): BenchRef[] => ids.map((id) => ({ id, file: "bench/x.bench.js" }));

/** Answers of a process that has all benches; `opened` gives what differs. */
const answers =
  (ids: readonly string[], opened: (name: string, id: string) => Partial<Opened> = () => ({})) =>
  (name: string, request: PairedRequest): object => {
    if (request.kind === "load") return { ids };
    if (request.kind === "open") return { opened: { ...OPENED, ...opened(name, request.id) } };
    return { warmed: { callNs: 1e5, steady: name === "head", slices: 30 } };
  };

describe("openBenches", () => {
  it("loads a file once in each arm, collects garbage after the last bench alone, and stops both", async () => {
    const fake = new FakeProcesses(answers(["a", "b"]));
    const timed = await openBenches(contextOf(refs("a", "b"), fake));
    expect(timed.map(({ ref }) => ref.id)).toEqual(["a", "b"]);
    for (const name of ["base", "head"]) {
      expect(fake.asked.filter((text) => text.startsWith(name))).toEqual([
        `${name} load /${name}/project/bench/x.bench.js`,
        `${name} open a none`,
        `${name} open b full`,
      ]);
    }
    expect(fake.asked.at(-1)).toBe("pause");
  });

  it("controls are the same file in both arms", async () => {
    const fake = new FakeProcesses(answers(["ctl.x"]));
    await openBenches(contextOf([{ id: "ctl.x", file: "/tool/controls.mjs", control: true }], fake));
    expect(fake.asked).toContain("base load /tool/controls.mjs");
    expect(fake.asked).toContain("head load /tool/controls.mjs");
  });

  it("leaves out what one arm lacks, and what is too short in head", async () => {
    const given = answers(["a", "short"], (name, id) => (name === "head" && id === "short" ? { callNs: 10 } : {}));
    const fake = new FakeProcesses((name, request) =>
      request.kind === "load" && name === "base" ? { ids: ["a", "short", "gone"] } : given(name, request),
    );
    const context = contextOf(refs("a", "gone", "short"), fake);
    expect((await openBenches(context)).map(({ ref }) => ref.id)).toEqual(["a"]);
    expect(context.outcomes.all.get("gone")).toMatchObject({ kind: "error", error: { kind: "missing", arm: "head" } });
    expect(context.outcomes.all.get("short")).toEqual({ kind: "bound", flag: "timer-bound" });
  });

  it("a base that is too short does not hide a head that is not", async () => {
    const given = answers(["slower"], (name) => (name === "base" ? { callNs: 10 } : { callNs: 5000 }));
    const context = contextOf(refs("slower"), new FakeProcesses(given));
    expect((await openBenches(context)).map(({ ref }) => ref.id)).toEqual(["slower"]);
  });

  it("goes on without a bench that fails, and gives up where its process has ended", async () => {
    const failing = (ended: boolean): PairContext => {
      const fake: FakeProcesses = new FakeProcesses((name, request) => {
        if (request.kind !== "open" || request.id !== "a" || name !== "head") return answers(["a", "b"])(name, request);
        fake.bothAlive = !ended;
        throw new BenchFailure(["a"], { kind: ended ? "crash" : "failed", arm: "head", reason: "no luck" });
      });
      return contextOf(refs("a", "b"), fake);
    };
    const alive = failing(false);
    expect((await openBenches(alive)).map(({ ref }) => ref.id)).toEqual(["b"]);
    expect(alive.outcomes.all.get("a")).toMatchObject({ error: { kind: "failed", reason: "no luck" } });
    const dead = failing(true);
    await expect(openBenches(dead)).rejects.toThrow("no luck");
    expect([...dead.outcomes.all.keys()]).toEqual(["a"]);
  });
});

describe("warmUp", () => {
  it("notes processes that came to no steady speed, and gives long calls fewer rounds", async () => {
    const fake = new FakeProcesses((name, request) => {
      if (request.kind !== "warm" || request.id !== "long") return answers(["a", "long"])(name, request);
      return { warmed: { callNs: name === "base" ? 20e6 : 10e6, steady: true, slices: 4 } };
    });
    const context = contextOf(refs("a", "long"), fake);
    const warm = await warmUp(context, await openBenches(context));
    const found = Object.fromEntries(warm.map(({ ref, unsteady, rounds }) => [ref.id, { unsteady, rounds }]));
    expect(found).toEqual({ a: { unsteady: 1, rounds: 20 }, long: { unsteady: 0, rounds: 10 } });
  });
});

describe("conclude", () => {
  const fine = { checked: 2, maxError: 0, fault: null };
  const pair = { index: 4, order: "base-first" } as const;
  const bench = { base: [100, 110], head: [105, 100], unsteady: 1 };

  it("is a sample where all is well", () => {
    expect(conclude(bench, { base: fine, head: fine }, pair)).toEqual({
      kind: "sample",
      sample: { index: 4, order: "base-first", base: [100, 110], head: [105, 100] },
      checks: { base: fine, head: fine },
      unsteady: 1,
    });
  });

  it("is an error where an output or a time is wrong, of the arm that it was in", () => {
    const wrong = { ...fine, fault: "wrong output" };
    expect(conclude(bench, { base: fine, head: wrong }, pair)).toEqual({
      kind: "error",
      error: { kind: "output", arm: "head", reason: "wrong output" },
      check: wrong,
    });
    for (const ns of [0, -1, Number.NaN, Infinity]) {
      const odd = conclude({ ...bench, base: [100, ns] }, { base: fine, head: fine }, pair);
      expect(odd).toMatchObject({ kind: "error", error: { kind: "failed", arm: "base" } });
    }
  });
});
