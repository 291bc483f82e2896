/** Language models: loading, generating, scoring, embedding; and the steps below, for those who schedule themselves. */
export { ExecutableRunner } from "./executable-runner.ts";
export type { GenerateOptions, SamplingOptions } from "./generate-options.ts";
export type { FinishReason, Generation, GenerationChunk, GenerationResult, GenerationSummary } from "./generation.ts";
export type { PageCopy } from "./kv-pages.ts";
export type { LoadOptions } from "./load-options.ts";
export { type EmbedOptions, type LanguageModel, loadModel, type ScoredText, type TextOrTokens } from "./model.ts";
export { type Perplexity, perplexity, type PerplexityOptions, type ScoringModel } from "./perplexity.ts";
export type { Pooling } from "./pooling.ts";
export type { Prompt } from "./prompt.ts";
export type { TokenLogProbability } from "./sampling/log-probabilities.ts";
export { buildStep, type StepBatch, type StepPart, type StepRunner } from "./step.ts";
