/** Quantisation of models: which tensor gets which block type, and the files with these types. */
export {
  planQuantise,
  writeQuantised,
  type PlannedTensor,
  type QuantisedTensor,
  type QuantisePlan,
  type QuantiseOptions,
} from "./file.ts";
export {
  isQuantised,
  quantMixNamed,
  quantMixes,
  typeInMix,
  type MixModel,
  type NamedShape,
  type QuantMix,
  type TypeChoice,
} from "./mix.ts";
