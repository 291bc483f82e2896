/**
 * Attention over a paged cache on the CPU device, as a model's steps use it: one executable for all sizes, state that
 * grows from run to run, pages in any order and shared between sequences. Caches start full of NaN where their dtype has
 * it: whatever was never written must not show.
 */

import { type DType, type Executable, DTYPE_INFO, Tensor, graph, randomNumbers, referenceDevice } from "@quern/core";
import { afterAll, describe, expect, test } from "vitest";
import { cpuInfo, nativeHost, resolveTarget } from "../host/index.ts";
import { cpu } from "./cpu.ts";

const SEED = 20281;
const best = resolveTarget(cpuInfo(nativeHost()).features);
const levels = best.vectorBytes === 64 ? ["avx2", "avx512"] : ["avx2"];

interface Model {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly head: number;
  readonly pageSize: number;
  readonly cache: DType;
  readonly options?: { readonly window?: number; readonly softcap?: number };
}

interface Chunk {
  readonly count: number;
  readonly sequence: number;
  readonly position: number;
}

const small: Model = { queryHeads: 4, kvHeads: 2, head: 32, pageSize: 16, cache: "f32" };

function build({
  queryHeads,
  kvHeads,
  head,
  pageSize,
  cache,
  options,
}: Model): ReturnType<ReturnType<typeof graph>["build"]> {
  const g = graph("step");
  const scaled = cache === "i8";
  const y = g.attention(
    g.input("q", "f32", ["t", queryHeads, head]),
    g.input("k", "f32", ["t", kvHeads, head]),
    g.input("v", "f32", ["t", kvHeads, head]),
    {
      keys: g.input("keys", cache, ["n", kvHeads, head, pageSize]),
      values: g.input("values", cache, ["n", kvHeads, pageSize, head]),
      keyScales: scaled ? g.input("keyScales", "f16", ["n", kvHeads, head / 32, pageSize]) : undefined,
      valueScales: scaled ? g.input("valueScales", "f16", ["n", kvHeads, pageSize, head / 32]) : undefined,
      runs: g.input("runs", "i32", ["r", 4]),
      pages: g.input("pages", "i32", ["s", "p"]),
    },
    options,
  );
  return g.output("y", y).build();
}

/** NaN, or for integers the value farthest from 0. */
function poisoned(dtype: DType, shape: number[]): Tensor {
  const tensor = Tensor.zeros(dtype, shape);
  if (dtype === "bf16") (tensor.data as Uint16Array).fill(0x7fc0);
  else (tensor.data as Float32Array).fill(DTYPE_INFO[dtype].kind === "float" ? NaN : -128);
  return tensor;
}

/** The cache of some sequences, and what runs leave in it. */
class Session {
  readonly #model: Model;
  readonly #executable: Executable;
  readonly #state: Readonly<Record<string, Tensor>>;
  readonly #pages: Tensor;

  /** `pages` are the rows of the table, of equal length. */
  constructor(executable: Executable, model: Model, pages: readonly (readonly number[])[]) {
    const { kvHeads, head, pageSize, cache } = model;
    this.#model = model;
    this.#executable = executable;
    const pool = Math.max(...pages.flat()) + 1;
    this.#pages = Tensor.from("i32", pages.flat(), [pages.length, (pages[0] as readonly number[]).length]);
    this.#state = {
      keys: poisoned(cache, [pool, kvHeads, head, pageSize]),
      values: poisoned(cache, [pool, kvHeads, pageSize, head]),
      ...(cache === "i8"
        ? {
            keyScales: poisoned("f16", [pool, kvHeads, head / 32, pageSize]),
            valueScales: poisoned("f16", [pool, kvHeads, pageSize, head / 32]),
          }
        : {}),
    };
  }

  /** Runs one step; tokens are those of `text` at the positions of the chunks. Results token by token. */
  async step(text: Text, chunks: readonly Chunk[], sync = false): Promise<number[][]> {
    const { queryHeads, kvHeads, head } = this.#model;
    const at = chunks.flatMap(({ count, position, sequence }) =>
      Array.from({ length: count }, (_, i) => ({ position: position + i, sequence })),
    );
    let first = 0;
    const rows = chunks.flatMap(({ count, sequence, position }) => {
      const row = [first, count, sequence, position];
      first += count;
      return row;
    });
    const tensor = (heads: number, kind: keyof Text): Tensor =>
      Tensor.from(
        "f32",
        at.flatMap(({ position, sequence }) => text[kind](position, sequence)),
        [at.length, heads, head],
      );
    const inputs = {
      q: tensor(queryHeads, "q"),
      k: tensor(kvHeads, "k"),
      v: tensor(kvHeads, "v"),
      runs: Tensor.from("i32", rows, [chunks.length, 4]),
      pages: this.#pages,
      ...this.#state,
    };
    const { y } = sync ? this.#executable.runSync(inputs) : await this.#executable.run(inputs);
    const list = (y as Tensor).toArray();
    const row = queryHeads * head;
    return at.map((_, i) => list.slice(i * row, (i + 1) * row));
  }

  bytes(): Record<string, number[]> {
    return Object.fromEntries(Object.entries(this.#state).map(([name, tensor]) => [name, [...tensor.bytes()]]));
  }
}

/** The vectors of the token at a position of a sequence. */
interface Text {
  q(position: number, sequence: number): number[];
  k(position: number, sequence: number): number[];
  v(position: number, sequence: number): number[];
}

/** Random vectors; sequences agree in their first `shared` tokens. */
function textFor({ queryHeads, kvHeads, head }: Model, shared = 0): Text {
  const of = (kind: number, heads: number) => (position: number, sequence: number) => {
    const random = randomNumbers(SEED + kind + 10 * position + (position < shared ? 0 : 7919 * sequence));
    return Array.from({ length: heads * head }, () => 2 * random() - 1);
  };
  return { q: of(0, queryHeads), k: of(1, kvHeads), v: of(2, kvHeads) };
}

function expectClose(actual: readonly number[][], expected: readonly number[][], what: string, tolerance = 2e-5): void {
  expect(actual.length, what).toBe(expected.length);
  actual.forEach((row, token) => {
    const wrong = row.findIndex((x, i) => !(Math.abs(x - (expected[token]?.[i] as number)) <= tolerance));
    if (wrong >= 0)
      throw new Error(
        `${what}, seed ${SEED}: token ${token}, element ${wrong}: ${row[wrong]}, not ${expected[token]?.[wrong]}`,
      );
  });
}

/** Positions 0..total - 1 of sequence 0 in chunks of at most `size`, in one step each. */
async function inChunks(session: Session, text: Text, total: number, size: number): Promise<number[][]> {
  const results: number[][] = [];
  for (let position = 0; position < total; position += size)
    results.push(...(await session.step(text, [{ count: Math.min(size, total - position), sequence: 0, position }])));
  return results;
}

describe.each(levels)("attention on %s", (features) => {
  const device = cpu({ features, threads: 2, cache: false });
  afterAll(() => device.dispose());
  const models: Model[] = [
    small,
    { ...small, cache: "f16", head: 48 },
    { ...small, cache: "bf16", queryHeads: 6, kvHeads: 1, pageSize: 32 },
    { ...small, cache: "i8", head: 64 },
    { ...small, cache: "f16", options: { window: 21 } },
    { ...small, queryHeads: 9, kvHeads: 1, options: { softcap: 2 } },
  ];

  test.each(models)("a prompt is the same at once, in chunks and token by token: %o", async (model) => {
    const executable = device.compile(build(model));
    const text = textFor(model);
    const total = 75;
    const pages = [[3, 0, 4, 1, 2]];
    const whole = new Session(executable, model, pages);
    const expected = await whole.step(text, [{ count: total, sequence: 0, position: 0 }]);
    const reference = new Session(referenceDevice().compile(build(model)), model, pages);
    expectClose(
      expected,
      await reference.step(text, [{ count: total, sequence: 0, position: 0 }]),
      "against the reference",
    );
    for (const size of [32, 7, 1]) {
      const session = new Session(executable, model, pages);
      expectClose(await inChunks(session, text, total, size), expected, `chunks of ${size}`);
      expect(session.bytes(), `the cache after chunks of ${size}`).toEqual(whole.bytes());
    }
    // Several runs of one prompt in a step, as the host splits it.
    const split = new Session(executable, model, pages);
    const runs = [0, 32, 64].map((position) => ({ count: Math.min(32, total - position), sequence: 0, position }));
    expectClose(await split.step(text, runs), expected, "runs of 32");
    expect(split.bytes()).toEqual(whole.bytes());
    executable.dispose();
  });

  test("the order of pages does not matter", async () => {
    const executable = device.compile(build(small));
    const text = textFor(small);
    const results = [];
    for (const pages of [
      [0, 1, 2, 3],
      [3, 1, 0, 2],
      [9, 4, 7, 0],
    ]) {
      const session = new Session(executable, small, [pages]);
      await inChunks(session, text, 50, 13);
      results.push(await session.step(text, [{ count: 5, sequence: 0, position: 50 }]));
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    executable.dispose();
  });

  test("sequences may share the pages of a prefix, and be at different depths", async () => {
    const executable = device.compile(build(small));
    const text = textFor(small, 32);
    const shared = new Session(executable, small, [
      [0, 1, 2],
      [0, 1, 3],
    ]);
    const apart = new Session(executable, small, [
      [0, 1, 2],
      [3, 4, 5],
    ]);
    await shared.step(text, [{ count: 32, sequence: 0, position: 0 }]);
    await apart.step(
      text,
      [0, 1].map((sequence) => ({ count: 32, sequence, position: 0 })),
    );
    const steps: Chunk[][] = [
      [
        { count: 1, sequence: 1, position: 32 },
        { count: 6, sequence: 0, position: 32 },
      ],
      [
        { count: 0, sequence: 0, position: 0 },
        { count: 1, sequence: 0, position: 38 },
        { count: 1, sequence: 1, position: 33 },
      ],
    ];
    for (const chunks of steps) expect(await shared.step(text, chunks)).toEqual(await apart.step(text, chunks));
    executable.dispose();
  });

  test("the same tokens give the same bits in any company", async () => {
    const executable = device.compile(build(small));
    const text = textFor(small);
    const pages = [0, 1, 2].map((sequence) => [3 * sequence, 3 * sequence + 1, 3 * sequence + 2]);
    const prompts = [20, 33, 5].map((count, sequence) => ({ count, sequence, position: 0 }));
    const tokens = prompts.map(({ count, sequence }) => ({ count: 1, sequence, position: count }));
    const [together, alone] = [new Session(executable, small, pages), new Session(executable, small, pages)];
    for (const chunks of [prompts, tokens]) {
      const expected = await together.step(text, chunks);
      const one = [];
      for (const chunk of chunks) one.push(...(await alone.step(text, [chunk], true)));
      expect(one).toEqual(expected);
    }
    executable.dispose();
  });

  test.each([{}, { window: 290 }])("threads share a long sequence: %o", async (options) => {
    const model: Model = { ...small, queryHeads: 3, kvHeads: 1, cache: "f16", options };
    const executable = device.compile(build(model));
    const text = textFor(model);
    const pages = [Array.from({ length: 24 }, (_, i) => (i * 7) % 24)];
    const [one, two] = [new Session(executable, model, pages), new Session(executable, model, pages)];
    for (const session of [one, two]) await inChunks(session, text, 350, 50);
    const last = await one.step(text, [{ count: 1, sequence: 0, position: 350 }]);
    expect(executable.report.launches.map(({ kernel }) => kernel).at(-1)).toContain("merge");
    // Two tokens at once are not shared.
    const both = await two.step(text, [{ count: 2, sequence: 0, position: 350 }]);
    expectClose(last, both.slice(0, 1), "the token on its own");
    executable.dispose();
  });

  test("checked runs update the caller's cache too", async () => {
    using checked = cpu({ features, threads: 1, check: true });
    const model: Model = { ...small, cache: "i8" };
    const text = textFor(model);
    const chunks = [{ count: 20, sequence: 0, position: 0 }];
    const [plain, guarded] = [device, checked].map(
      (each) => new Session(each.compile(build(model)), model, [[1, 0]]),
    ) as [Session, Session];
    expect(await guarded.step(text, chunks)).toEqual(await plain.step(text, chunks));
    expect(guarded.bytes()).toEqual(plain.bytes());
  });
});
