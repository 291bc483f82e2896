/**
 * One generation: the work that the scheduler computes, and the stream that its caller reads. Tokens are chosen as their
 * logits come; chunks wait in a queue until they are read.
 */

import { UserError } from "@quern/core";
import type { Tokenizer } from "../text/index.ts";
import type { GenerateSettings } from "./generate-options.ts";
import type { Candidates } from "./sampling/candidates.ts";
import { chooseToken } from "./sampling/choose.ts";
import { logSumExp, type TokenLogProbability, topLogProbabilities } from "./sampling/log-probabilities.ts";
import { uniform } from "./sampling/random.ts";
import type { Work } from "./scheduler.ts";
import { StopStrings } from "./stop-strings.ts";

/**
 * Why a generation ended: the model ended its text or turn ("end"), a stop string or stop token came ("stop"), `maxTokens`
 * were generated ("length"), the context is full ("context"), or the caller did not want more ("abort").
 */
export type FinishReason = "end" | "stop" | "length" | "context" | "abort";

export interface GenerationSummary {
  readonly finishReason: FinishReason;
  /** The stop string that ended the generation. */
  readonly stopString?: string;
  /** The seed that gives the same choices again. */
  readonly seed: number;
  readonly usage: {
    readonly promptTokens: number;
    /** Tokens of the prompt that were found in the cache. */
    readonly cachedTokens: number;
    /** Tokens chosen, with the one that ended the text. */
    readonly generatedTokens: number;
  };
  /** Milliseconds. */
  readonly timings: {
    /** From the call to the first step with this sequence. */
    readonly queuedMs: number;
    /** From there to the first token. */
    readonly promptMs: number;
    /** From the first token to the last. */
    readonly generateMs: number;
  };
}

/** What one token brought. The last chunk has no token: it brings text that was held back, and the summary. */
export interface GenerationChunk {
  /** Whole characters only; empty while a character or a stop string may be incomplete. */
  readonly text: string;
  readonly token?: number;
  /** Natural logarithm of the model's own probability, before samplers; with `logProbabilities`. */
  readonly logProbability?: number;
  /** The most probable tokens at this place, the most probable first; with `logProbabilities`. */
  readonly alternatives?: readonly TokenLogProbability[];
  readonly summary?: GenerationSummary;
}

export interface GenerationResult extends GenerationSummary {
  readonly text: string;
  /** Without the one that ended the text. */
  readonly tokens: readonly number[];
}

export interface GenerationContext {
  readonly prompt: readonly number[];
  readonly settings: GenerateSettings;
  readonly tokenizer: Tokenizer;
  /** Tokens with which the model ends a text or a turn. */
  readonly endTokens: Iterable<number>;
  readonly contextLength: number;
  /** Shared by all generations of a model: choosing does not wait in between. */
  readonly candidates: Candidates;
  /** Gives the work to the engine. */
  start(work: Work): void;
}

/**
 * Chunks as they come: `for await (const chunk of generation)`, once; leaving the loop aborts. Or `await generation.result()`.
 * Nothing is computed before one of the two; then it goes on to the end, however fast the chunks are read.
 */
export class Generation implements AsyncIterable<GenerationChunk> {
  readonly #sequence: GeneratingSequence;
  readonly #start: () => void;
  #started = false;
  #iterated = false;

  constructor(context: GenerationContext) {
    this.#sequence = new GeneratingSequence(context);
    this.#start = () => context.start(this.#sequence);
  }

  /** Ends the generation; what was generated is the result. */
  abort(): void {
    this.#sequence.finish("abort");
  }

  /** All text and the summary, when it is over. */
  result(): Promise<GenerationResult> {
    this.#begin();
    return this.#sequence.result;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationChunk, void, undefined> {
    if (this.#iterated)
      throw new UserError("a generation can be read once", { hint: "call generate again, or use result()" });
    this.#iterated = true;
    this.#begin();
    try {
      for (;;) {
        const chunk = await this.#sequence.next();
        if (chunk === undefined) return;
        yield chunk;
      }
    } finally {
      this.abort();
    }
  }

  #begin(): void {
    if (this.#started) return;
    this.#started = true;
    this.#sequence.begin();
    if (!this.#sequence.finished) this.#start();
  }
}

class GeneratingSequence implements Work {
  readonly tokens: number[];
  readonly result: Promise<GenerationResult>;
  finished = false;
  readonly #context: GenerationContext;
  readonly #chunks: GenerationChunk[] = [];
  readonly #settle: PromiseWithResolvers<GenerationResult> = Promise.withResolvers<GenerationResult>();
  readonly #text: { push(id: number): string; end(): string };
  readonly #stop: StopStrings;
  readonly #endTokens: ReadonlySet<number>;
  readonly #parts: string[] = [];
  /** Tokens that are text. */
  #kept = 0;
  #generated = 0;
  #cached = 0;
  #error: { readonly reason: unknown } | undefined;
  #wake: (() => void) | undefined;
  #times: { begun: number; admitted?: number; first?: number; last?: number } = { begun: performance.now() };
  #stopListening: (() => void) | undefined;

  constructor(context: GenerationContext) {
    const { prompt, settings, tokenizer, endTokens } = context;
    this.#context = context;
    this.tokens = [...prompt];
    this.result = this.#settle.promise;
    // Who reads the chunks gets the error there; the promise need not be awaited.
    this.result.catch(() => {});
    this.#text = tokenizer.stream({ skipSpecial: !settings.specialText, after: prompt });
    this.#stop = new StopStrings(settings.stop);
    this.#endTokens = new Set(settings.ignoreEnd ? [] : endTokens);
  }

  get firstOutput(): number {
    return this.tokens.length - 1;
  }

  begin(): void {
    const { signal } = this.#context.settings;
    this.#times = { begun: performance.now() };
    if (signal === undefined || this.finished) return;
    if (signal.aborted) {
      this.finish("abort");
      return;
    }
    const abort = (): void => this.finish("abort");
    signal.addEventListener("abort", abort, { once: true });
    this.#stopListening = () => signal.removeEventListener("abort", abort);
  }

  admitted(shared: number): void {
    if (this.#times.admitted !== undefined) return;
    this.#times.admitted = performance.now();
    this.#cached = shared;
  }

  accept(row: Float32Array): void {
    const { settings, candidates, contextLength, prompt } = this.#context;
    const token = chooseToken(row, settings, this.tokens, candidates, () => uniform(settings.seed, this.#generated));
    this.#generated++;
    this.#times.last = performance.now();
    this.#times.first ??= this.#times.last;
    if (this.#endTokens.has(token)) return this.finish("end");
    if (settings.stopTokens.includes(token)) return this.finish("stop");
    this.tokens.push(token);
    this.#kept++;
    const text = this.#stop.push(this.#text.push(token));
    this.#add({ text, token, ...this.#probabilities(row, token) });
    if (this.#stop.found !== undefined) this.finish("stop");
    else if (this.#generated >= settings.maxTokens) this.finish("length");
    // The last token needs no place in the cache.
    else if (prompt.length + this.#generated > contextLength) this.finish("context");
  }

  fail(error: unknown): void {
    if (this.finished) return;
    this.#end();
    this.#error = { reason: error };
    this.#settle.reject(error);
    this.#wake?.();
  }

  finish(finishReason: FinishReason): void {
    if (this.finished) return;
    this.#end();
    const held = this.#stop.push(this.#text.end()) + this.#stop.end();
    const stopString = this.#stop.found;
    const summary: GenerationSummary = {
      finishReason,
      ...(stopString === undefined ? {} : { stopString }),
      seed: this.#context.settings.seed,
      usage: {
        promptTokens: this.#context.prompt.length,
        cachedTokens: this.#cached,
        generatedTokens: this.#generated,
      },
      timings: this.#timings(),
    };
    this.#add({ text: held, summary });
    const tokens = this.tokens.slice(this.tokens.length - this.#kept);
    this.#settle.resolve({ ...summary, text: this.#parts.join(""), tokens });
  }

  /** The next chunk; undefined after the last one. Throws what ended the sequence. */
  async next(): Promise<GenerationChunk | undefined> {
    while (this.#chunks.length === 0 && !this.finished) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const chunk = this.#chunks.shift();
    if (chunk === undefined && this.#error !== undefined) throw this.#error.reason;
    return chunk;
  }

  #end(): void {
    this.finished = true;
    this.#stopListening?.();
  }

  #add(chunk: GenerationChunk): void {
    this.#parts.push(chunk.text);
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  #probabilities(row: Float32Array, token: number): Pick<GenerationChunk, "logProbability" | "alternatives"> {
    const { logProbabilities: count } = this.#context.settings;
    if (count === undefined) return {};
    const normaliser = logSumExp(row);
    const alternatives = topLogProbabilities(row, count, normaliser);
    return { logProbability: (row[token] as number) - normaliser, alternatives };
  }

  #timings(): GenerationSummary["timings"] {
    const now = performance.now();
    const { begun, admitted = now, first = now, last = first } = this.#times;
    return { queuedMs: admitted - begun, promptMs: first - admitted, generateMs: last - first };
  }
}
