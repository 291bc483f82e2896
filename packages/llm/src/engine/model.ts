/**
 * Language models as users meet them: load a file, generate, score, embed.
 *
 * All calls share one engine loop, so that sequences are computed together whoever asked for them. For a fixed seed the
 * choices of a sequence depend only on its logits. These do not depend on what is computed beside it except by rounding:
 * a device may choose another kernel for another number of tokens, and pages found in the cache were computed with
 * whatever was beside them. Near ties may then fall otherwise; `maxSequences: 1` and `sharePrefixes: false` exclude both.
 */

import { type Device, type MappedFile, Tensor, UserError } from "@quern/core";
import { type GgufFile, readGgufFile } from "@quern/importers/gguf";
import { buildStepGraph, type Hyperparameters, readHyperparameters } from "../architectures/index.ts";
import { type Tokenizer, tokenizerFromGguf } from "../text/index.ts";
import { Engine } from "./engine.ts";
import { ExecutableRunner } from "./executable-runner.ts";
import { type GenerateOptions, generateSettings } from "./generate-options.ts";
import { Generation } from "./generation.ts";
import { type LoadOptions, type LoadSettings, hasBlocks, loadSettings } from "./load-options.ts";
import { Pool, type Pooling, POOLINGS, poolingOf } from "./pooling.ts";
import { mustFit, type Prompt, promptTokens } from "./prompt.ts";
import { Candidates } from "./sampling/candidates.ts";
import type { Work } from "./scheduler.ts";
import { collectRows, RowsWork, scoreTokens } from "./scoring.ts";

/** Text or token ids. */
export type TextOrTokens = string | readonly number[];

export interface EmbedOptions {
  /** Default: what the model's file says, else "mean". */
  readonly pooling?: Pooling | undefined;
  /** Scales vectors to length 1. Default: true. */
  readonly normalise?: boolean | undefined;
}

export interface ScoredText {
  readonly tokens: readonly number[];
  /** The natural logarithm of the probability of `tokens[i + 1]` after `tokens[0]` to `tokens[i]`. */
  readonly logProbabilities: Float64Array;
}

/**
 * Loads a model from a GGUF file: a path (of a split model the first file), or what `readGgufFile` gave, whose memory must
 * outlive the model. Throws a `UserError` for damaged files, unknown architectures and wrong options.
 */
export async function loadModel(source: string | GgufFile, options: LoadOptions): Promise<LanguageModel> {
  const mapped: MappedFile[] = [];
  const map = (path: string): Uint8Array => {
    const mapping = options.device.mapFile!(path);
    mapped.push(mapping);
    return mapping.bytes;
  };
  // Options are not checked yet: a caller without types may give no device.
  const canMap = (options.device as Device | undefined)?.mapFile !== undefined;
  const read = options.read ?? (canMap ? map : undefined);
  const release = (): void => {
    for (const mapping of mapped) mapping.dispose();
  };
  try {
    const file = typeof source === "string" ? readGgufFile(source, read === undefined ? {} : { read }) : source;
    return new LanguageModel(file, options, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** Made by `loadModel`. */
export class LanguageModel {
  readonly hyper: Hyperparameters;
  readonly tokenizer: Tokenizer;
  /** Jinja source, where the file has one. */
  readonly chatTemplate: string | undefined;
  /** Longest sequence, in tokens. */
  readonly contextLength: number;
  readonly #file: GgufFile;
  readonly #settings: LoadSettings;
  readonly #engine: Engine;
  readonly #candidates: Candidates;
  readonly #endTokens: ReadonlySet<number>;
  readonly #release: () => void;
  /** States instead of logits; made when first asked for. */
  #hidden: Engine | undefined;
  #disposed = false;

  /** Use `loadModel`. `release` is called when the memory of the file is no longer needed. */
  constructor(file: GgufFile, options: LoadOptions, release: () => void) {
    this.hyper = readHyperparameters(file);
    this.#settings = loadSettings(options, this.hyper.contextLength, hasBlocks(file));
    this.chatTemplate = file.metadata.string("tokenizer.chat_template", "") || undefined;
    this.contextLength = this.#settings.contextLength;
    this.#file = file;
    this.#release = release;
    // Devices go on packing weights while the vocabulary is read.
    this.#engine = this.#makeEngine("logits", this.#settings);
    try {
      this.tokenizer = tokenizerFromGguf(file.metadata.values);
    } catch (error) {
      void this.#engine.dispose();
      throw error;
    }
    this.#candidates = new Candidates(this.#engine.rowSize);
    const { eos, eot, eom } = this.tokenizer.special;
    this.#endTokens = new Set([...this.hyper.endTokens, eos, eot, eom].filter((id) => id !== undefined));
  }

  /** Bytes of the cache of keys and values. */
  get cacheBytes(): number {
    return this.#engine.cacheBytes;
  }

  /**
   * Continues a prompt. Read the chunks with `for await`, or wait for `result()`. Throws a `UserError` at once when the
   * prompt is empty, longer than the context or refused by the chat template, when an option is wrong, and when the signal
   * has been aborted already.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    this.#mustBeAlive();
    const settings = generateSettings(options, this.#engine.rowSize);
    const tokens = promptTokens(prompt, this.tokenizer, settings.chatTemplate ?? this.chatTemplate, settings);
    mustFit(tokens, this.contextLength, "the prompt");
    if (settings.signal?.aborted === true)
      throw new UserError("the generation was aborted before it began", { cause: settings.signal.reason });
    return new Generation({
      prompt: tokens,
      settings,
      tokenizer: this.tokenizer,
      endTokens: this.#endTokens,
      contextLength: this.contextLength,
      candidates: this.#candidates,
      start: this.#start,
    });
  }

  /** Logits after every position `[tokens, vocabulary]`, or after the last one only `[1, vocabulary]`. */
  async logits(input: TextOrTokens, options: { readonly positions?: "all" | "last" } = {}): Promise<Tensor> {
    const tokens = this.#read(input);
    const { positions = "all" } = options;
    if (positions !== "all" && positions !== "last")
      throw new UserError(`positions must be "all" or "last", not ${JSON.stringify(positions)}`);
    const first = positions === "all" ? 0 : tokens.length - 1;
    const { rowSize } = this.#engine;
    const rows = await collectRows(this.#start, tokens, first, rowSize);
    return new Tensor("f32", [tokens.length - first, rowSize], rows);
  }

  /** How probable the model finds a text, token by token. */
  async logProbabilities(input: TextOrTokens): Promise<ScoredText> {
    const tokens = this.#read(input);
    return { tokens, logProbabilities: await scoreTokens(this.#start, tokens) };
  }

  /** One vector per text. The first call compiles the graph for it. */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
  async embed(input: string | readonly string[], options: EmbedOptions = {}): Promise<Float32Array | Float32Array[]> {
    const texts = typeof input === "string" ? [input] : input;
    const pooling = options.pooling ?? poolingOf(this.#file);
    if (!POOLINGS.includes(pooling))
      throw new UserError(`pooling must be one of ${POOLINGS.join(", ")}, not ${JSON.stringify(pooling)}`);
    const all = texts.map((text) => this.#read(text));
    // Nothing is found again: a text is embedded once, and every state is wanted.
    this.#hidden ??= this.#makeEngine("hidden", {
      ...this.#settings,
      cacheTokens: this.contextLength,
      sharePrefixes: false,
    });
    const engine = this.#hidden;
    const vectors = all.map(async (tokens) => {
      const pool = new Pool(pooling, engine.rowSize);
      const work = new RowsWork(tokens, Pool.first(pooling, tokens.length), (row) => pool.add(row));
      engine.add(work);
      await work.done;
      return pool.result(options.normalise ?? true);
    });
    const results = await Promise.all(vectors);
    return typeof input === "string" ? (results[0] as Float32Array) : results;
  }

  /** Ends what is running with an error and returns all memory. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#engine.dispose();
    await this.#hidden?.dispose();
    this.#release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  readonly #start = (work: Work): void => this.#engine.add(work);

  #read(input: TextOrTokens): number[] {
    this.#mustBeAlive();
    const tokens = promptTokens(input, this.tokenizer, undefined, { parseSpecial: false, template: {} });
    mustFit(tokens, this.contextLength, "the text");
    return tokens;
  }

  #makeEngine(output: "logits" | "hidden", settings: LoadSettings): Engine {
    const { device, kv, pageSize, matmulPrecision, contextLength, cacheTokens } = settings;
    const { graph } = buildStepGraph(this.#file, { cache: kv, pageSize, output, contextLength });
    const pages = Math.ceil(cacheTokens / pageSize);
    const runner = new ExecutableRunner(device, device.compile(graph, { matmulPrecision }), pages);
    return new Engine(runner, { ...settings, pages });
  }

  #mustBeAlive(): void {
    if (this.#disposed) throw new UserError("the model was used after dispose");
  }
}
