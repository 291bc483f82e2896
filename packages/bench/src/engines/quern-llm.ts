/**
 * Quern's language models, below the public interface of `@quern/llm`: the same step graph, runner and batches that
 * `loadModel` uses, without scheduler and sampling, so that given tokens are evaluated at given positions.
 *
 * Opening does what `loadModel` does: it maps the file, builds and compiles the step graph, makes the cache and the tokenizer.
 * The record `quern-defaults` leaves the number of threads to the device; form of the cache and precision belong to what is asked for.
 */

import { InternalError, type Device, type MatmulPrecision } from "@quern/core";
import type { StepPart, StepRunner } from "@quern/llm";
import { requirePeer } from "../harness/peers.ts";
import { packageVersion } from "../version.ts";
import { finishCompiling, openDevice } from "./quern-device.ts";
import { STEP_TOKENS, largest, type LlmEngine, type LlmModel, type LlmOptions, type LlmPart } from "./llm-engine.ts";

const PAGE_SIZE = 64;

function quernLlmEngine(name: string, about: string, variantOf?: string): LlmEngine {
  // Without a setting the device takes all processors.
  const threadsOf = ({ threads }: LlmOptions): number | undefined => (variantOf === undefined ? threads : undefined);
  return {
    name,
    about,
    family: "quern",
    ...(variantOf === undefined ? {} : { variantOf }),
    madeWithCore: true,
    keepsKernels: true,
    choosesPrecision: false,
    baseline: false,
    async describe(options) {
      const { features } = options;
      const device = await openDevice("cpu", { threads: threadsOf(options), features });
      const settings = {
        device: device.name,
        matmulPrecision: options.precision,
        cache: `${options.cache}, pages of ${PAGE_SIZE} tokens`,
        stepTokens: String(STEP_TOKENS),
        threads: variantOf === undefined ? "as in each row" : "the device's own: all processors",
        call: "run of the step graph",
      };
      device.dispose();
      return { name, version: packageVersion(), library: null, sha256: null, settings };
    },
    async open(options) {
      const { features, kernels } = options;
      const device = await openDevice("cpu", { threads: threadsOf(options), features, cache: kernels ?? false });
      // Loaded here, so that it counts as loading and not as opening the first model.
      const purpose = "language models on Quern";
      await requirePeer("@quern/llm", purpose, () => import("@quern/llm"));
      await requirePeer("@quern/importers", purpose, () => import("@quern/importers/gguf"));
      return {
        load: (path) => loadModel(device, path, options),
        close: async () => device.dispose(),
      };
    },
  };
}

export const quernLlm: LlmEngine = quernLlmEngine("quern", "our compiler, CPU device");
export const quernLlmDefaults: LlmEngine = quernLlmEngine(
  "quern-defaults",
  "the same without a number of threads",
  "quern",
);

async function loadModel(device: Device, path: string, options: LlmOptions): Promise<LlmModel> {
  const { ExecutableRunner, buildStep, buildStepGraph, tokenizerFromGguf } = await import("@quern/llm");
  const { readGgufFile } = await import("@quern/importers/gguf");
  const { nativeHost } = await import("@quern/kernels-cpu");
  const host = nativeHost();
  // The mapping is never undone: the program holds views on it, and the process ends with the model.
  const file = readGgufFile(path, { read: (part) => new Uint8Array(host.mapFile(part).buffer) });
  const { contextLength, sequences, cache, precision } = options;
  const { graph } = buildStepGraph(file, { cache, pageSize: PAGE_SIZE, contextLength });
  const pagesPerSequence = Math.ceil(contextLength / PAGE_SIZE);
  const executable = device.compile(graph, { matmulPrecision: precision });
  // As `loadModel` does: the device packs weights meanwhile.
  tokenizerFromGguf(file.metadata.values);
  await finishCompiling(device, executable);
  const runner = new ExecutableRunner(device, executable, pagesPerSequence * sequences);
  const precisions = new Set(executable.report.launches.flatMap((launch) => launch.precision ?? []));
  const about = `${device.name}, products at ${[...precisions].join(" and ") || "f32"}`;
  return new QuernModel(runner, buildStep, sequences, pagesPerSequence, about, [...precisions].toSorted());
}

type BuildStep = typeof import("@quern/llm").buildStep;

/** Each sequence has pages of its own, in order. */
interface Sequence {
  readonly ids: number[];
  readonly pages: readonly number[];
}

class QuernModel implements LlmModel {
  readonly #runner: StepRunner;
  readonly #buildStep: BuildStep;
  readonly #pagesPerSequence: number;
  readonly #about: string;
  readonly precisions: readonly MatmulPrecision[];
  readonly #sequences: readonly Sequence[];
  #rows: Float32Array = new Float32Array(0);

  constructor(
    runner: StepRunner,
    buildStep: BuildStep,
    sequences: number,
    pagesPerSequence: number,
    about: string,
    precisions: readonly MatmulPrecision[],
  ) {
    this.precisions = precisions;
    this.#runner = runner;
    this.#buildStep = buildStep;
    this.#pagesPerSequence = pagesPerSequence;
    this.#about = about;
    this.#sequences = Array.from({ length: sequences }, (_, sequence) => ({
      ids: [],
      pages: Array.from({ length: pagesPerSequence }, (__, i) => sequence * pagesPerSequence + i),
    }));
  }

  async evaluate(parts: readonly LlmPart[]): Promise<void> {
    const step = parts.map((part) => this.#stepPart(part));
    this.#rows = await this.#runner.run(this.#buildStep(step, [], this.#pagesPerSequence));
  }

  #stepPart({ sequence, position, tokens }: LlmPart): StepPart {
    const { ids, pages } = this.#sequences[sequence] as Sequence;
    const count = tokens.length;
    for (let i = 0; i < count; i++) ids[position + i] = tokens[i] as number;
    return { tokens: ids, start: position, count, pages, firstOutput: position + count - 1 };
  }

  async logits(part: number): Promise<Float32Array> {
    return this.#row(part).slice();
  }

  async greedy(part: number): Promise<number> {
    return largest(this.#row(part));
  }

  #row(part: number): Float32Array {
    const { rowSize } = this.#runner;
    const row = this.#rows.subarray(part * rowSize, (part + 1) * rowSize);
    if (row.length !== rowSize) throw new InternalError(`quern: the last step had no part ${part}`);
    return row;
  }

  /** Pages are written over; nothing behind a sequence's length is read. */
  truncate(_sequence: number, _length: number): void {}

  about(): string {
    return this.#about;
  }

  async close(): Promise<void> {
    this.#runner.dispose();
  }
}
