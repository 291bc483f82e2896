/** Scheduler and engine against a model that notices every wrong page. */
import { randomNumbers } from "@quern/core";
import { describe, expect, it } from "vitest";
import { Engine, type EngineOptions } from "./engine.ts";
import { FakeRunner, fakeContinuation, fakeLogits } from "./fake-runner.test-support.ts";
import type { Work } from "./scheduler.ts";
import { buildStep } from "./step.ts";

const VOCABULARY = 23;

/** Generates `count` tokens greedily. */
class Greedy implements Work {
  readonly tokens: number[];
  readonly done: Promise<number[]>;
  readonly #prompt: number;
  readonly #count: number;
  readonly #resolve: (tokens: number[]) => void;
  readonly #reject: (error: unknown) => void;
  finished = false;
  shared = 0;

  constructor(prompt: readonly number[], count: number) {
    this.tokens = [...prompt];
    this.#prompt = prompt.length;
    this.#count = count;
    const { promise, resolve, reject } = Promise.withResolvers<number[]>();
    [this.done, this.#resolve, this.#reject] = [promise, resolve, reject];
  }

  get firstOutput(): number {
    return this.tokens.length - 1;
  }

  admitted(shared: number): void {
    this.shared = shared;
  }

  accept(row: Float32Array, position: number): void {
    if (position !== this.tokens.length - 1) throw new Error(`row of position ${position} of ${this.tokens.length}`);
    this.tokens.push(row.indexOf(Math.max(...row)));
    if (this.tokens.length < this.#prompt + this.#count) return;
    this.finished = true;
    this.#resolve(this.tokens.slice(this.#prompt));
  }

  fail(error: unknown): void {
    if (this.finished) return;
    this.finished = true;
    this.#reject(error);
  }
}

/** Wants the row of every position. */
class AllRows implements Work {
  readonly tokens: readonly number[];
  readonly rows: Float32Array[] = [];
  readonly done: Promise<void>;
  readonly #resolve: () => void;
  finished = false;

  constructor(tokens: readonly number[]) {
    this.tokens = tokens;
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.done, this.#resolve] = [promise, resolve];
  }

  get firstOutput(): number {
    return this.rows.length;
  }

  accept(row: Float32Array, position: number): void {
    if (position !== this.rows.length) throw new Error(`row of position ${position}, ${this.rows.length} is next`);
    this.rows.push(row.slice());
    if (this.rows.length < this.tokens.length) return;
    this.finished = true;
    this.#resolve();
  }

  fail(error: unknown): void {
    throw error;
  }
}

interface Setup extends Partial<EngineOptions> {
  readonly failAt?: number;
}

function setUp({ failAt, ...options }: Setup = {}): { runner: FakeRunner; engine: Engine } {
  const all = {
    pages: 64,
    pageSize: 4,
    contextLength: 128,
    maxSequences: 8,
    stepTokens: 64,
    sharePrefixes: true,
    ...options,
  };
  const runner = new FakeRunner({ ...all, vocabularySize: VOCABULARY, ...(failAt === undefined ? {} : { failAt }) });
  return { runner, engine: new Engine(runner, all) };
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => (from + i) % VOCABULARY);

function start(engine: Engine, prompt: readonly number[], count: number): Greedy {
  const work = new Greedy(prompt, count);
  engine.add(work);
  return work;
}

describe("steps", () => {
  it("cuts parts into runs and pads to powers of two", () => {
    const parts = [
      { tokens: upTo(8), start: 7, count: 1, pages: [3, 4], firstOutput: 7 },
      { tokens: upTo(80), start: 0, count: 70, pages: upTo(18), firstOutput: 79 },
      { tokens: upTo(5), start: 3, count: 2, pages: [20, 21], firstOutput: 0 },
    ];
    const step = buildStep(parts, [], 20);
    expect(step.tokens).toHaveLength(73);
    expect([...step.positions.subarray(0, 3), ...step.positions.subarray(71)]).toEqual([7, 0, 1, 3, 4]);
    const rows = Array.from({ length: step.runs.length / 4 }, (_, i) =>
      Array.from(step.runs.subarray(4 * i, 4 * i + 4)),
    );
    expect(rows).toEqual([
      [0, 1, 0, 7],
      [1, 32, 1, 0],
      [33, 32, 1, 32],
      [65, 6, 1, 64],
      [71, 2, 2, 3],
      [73, 0, 0, 0],
      [73, 0, 0, 0],
      [73, 0, 0, 0],
    ]);
    expect(step.pages).toHaveLength(4 * 20);
    expect(Array.from(step.pages.subarray(0, 3))).toEqual([3, 4, 0]);
    expect([...step.outputs]).toEqual([0, 71, 72]);
  });
});

describe("continuous batching", () => {
  it("generates what the model says, one sequence alone", async () => {
    const { engine, runner } = setUp();
    const work = start(engine, upTo(10), 20);
    expect(await work.done).toEqual(fakeContinuation(upTo(10), 20, VOCABULARY));
    expect(runner.batches.map(({ tokens }) => tokens.length)).toEqual([10, ...Array.from({ length: 19 }, () => 1)]);
  });

  it("puts tokens of those who generate first and fills up with prompts", async () => {
    const { engine, runner } = setUp({ stepTokens: 16 });
    const first = start(engine, upTo(4), 12);
    const second = start(engine, upTo(40, 7), 2);
    const third = start(engine, upTo(3, 11), 3);
    expect(await first.done).toEqual(fakeContinuation(upTo(4), 12, VOCABULARY));
    expect(await second.done).toEqual(fakeContinuation(upTo(40, 7), 2, VOCABULARY));
    expect(await third.done).toEqual(fakeContinuation(upTo(3, 11), 3, VOCABULARY));
    const shapes = runner.batches.map(({ tokens, outputs }) => [tokens.length, outputs.length]);
    // 4 + 12 of the second; 1 + 15; 1 + 13 rest of the second, 2 of the third; ...
    expect(shapes.slice(0, 4)).toEqual([
      [16, 1],
      [16, 1],
      [16, 2],
      [3, 3],
    ]);
  });

  it("takes no more sequences than it may, and none is lost", async () => {
    const { engine, runner } = setUp({ maxSequences: 2 });
    const all = [1, 2, 3, 4, 5].map((seed) => start(engine, upTo(5, seed), 4));
    for (const [i, work] of all.entries())
      expect(await work.done).toEqual(fakeContinuation(upTo(5, i + 1), 4, VOCABULARY));
    expect(Math.max(...runner.batches.map(({ outputs }) => outputs.length))).toBe(2);
  });

  it("computes a shared beginning once", async () => {
    const { engine, runner } = setUp();
    const first = start(engine, upTo(32), 4);
    await first.done;
    const second = start(engine, upTo(32), 4);
    expect(await second.done).toEqual(await first.done);
    expect(second.shared).toBe(31);
    const third = start(engine, [...upTo(20), 3, 3, 3], 4);
    expect(await third.done).toEqual(fakeContinuation([...upTo(20), 3, 3, 3], 4, VOCABULARY));
    expect(third.shared).toBe(20);
    expect(runner.batches.map(({ tokens }) => tokens.length).filter((count) => count > 1)).toEqual([32, 3]);
  });

  it("lets those that begin alike wait for the first, and others pass", async () => {
    const { engine, runner } = setUp({ stepTokens: 16 });
    const alike = [0, 1, 2, 3].map((last) => start(engine, [...upTo(40), last], 3));
    const other = start(engine, upTo(9, 9), 3);
    for (const [last, work] of alike.entries())
      expect(await work.done).toEqual(fakeContinuation([...upTo(40), last], 3, VOCABULARY));
    expect(await other.done).toEqual(fakeContinuation(upTo(9, 9), 3, VOCABULARY));
    expect(alike.map(({ shared }) => shared)).toEqual([0, 40, 40, 40]);
    // 41 and 9 of the prompts, one each of those that followed, and two more steps of five.
    expect(runner.batches.reduce((sum, { tokens }) => sum + tokens.length, 0)).toBe(41 + 9 + 3 + 10);
  });

  it("copies a shared page before it is written", async () => {
    const { engine, runner } = setUp();
    const first = start(engine, upTo(32), 30);
    const second = start(engine, upTo(32), 6);
    expect(await second.done).toEqual(fakeContinuation(upTo(32), 6, VOCABULARY));
    expect(await first.done).toEqual(fakeContinuation(upTo(32), 30, VOCABULARY));
    expect(second.shared).toBe(31);
    expect(runner.batches.flatMap(({ copies }) => copies)).toHaveLength(1);
  });

  it("pushes the youngest out when pages run out, and loses nothing", async () => {
    const { engine } = setUp({ pages: 8, contextLength: 32 });
    const all = [1, 2, 3].map((seed) => start(engine, upTo(6, seed), 20));
    for (const [i, work] of all.entries())
      expect(await work.done).toEqual(fakeContinuation(upTo(6, i + 1), 20, VOCABULARY));
    expect(engine.preemptions).toBeGreaterThan(0);
  });

  it("tells a sequence that can never fit, and goes on with the others", async () => {
    const { engine } = setUp({ pages: 4, contextLength: 64 });
    const large = start(engine, upTo(40), 2);
    const small = start(engine, upTo(5), 3);
    await expect(large.done).rejects.toThrow("the KV cache is full");
    expect(await small.done).toEqual(fakeContinuation(upTo(5), 3, VOCABULARY));
  });

  it("gives all rows in order, mixed with others", async () => {
    const { engine } = setUp({ stepTokens: 8 });
    const rows = new AllRows(upTo(30, 3));
    const greedy = start(engine, upTo(7), 9);
    engine.add(rows);
    await rows.done;
    rows.rows.forEach((row, i) => expect(row).toEqual(fakeLogits(rows.tokens.slice(0, i + 1), VOCABULARY)));
    expect(await greedy.done).toEqual(fakeContinuation(upTo(7), 9, VOCABULARY));
  });

  it("a step that fails ends its sequences, not those that wait", async () => {
    const { engine } = setUp({ maxSequences: 1, failAt: 2 });
    const [first, second] = [start(engine, upTo(5), 9), start(engine, upTo(5), 9)];
    await expect(first.done).rejects.toThrow("the device is on fire");
    expect(await second.done).toEqual(fakeContinuation(upTo(5), 9, VOCABULARY));
  });

  it("dispose ends all work and refuses more", async () => {
    const { engine, runner } = setUp();
    const work = start(engine, upTo(5), 100);
    const reason = work.done.then(
      () => undefined,
      (error: unknown) => error,
    );
    await engine.dispose();
    expect(String(await reason)).toContain("the model was disposed while it was in use");
    expect(runner.disposed).toBe(true);
    expect(() => start(engine, upTo(5), 1)).toThrow("the model was used after dispose");
  });

  it("any mixture gives what each sequence gives alone, in the same steps every time", async () => {
    const seed = Number(process.env["QUERN_SEED"] ?? Date.now() % 2 ** 31);
    const random = randomNumbers(seed);
    const below = (limit: number): number => Math.floor(random() * limit);
    for (let round = 0; round < 20; round++) {
      const options = {
        pages: 12 + below(20),
        pageSize: 1 + below(6),
        contextLength: 40,
        maxSequences: 1 + below(6),
        stepTokens: 6 + below(30),
        sharePrefixes: random() < 0.8,
      };
      const prompts = Array.from({ length: 8 }, () =>
        Array.from({ length: 1 + below(20) }, (_, i) => (i < 9 ? i : below(3))),
      );
      const counts = prompts.map(() => 1 + below(15));
      const steps: string[] = [];
      for (let repeat = 0; repeat < 2; repeat++) {
        const { engine, runner } = setUp(options);
        const all = prompts.map((prompt, i) => start(engine, prompt, counts[i] as number));
        const fits = (i: number): boolean =>
          (prompts[i] as number[]).length + (counts[i] as number) - 1 <= options.pages * options.pageSize;
        for (const [i, work] of all.entries()) {
          const what = `QUERN_SEED=${seed}, round ${round}, sequence ${i}`;
          if (!fits(i)) await expect(work.done, what).rejects.toThrow("the KV cache is full");
          else
            expect(await work.done, what).toEqual(
              fakeContinuation(prompts[i] as number[], counts[i] as number, VOCABULARY),
            );
        }
        steps.push(runner.batches.map(({ tokens, pages }) => `${tokens.join()};${pages.join()}`).join("|"));
      }
      expect(steps[0], `QUERN_SEED=${seed}, round ${round}`).toBe(steps[1]);
    }
  });
});
