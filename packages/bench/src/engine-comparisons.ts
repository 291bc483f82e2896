/**
 * The entry point `@quern/bench/engines`: inference engines beside each other, Quern's own among them. The engines and
 * Quern's packages are optional peers, loaded when they are asked for; a missing one is a `UserError` that names it.
 */
export { runBench, DEFAULT_SETTINGS, type BenchPlan, type CaseRequest } from "./harness/bench.ts";
export type { BenchSettings } from "./harness/comparison.ts";
export { measureRoofline } from "./harness/roofline.ts";
export { differences, verifyTensors, MODEL_TOLERANCE, modelLimits, type Verification } from "./harness/verify.ts";
export { CACHE_STATES, parseCacheState, type CacheState } from "./cases/caches.ts";
export { parseShapes, type GemmCase } from "./cases/gemm.ts";
export { opCases, parseOpSizes, type OpSizes } from "./cases/ops.ts";
export { parseNumbers } from "./cases/sweep.ts";
export { caseFolders, requireModelFile, tensorFiles } from "./cases/model.ts";
export { modelName } from "./cases/model-name.ts";
export { bundledModels } from "./cases/suite.ts";
export { makeInput, makeInputs, randomRecipe, type TensorSet } from "./cases/inputs.ts";
export { encodeNpy, parseNpy, readNpy } from "./cases/npy.ts";
export { profileLaunches, type LaunchTime } from "./engines/quern-profile.ts";
export { engines, engineNamed, withDefaults } from "./engines/index.ts";
export type { CompiledModel, Engine, EngineOptions, OpenEngine } from "./engines/engine.ts";
export { DEVICE_KINDS, openDevice, readModel, type DeviceKind } from "./engines/quern-device.ts";
export { llmEngines, llmEngineNamed, withLlmDefaults } from "./engines/llm-engines.ts";
export type { LlmEngine, LlmModel, LlmOptions, LlmPart, OpenLlmEngine } from "./engines/llm-engine.ts";
export { runLlmBench, type LlmPlan } from "./language-models/run.ts";
export { parseTests, type LlmTest } from "./language-models/tests.ts";
