/** Everything of @quern/llm: text in and out of language models. */
export * from "./text/index.ts";
export {
  type Architecture,
  type CacheFormat,
  type Hyperparameters,
  type StepGraph,
  type StepGraphOptions,
  architectures,
  buildStepGraph,
  readHyperparameters,
} from "./architectures/index.ts";
export * from "./engine/index.ts";
export * from "./quantise/index.ts";
export * from "./synth/index.ts";
