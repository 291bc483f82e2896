import { describe, expect, it } from "vitest";
import { perplexity, type ScoringModel } from "./perplexity.ts";

/** Gives token t + 1 after t the probability 1/2, all others 1/8, and remembers what it was asked. */
function modelOf(): ScoringModel & { readonly asked: number[][] } {
  const asked: number[][] = [];
  return {
    asked,
    logProbabilities(tokens) {
      asked.push([...tokens]);
      const scores = tokens.slice(1).map((token, i) => Math.log(token === (tokens[i] as number) + 1 ? 0.5 : 0.125));
      return Promise.resolve({ logProbabilities: Float64Array.from(scores) });
    },
  };
}

const counting = Array.from({ length: 35 }, (_, i) => i);

describe("perplexity", () => {
  it("scores the second half of whole chunks, each with the first token in front", async () => {
    const model = modelOf();
    const found = await perplexity(model, counting, { contextLength: 8, firstToken: 100 });
    expect(model.asked).toEqual([0, 8, 16, 24].map((start) => [100, ...counting.slice(start + 1, start + 8)]));
    // Positions 5, 6 and 7 of four chunks.
    expect(found).toMatchObject({ error: 0, meanNll: Math.log(2), tokens: 12, chunks: 4 });
    expect(found.perplexity).toBeCloseTo(2, 12);
  });

  it("is e to the mean, with the standard error over tokens", async () => {
    const tokens = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18];
    const found = await perplexity(modelOf(), tokens, { contextLength: 8, chunks: 1 });
    // Log-likelihoods ln 2, ln 8, ln 2: mean 5/3 ln 2.
    expect(found.perplexity).toBeCloseTo(2 ** (5 / 3), 12);
    expect(found.error).toBeCloseTo(2 ** (5 / 3) * Math.LN2 * Math.sqrt((11 / 3 - 25 / 9) / 2), 12);
    expect(found.tokens).toBe(3);
  });

  it("tells the way", async () => {
    const told: [number, number][] = [];
    await perplexity(modelOf(), counting, {
      contextLength: 16,
      onChunk: (sofar, chunks) => told.push([sofar.chunks, chunks]),
    });
    expect(told).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  it("wants two contexts of text", async () => {
    const short = perplexity(modelOf(), counting, { contextLength: 18 });
    await expect(short).rejects.toThrow("the text has 35 tokens, two contexts of 18 are needed");
    await expect(perplexity(modelOf(), counting, { contextLength: 3 })).rejects.toThrow("3 tokens is too short");
  });
});
