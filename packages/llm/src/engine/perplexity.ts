/**
 * Perplexity of a text: e to the mean negative log-likelihood of its tokens. Lower is better; a model that knows nothing has
 * that of its vocabulary's size.
 *
 * As llama.cpp measures it: the text is cut into chunks of one context length each, what is left over at the end is not
 * used. A chunk begins with the token that begins texts, where the model has one, in place of its own first token. Only
 * the second half of a chunk is scored, so that every scored token has at least half a context before it.
 */

import { UserError } from "@quern/core";

/** What is needed of a model. */
export interface ScoringModel {
  logProbabilities(tokens: readonly number[]): Promise<{ readonly logProbabilities: Float64Array }>;
}

export interface PerplexityOptions {
  /** Tokens of a chunk. */
  readonly contextLength: number;
  /** The token that every chunk begins with; absent: its own. */
  readonly firstToken?: number | undefined;
  /** Most chunks to score; absent: all. */
  readonly chunks?: number | undefined;
  /** Told after every chunk. */
  readonly onChunk?: ((sofar: Perplexity, chunks: number) => void) | undefined;
}

export interface Perplexity {
  readonly perplexity: number;
  /** Standard error, from the spread over tokens; null for a single one. */
  readonly error: number | null;
  /** Mean negative log-likelihood, in nats per token. */
  readonly meanNll: number;
  /** Tokens scored. */
  readonly tokens: number;
  readonly chunks: number;
}

const LEAST_CONTEXT = 4;

/** Throws a `UserError` where the text has less than two chunks. */
export async function perplexity(
  model: ScoringModel,
  tokens: readonly number[],
  { contextLength, firstToken, chunks: most, onChunk }: PerplexityOptions,
): Promise<Perplexity> {
  if (!Number.isInteger(contextLength) || contextLength < LEAST_CONTEXT)
    throw new UserError(`a context of ${contextLength} tokens is too short`, { hint: `give ${LEAST_CONTEXT} or more` });
  if (tokens.length < 2 * contextLength)
    throw new UserError(`the text has ${tokens.length} tokens, two contexts of ${contextLength} are needed`, {
      hint: "take a longer text or a shorter context",
    });
  const chunks = Math.min(Math.floor(tokens.length / contextLength), most ?? Infinity);
  const firstScored = Math.floor(contextLength / 2) + 1;
  // Mean and sum of squared deviations, updated token by token (Welford 1962).
  let [count, mean, deviations] = [0, 0, 0];
  let result: Perplexity | undefined;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const part = tokens.slice(chunk * contextLength, (chunk + 1) * contextLength);
    if (firstToken !== undefined) part[0] = firstToken;
    // Chunks one after another: no two of them share more than their first token.
    const { logProbabilities } = await model.logProbabilities(part);
    for (let position = firstScored; position < contextLength; position++) {
      const nll = -(logProbabilities[position - 1] as number);
      count += 1;
      const step = nll - mean;
      mean += step / count;
      deviations += step * (nll - mean);
    }
    result = summary(count, mean, deviations, chunk + 1);
    onChunk?.(result, chunks);
  }
  return result as Perplexity;
}

function summary(count: number, meanNll: number, deviations: number, chunks: number): Perplexity {
  const value = Math.exp(meanNll);
  const error = count > 1 ? (value * Math.sqrt(deviations / count)) / Math.sqrt(count - 1) : null;
  return { perplexity: value, error, meanNll, tokens: count, chunks };
}
