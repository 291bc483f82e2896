/**
 * Test cases of `attention`: pages in shuffled order, caches full of garbage where no token was written, sequences at
 * different depths, and sizes that are multiples of nothing.
 */

import { of, opCase, values, within } from "./cases.ts";
import type { CacheDType } from "./attention-problem.ts";
import type { CaseInput, OpCase } from "./op.ts";

interface Scene {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly head: number;
  readonly pageSize?: number;
  readonly cache?: CacheDType;
  /** Count, sequence and first position of each run. */
  readonly runs: readonly (readonly [count: number, sequence: number, position: number])[];
  /** Sequences and pages of each; two by default. */
  readonly sequences?: number;
  readonly pagesEach?: number;
  readonly attrs?: Readonly<Record<string, number>>;
}

export function attentionCases(): OpCase[] {
  const small: Scene = { queryHeads: 4, kvHeads: 2, head: 32, runs: [[5, 0, 0]] };
  return [
    scene("prompt", small),
    scene("one token", { ...small, runs: [[1, 0, 20]] }),
    scene("one token far into a sequence", {
      ...small,
      queryHeads: 3,
      kvHeads: 1,
      runs: [
        [1, 0, 300],
        [2, 1, 300],
      ],
      pagesEach: 19,
    }),
    scene("one head for each", { ...small, queryHeads: 2, runs: [[7, 0, 3]] }),
    scene("one head for all", { ...small, queryHeads: 5, kvHeads: 1, runs: [[3, 0, 14]] }),
    scene("sequences at different depths", {
      ...small,
      runs: [
        [1, 1, 30],
        [6, 0, 12],
        [1, 2, 0],
      ],
      sequences: 3,
    }),
    scene("a prompt in several runs", {
      ...small,
      runs: [
        [16, 0, 0],
        [16, 0, 16],
        [3, 0, 32],
      ],
      pagesEach: 3,
    }),
    scene("unused rows", {
      ...small,
      runs: [
        [0, 0, 0],
        [2, 1, 17],
        [0, 0, 0],
        [1, 0, 5],
        [0, 7, 90],
      ],
    }),
    scene("no tokens", { ...small, runs: [[0, 0, 0]] }),
    scene("window", { ...small, runs: [[9, 0, 27]], pagesEach: 3, attrs: { window: 20 } }),
    scene("window of one", { ...small, runs: [[3, 0, 15]], attrs: { window: 1 } }),
    scene("window longer than the sequence", { ...small, runs: [[4, 0, 6]], attrs: { window: 100 } }),
    scene("capped scores", { ...small, runs: [[4, 0, 14]], attrs: { softcap: 1.5 } }),
    scene("own scale, capped, in a window", {
      ...small,
      runs: [[4, 0, 21]],
      attrs: { scale: 0.5, softcap: 20, window: 9 },
    }),
    ...([48, 64, 80, 96, 128, 256, 1, 17, 33] as const).map((head) =>
      scene(`heads of ${head}`, {
        ...small,
        head,
        runs: [
          [1, 1, 9],
          [3, 0, 15],
        ],
      }),
    ),
    scene("pages of 64", { ...small, queryHeads: 3, kvHeads: 1, pageSize: 64, runs: [[33, 0, 50]] }),
    scene("pages of 48", { ...small, pageSize: 48, runs: [[2, 0, 47]] }),
    ...(["f16", "bf16", "i8"] as const).flatMap((cache) => [
      scene(`cache of ${cache}`, {
        ...small,
        cache,
        runs: [
          [1, 1, 30],
          [6, 0, 12],
        ],
      }),
      scene(`cache of ${cache}, heads of 96`, { ...small, head: 96, cache, pageSize: 32, runs: [[2, 0, 31]] }),
    ]),
  ];
}

function scene(name: string, scene: Scene): OpCase {
  const { queryHeads, kvHeads, head, pageSize = 16, cache = "f32", runs, sequences = 2, pagesEach = 2 } = scene;
  const rows: number[] = [];
  let tokens = 0;
  for (const [count, sequence, position] of runs) {
    rows.push(tokens, count, sequence, position);
    tokens += count;
  }
  const pages = sequences * pagesEach;
  const pool = pages + 1;
  // 3 and the sizes of the pools here have no common factor, so that this is an order of distinct pages.
  const step = pool % 3 === 0 ? 5 : 3;
  const order = Array.from({ length: pages }, (_, i) => ((i + 1) * step) % pool);
  const element = (...shape: number[]): CaseInput =>
    cache === "i8" ? within("i8", -127, 128, ...shape) : of(cache, ...shape);
  const scales = (...shape: number[]): CaseInput => within("f16", 0.001, 0.02, ...shape);
  return opCase(
    name,
    [
      of("f32", tokens, queryHeads, head),
      of("f32", tokens, kvHeads, head),
      of("f32", tokens, kvHeads, head),
      values("i32", rows, runs.length, 4),
      values("i32", order, sequences, pagesEach),
      element(pool, kvHeads, head, pageSize),
      element(pool, kvHeads, pageSize, head),
      ...(cache === "i8"
        ? [scales(pool, kvHeads, head / 32, pageSize), scales(pool, kvHeads, pageSize, head / 32)]
        : []),
    ],
    scene.attrs ?? {},
  );
}
