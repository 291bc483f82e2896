/** What is said about generations besides their text: statistics for people, JSON for programs. */

import { formatMs } from "@quern/bench/format";
import type { FinishReason, GenerationChunk, GenerationSummary, LanguageModel, TokenLogProbability } from "@quern/llm";

const ENDS: Readonly<Record<FinishReason, string>> = {
  end: "the model ended",
  stop: "stop string",
  length: "--max-tokens",
  context: "the context is full",
  abort: "interrupted",
};

/** A generation with its chunks. */
export interface Completion {
  readonly text: string;
  readonly chunks: readonly GenerationChunk[];
  readonly summary: GenerationSummary;
}

function rate(tokens: number, ms: number): string {
  return tokens > 0 && ms > 0 ? `${((1000 * tokens) / ms).toFixed(1)} tok/s` : "– tok/s";
}

/** Lines for one generation, without times of loading. */
export function statisticLines({ usage, timings, finishReason, seed }: GenerationSummary): string[] {
  const { promptTokens, cachedTokens, generatedTokens } = usage;
  const { queuedMs, promptMs, generateMs } = timings;
  const computed = promptTokens - cachedTokens;
  const cached = cachedTokens === 0 ? "" : `, ${cachedTokens} of them from the cache`;
  return [
    `prompt     ${promptTokens} tokens${cached}, ${rate(computed, promptMs)}; first token after ${formatMs(queuedMs + promptMs)}`,
    `generated  ${generatedTokens} tokens, ${rate(generatedTokens - 1, generateMs)}; ${ENDS[finishReason]}; seed ${seed}`,
  ];
}

/** One line for generations that ran together, from the first to the last token of all. */
export function togetherLine(summaries: readonly GenerationSummary[]): string {
  const tokens = summaries.reduce((sum, { usage }) => sum + usage.generatedTokens, 0);
  const ends = summaries.map(({ timings: { queuedMs, promptMs, generateMs } }) => queuedMs + promptMs + generateMs);
  return `together   ${tokens} tokens, ${rate(tokens, Math.max(...ends))}`;
}

/** A token with its probability, as JSON. */
function tokenJson(model: LanguageModel, { token, logProbability }: TokenLogProbability): object {
  return { token, name: model.tokenizer.tokenOf(token) ?? null, logProbability };
}

export function completionJson(model: LanguageModel, { text, chunks, summary }: Completion): object {
  const scored = chunks.flatMap(({ token, logProbability, alternatives }) =>
    token === undefined || logProbability === undefined
      ? []
      : [
          {
            ...tokenJson(model, { token, logProbability }),
            alternatives: (alternatives ?? []).map((each) => tokenJson(model, each)),
          },
        ],
  );
  const tokens = chunks.flatMap(({ token }) => token ?? []);
  return { text, ...summary, tokens, ...(scored.length === 0 ? {} : { logProbabilities: scored }) };
}

/** Rows of a table: token, probability, alternatives. */
export function probabilityRows(model: LanguageModel, chunks: readonly GenerationChunk[]): string[][] {
  const shown = ({ token, logProbability }: TokenLogProbability): [string, string] => [
    JSON.stringify(model.tokenizer.tokenOf(token) ?? token),
    `${(100 * Math.exp(logProbability)).toFixed(2)} %`,
  ];
  return chunks.flatMap(({ token, logProbability, alternatives = [] }) => {
    if (token === undefined || logProbability === undefined) return [];
    const others = alternatives.filter((each) => each.token !== token).map((each) => shown(each).join(" "));
    return [[...shown({ token, logProbability }), others.join(", ")]];
  });
}
