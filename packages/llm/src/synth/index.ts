/** Models with random weights: planned from a preset's shape, written as GGUF files. */
export {
  planSynth,
  synthGguf,
  writeSynth,
  writeSynthInTurns,
  type StoredTensor,
  type SynthModel,
  type SynthOptions,
  type SynthProgress,
  type WriteSynthOptions,
} from "./model.ts";
export { synthPresets, type SynthPreset } from "./presets.ts";
export type { ModelShape, ShapeChanges } from "./shape.ts";
