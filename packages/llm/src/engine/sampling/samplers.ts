/**
 * The samplers, one record each, in the order in which they apply: first those that change logits by token, then those that
 * drop tokens, from the cheapest, last the temperature. So what top-p and the others keep does not depend on the
 * temperature. This is the default order of llama.cpp.
 */

import type { Candidates } from "./candidates.ts";
import { largest } from "./largest.ts";

/** All values are set and valid. */
export interface SamplingSettings {
  /** Divides the logits; 0 takes the most probable token always. */
  readonly temperature: number;
  /** Keeps this many of the most probable tokens; 0: all. */
  readonly topK: number;
  /** Keeps the fewest most probable tokens that have this probability together; 1: all. */
  readonly topP: number;
  /** Drops tokens less probable than this share of the most probable one; 0: none. */
  readonly minP: number;
  /** Keeps the tokens with the most typical information content that have this probability together; 1: all. */
  readonly typicalP: number;
  /** Divides positive logits of tokens that occurred, multiplies negative ones; 1: off. */
  readonly repetitionPenalty: number;
  /** Subtracted from the logit of a token that occurred. */
  readonly presencePenalty: number;
  /** Subtracted for each time that a token occurred. */
  readonly frequencyPenalty: number;
  /** How many of the last tokens, prompt included, the penalties look at; Infinity: all. */
  readonly penaltyWindow: number;
  /** Added to the logits of these tokens; −Infinity excludes one. */
  readonly logitBias: ReadonlyMap<number, number>;
}

export interface Sampler {
  readonly name: string;
  /** Whether it does anything with these settings. */
  active(settings: SamplingSettings): boolean;
  /** `history`: prompt and what was generated. At least one token is left. */
  apply(candidates: Candidates, settings: SamplingSettings, history: readonly number[]): void;
}

const logitBias: Sampler = {
  name: "logit bias",
  active: (settings) => settings.logitBias.size > 0,
  apply: (candidates, settings) => {
    const logits = candidates.writable();
    for (const [token, bias] of settings.logitBias) logits[token] = (logits[token] as number) + bias;
  },
};

/** Keskar et al., CTRL, 2019 (repetition); presence and frequency as in the OpenAI API. */
const penalties: Sampler = {
  name: "penalties",
  active: ({ repetitionPenalty, presencePenalty, frequencyPenalty, penaltyWindow }) =>
    penaltyWindow > 0 && (repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0),
  apply: (candidates, settings, history) => {
    const logits = candidates.writable();
    const counts = new Map<number, number>();
    for (let i = Math.max(0, history.length - settings.penaltyWindow); i < history.length; i++) {
      const token = history[i] as number;
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    for (const [token, count] of counts) {
      const logit = logits[token] as number;
      const scaled = logit > 0 ? logit / settings.repetitionPenalty : logit * settings.repetitionPenalty;
      logits[token] = scaled - settings.presencePenalty - count * settings.frequencyPenalty;
    }
  },
};

/** Fan et al., Hierarchical Neural Story Generation, 2018. */
const topK: Sampler = {
  name: "top-k",
  active: (settings) => settings.topK > 0,
  apply: (candidates, settings) => {
    if (settings.topK >= candidates.size) return;
    candidates.keep(largest(candidates.logits, candidates.size, settings.topK));
  },
};

/** Meister et al., Locally Typical Sampling, 2023: nearest to the entropy first. */
const typical: Sampler = {
  name: "typical",
  active: (settings) => settings.typicalP < 1,
  apply: (candidates, settings) => {
    const { logits, size } = candidates;
    const { weights, sum, max } = candidates.weigh();
    const normaliser = max + Math.log(sum);
    let entropy = 0;
    for (let i = 0; i < size; i++) {
      const weight = weights[i] as number;
      if (weight > 0) entropy += (weight / sum) * (normaliser - (logits[i] as number));
    }
    const scores = new Float32Array(size);
    for (let i = 0; i < size; i++) scores[i] = -Math.abs(normaliser - (logits[i] as number) - entropy);
    candidates.keepMass(settings.typicalP, scores);
  },
};

/** Holtzman et al., The Curious Case of Neural Text Degeneration, 2020. */
const topP: Sampler = {
  name: "top-p",
  active: (settings) => settings.topP < 1,
  apply: (candidates, settings) => candidates.keepMass(settings.topP),
};

/** Nguyen et al., Turning Up the Heat: Min-p Sampling, 2024. */
const minP: Sampler = {
  name: "min-p",
  active: (settings) => settings.minP > 0,
  apply: (candidates, settings) => candidates.keepFrom(candidates.max() + Math.log(settings.minP)),
};

const temperature: Sampler = {
  name: "temperature",
  active: (settings) => settings.temperature !== 1,
  apply: (candidates, settings) => {
    // Relative to the greatest, so that no temperature is too low.
    const max = candidates.max();
    const logits = candidates.writable();
    for (let i = 0; i < candidates.size; i++) logits[i] = ((logits[i] as number) - max) / settings.temperature;
  },
};

/** Those that change logits by token; `candidates` hold the whole vocabulary, token i at place i. */
export const logitSamplers: readonly Sampler[] = [logitBias, penalties];

/** Those that drop and scale. A greedy choice needs none of them. */
export const choiceSamplers: readonly Sampler[] = [topK, typical, topP, minP, temperature];
