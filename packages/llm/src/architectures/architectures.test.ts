/**
 * Every architecture against a plain float64 forward, which shares nothing with the graph: prompts at once, in pieces, several
 * sequences in one step. Where only weights, frequencies and results are rounded to f32, so differ the results.
 */

import { describe, expect, it } from "vitest";
import {
  type Architecture,
  architectures,
  buildStepGraph,
  embedding,
  gated,
  geluTanh,
  linear,
  project,
  readDecoder,
  readFeedForward,
  readRope,
  rmsNorm,
  rotation,
} from "./index.ts";
import { geluOf, plainForward } from "./plain-forward.test-support.ts";
import { StepRunner, difference } from "./run-step.test-support.ts";
import { randomIds, writeTiny } from "./tiny-files.test-support.ts";
import { tinyModel, tinyModels } from "./tiny-models.test-support.ts";

const SEED = Number(process.env["QUERN_SEED"] ?? 1);
const LENGTH = 30;
/** Units of the largest logit: some roundings to f32. */
const CLOSE = 1e-6;

const OPTIONS = { cache: "f32", pageSize: 16 } as const;

it("every architecture has a tiny model", () => {
  const tested = new Set(tinyModels.map((model) => model.architecture));
  expect(architectures.map((each) => each.name).toSorted()).toEqual([...tested].toSorted());
});

describe.each(tinyModels.map((model) => [`${model.architecture}: ${model.title}`, model] as const))(
  "%s",
  (_, model) => {
    const { file, plain } = writeTiny(model, SEED);
    const ids = randomIds(LENGTH, SEED);
    const expected = plainForward(plain, ids);
    const about = `QUERN_SEED=${SEED}`;

    it("gives the logits of a plain forward", () => {
      const runner = new StepRunner(buildStepGraph(file, OPTIONS));
      expect(difference(runner.step([{ sequence: 1, ids }]), expected.logits), about).toBeLessThan(CLOSE);
    });

    it("in pieces and token by token, beside other sequences", () => {
      const runner = new StepRunner(buildStepGraph(file, OPTIONS));
      const other = randomIds(LENGTH, SEED + 1);
      const others = plainForward(plain, other).logits;
      // The second sequence starts later and is always elsewhere in its text.
      const cuts = [0, 9, 10, 11, 20, 21, 29, 30];
      const late = [0, 0, 3, 19, 20, 21, 22, 30];
      const [rows, otherRows]: [Float32Array[], Float32Array[]] = [[], []];
      for (let i = 1; i < cuts.length; i++) {
        const [mine, theirs] = [ids.slice(cuts[i - 1], cuts[i]), other.slice(late[i - 1], late[i])];
        const result = runner.step([
          { sequence: 2, ids: theirs },
          { sequence: 0, ids: mine },
        ]);
        otherRows.push(...result.slice(0, theirs.length));
        rows.push(...result.slice(theirs.length));
      }
      expect(difference(rows, expected.logits), about).toBeLessThan(CLOSE);
      expect(difference(otherRows, others), about).toBeLessThan(CLOSE);
    });

    it("computes on encoded weights, and on rows of them", () => {
      const half = writeTiny(model, SEED, { half: true });
      const runner = new StepRunner(buildStepGraph(half.file, OPTIONS));
      const logits = plainForward(half.plain, ids.slice(0, 9)).logits;
      expect(difference(runner.step([{ sequence: 0, ids: ids.slice(0, 9) }]), logits), about).toBeLessThan(CLOSE);
      expect(difference(logits, expected.logits.slice(0, 9)), about).toBeGreaterThan(CLOSE);
    });

    it("gives the rows that are asked for, and states", () => {
      const wanted = [29, 3, 3];
      const graph = buildStepGraph(file, { ...OPTIONS, output: "hidden" });
      const rows = new StepRunner(graph).step([{ sequence: 0, ids }], wanted);
      expect(
        difference(
          rows,
          wanted.map((token) => expected.hidden[token]!),
        ),
        about,
      ).toBeLessThan(CLOSE);
    });
  },
);

describe("phi3", () => {
  it("takes the divisors for short contexts when the context is short", () => {
    const { file, plain } = writeTiny(tinyModel("phi3"), SEED);
    const ids = randomIds(12, SEED);
    const short = [1, 1.25, 1.125];
    const expected = plainForward(
      { ...plain, angle: (pair, position) => position / 10000 ** ((2 * pair) / 6) / short[pair]! },
      ids,
    );
    const runner = new StepRunner(buildStepGraph(file, { ...OPTIONS, contextLength: 16 }));
    expect(difference(runner.step([{ sequence: 0, ids }]), expected.logits)).toBeLessThan(CLOSE);
  });
});

describe("architectures of one's own", () => {
  /** Llama with halves in place of neighbours, and gelu. */
  const own: Architecture = {
    name: "own",
    read(keys) {
      const decoder = readDecoder(keys);
      return { ...decoder, feedForward: readFeedForward(keys), rope: readRope(keys, "halves", decoder.headDim) };
    },
    build({ hyper, weights, step }) {
      const rotate = rotation(step.positions, hyper.rope!);
      let x = embedding(weights, step, hyper);
      for (let layer = 0; layer < hyper.layers; layer++) {
        const block = weights.block(layer);
        const { q, k, v } = project(block, rmsNorm(block, "attn_norm", x, hyper), hyper);
        x = step
          .kept(layer, x)
          .add(linear(block, "attn_output", step.attend(layer, rotate(q), rotate(k), v), hyper.width));
        x = x.add(gated(block, rmsNorm(block, "ffn_norm", x, hyper), hyper, geluTanh));
      }
      return rmsNorm(weights, "output_norm", x, hyper);
    },
  };

  it("are built as those of the package are", () => {
    const model = { ...tinyModel("llama"), architecture: "own" };
    const { file, plain } = writeTiny(model, SEED);
    const ids = randomIds(LENGTH, SEED);
    const step = buildStepGraph(file, { ...OPTIONS, architectures: [own] });
    const expected = plainForward({ ...plain, ropePairs: "halves", activation: geluOf }, ids);
    expect(difference(new StepRunner(step).step([{ sequence: 0, ids }]), expected.logits)).toBeLessThan(CLOSE);
    expect(() => buildStepGraph(file)).toThrow('architecture "own" is not supported');
  });
});

describe("caches", () => {
  const model = tinyModel("llama");
  const ids = randomIds(LENGTH, SEED);

  it.each([
    ["f16", 2e-3],
    ["bf16", 2e-2],
  ] as const)("%s costs the rounding of keys and values", (cache, bound) => {
    const { file, plain } = writeTiny(model, SEED);
    const runner = new StepRunner(buildStepGraph(file, { cache, pageSize: 32 }));
    const apart = difference(runner.step([{ sequence: 0, ids }]), plainForward(plain, ids).logits);
    expect(apart).toBeLessThan(bound);
    expect(apart).toBeGreaterThan(CLOSE);
  });

  it("q8_0 takes heads of whole blocks", () => {
    const { file, plain } = writeTiny(
      {
        ...model,
        metadata: {
          ...model.metadata,
          "attention.key_length": { type: "u32", value: 32 },
          "attention.value_length": { type: "u32", value: 32 },
        },
        shapes: Object.fromEntries(
          Object.entries(model.shapes).map(([name, shape]) => {
            if (/attn_[qkv]\.weight/.test(name)) return [name, [shape[0]! * 4, shape[1]!]];
            return [name, name.includes("attn_output") ? [shape[0]!, shape[1]! * 4] : shape];
          }),
        ),
        plain: { ...model.plain, headDim: 32, scoreFactor: 32 ** -0.5 },
      },
      SEED,
    );
    const runner = new StepRunner(buildStepGraph(file, { cache: "q8_0" }));
    const apart = difference(runner.step([{ sequence: 0, ids }]), plainForward(plain, ids).logits);
    expect(apart).toBeLessThan(5e-2);
    expect(apart).toBeGreaterThan(CLOSE);
  });
});
