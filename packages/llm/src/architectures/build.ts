/** From a GGUF file to the graph of one step of its model. */

import { type Graph, UserError, graph } from "@quern/core";
import type { GgufFile } from "@quern/importers/gguf";
import type { Architecture } from "./architecture.ts";
import type { Hyperparameters } from "./hyperparameters.ts";
import { ArchitectureKeys, LIMITS } from "./keys.ts";
import { logits } from "./layers.ts";
import { findArchitecture } from "./registry.ts";
import { type CacheFormat, Step } from "./step.ts";
import { Weights } from "./weights.ts";

export interface StepGraphOptions {
  /** How keys and values are kept, "f16" by default. */
  readonly cache?: CacheFormat;
  /** Tokens of a page of the cache, a multiple of 16; 64 by default. */
  readonly pageSize?: number;
  /** "logits" `[O, vocabulary]`, the default, or "hidden" `[O, width]`, the state behind the last norm. */
  readonly output?: "logits" | "hidden";
  /** Longest sequence that will be run, in tokens; the model's context by default. Phi-3 chooses its rope by it. */
  readonly contextLength?: number;
  /** Architectures beside those of this package; they come first. */
  readonly architectures?: readonly Architecture[];
}

export interface StepGraph {
  /** Inputs as in `step.ts`; one output, named as the option says. */
  readonly graph: Graph;
  readonly hyper: Hyperparameters;
}

/**
 * Builds the graph of a step. Weights are constants on the file's memory, which must outlive the graph unchanged. Throws
 * a `UserError` when the architecture is not known, and when keys or tensors are missing or contradict each other.
 */
export function buildStepGraph(file: GgufFile, options: StepGraphOptions = {}): StepGraph {
  const { cache = "f16", pageSize = 64, output = "logits" } = options;
  if (output !== "logits" && output !== "hidden")
    throw new UserError(`output "${String(output)}" is unknown`, { hint: 'one of "logits", "hidden"' });
  const { architecture, hyper } = readModel(file, options.architectures);
  const scope = graph(file.name);
  const weights = Weights.of(file, scope, architecture.name);
  const step = new Step(scope, hyper, { format: cache, pageSize });
  const contextLength = checkContext(options.contextLength ?? hyper.contextLength);
  const hidden = inFile(file, () => architecture.build({ hyper, weights, step, contextLength }));
  if (output === "logits") scope.output("logits", logits(weights, hidden, hyper));
  else {
    scope.output("hidden", hidden);
    weights.skip("output.weight");
  }
  weights.throwProblems();
  return { graph: scope.build(), hyper };
}

/** The hyperparameters of a file alone. Throws as `buildStepGraph` does, but looks at no tensor beyond the names. */
export function readHyperparameters(
  file: GgufFile,
  { architectures }: Pick<StepGraphOptions, "architectures"> = {},
): Hyperparameters {
  return readModel(file, architectures).hyper;
}

function readModel(
  file: GgufFile,
  more: readonly Architecture[] | undefined,
): { architecture: Architecture; hyper: Hyperparameters } {
  const architecture = findArchitecture(file.metadata.string("general.architecture"), file.name, more);
  return { architecture, hyper: architecture.read(new ArchitectureKeys(file, architecture.name)) };
}

/** Errors of what `build` calls do not know the file. */
function inFile<T>(file: GgufFile, build: () => T): T {
  try {
    return build();
  } catch (cause) {
    if (!(cause instanceof UserError) || cause.where !== undefined) throw cause;
    throw new UserError(cause.message, { where: file.name, cause });
  }
}

function checkContext(contextLength: number): number {
  if (Number.isInteger(contextLength) && contextLength >= 1 && contextLength <= LIMITS.context) return contextLength;
  throw new UserError(`a context of ${contextLength} tokens`, { hint: `give an integer of 1 to ${LIMITS.context}` });
}
