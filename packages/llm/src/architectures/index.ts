/**
 * Models from GGUF files: hyperparameters, and the graph of one step. And the pieces that architectures are made of, for
 * one of your own: a record as in `qwen2.ts`, passed as `architectures`.
 */
export type { Architecture, Model } from "./architecture.ts";
export { type StepGraph, type StepGraphOptions, buildStepGraph, readHyperparameters } from "./build.ts";
export { type Activation, experts, gated, gatedFused, geluTanh, plain, silu } from "./feed-forward.ts";
export { type Experts, type Hyperparameters, readDecoder, readExperts, readFeedForward } from "./hyperparameters.ts";
export { type ArchitectureKeys, LIMITS } from "./keys.ts";
export { type Bias, type Projections, embedding, layerNorm, linear, logits, project, rmsNorm } from "./layers.ts";
export { architectures } from "./registry.ts";
export { type Rope, type Yarn, readRope, ropeFrequencies } from "./rope-parameters.ts";
export { type Rotate, rotation } from "./rope.ts";
export type { CacheFormat, Step } from "./step.ts";
export type { Weights } from "./weights.ts";
export { readWindows } from "./windows.ts";
