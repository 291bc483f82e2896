/**
 * The language-model benchmark inside one engine's process: opens the model, keeps its sequences, times slices.
 *
 * A slice leaves every sequence as long as the test's depth, or where its next slice begins; going back is not timed. Where
 * a slice begins elsewhere than the last one ended, the tokens before are evaluated first, untimed.
 */

import { UserError } from "@quern/core";
import { llmEngineNamed } from "../engines/llm-engines.ts";
import { STEP_TOKENS, type LlmModel, type LlmPart, type OpenLlmEngine } from "../engines/llm-engine.ts";
import { countBusyThreads } from "../harness/busy-threads.ts";
import { coreLoadOf } from "../harness/core-load.ts";
import { startPeakMemory } from "../harness/memory.ts";
import type { LlmJob, LlmRequest, LlmResponse, Opened, Ready, Slice, SliceRequest } from "./protocol.ts";
import { FIRST_PROMPT, TokenSource, type LlmTest } from "./tests.ts";

/** Tokens of generation before the first slice. */
const WARM_UP_TOKENS = 8;

class LlmSession {
  readonly #engine: OpenLlmEngine;
  readonly #model: LlmModel;
  readonly #tokens: TokenSource;
  /** Bytes by which the process has grown at most since before the model was loaded; null where the system does not say. */
  readonly peakMemory: () => number | null;
  #test: LlmTest | undefined;
  /** Tokens of text 0 that each sequence begins with. */
  readonly #depths: number[] = [];
  /** Tokens of every sequence of the test, and the text that those behind the depth are from. */
  #length = 0;
  #text = 0;

  private constructor(
    engine: OpenLlmEngine,
    model: LlmModel,
    tokens: TokenSource,
    peakMemory: LlmSession["peakMemory"],
  ) {
    this.#engine = engine;
    this.#model = model;
    this.#tokens = tokens;
    this.peakMemory = peakMemory;
  }

  static async open({ engine: name, options, modelPath, vocabulary, seed }: LlmJob): Promise<[LlmSession, Opened]> {
    const tokens = new TokenSource(seed, vocabulary, options.contextLength);
    const first = tokens.part(0, 0, 0, FIRST_PROMPT);
    const beforeLoad = performance.now();
    const record = llmEngineNamed(name);
    const engine = await record.open(options);
    const loadMs = performance.now() - beforeLoad + coreLoadOf(record);
    globalThis.gc?.();
    const peakMemory = startPeakMemory();
    const beforeOpen = performance.now();
    const model = await engine.load(modelPath);
    const beforeFirst = performance.now();
    await model.evaluate([first]);
    await model.greedy(0);
    const end = performance.now();
    const opened = {
      loadMs,
      openMs: beforeFirst - beforeOpen,
      firstTokenMs: end - beforeFirst,
      peakBytes: peakMemory(),
      row: await model.logits(0),
      about: model.about(),
      ...(model.precisions === undefined || model.precisions.length === 0 ? {} : { precisions: model.precisions }),
    };
    model.truncate(0, 0);
    return [new LlmSession(engine, model, tokens, peakMemory), opened];
  }

  /** Brings all sequences to the test's depth and runs a little of it. */
  async prepare(test: LlmTest): Promise<Ready> {
    const before = this.#test?.sequences ?? 0;
    this.#test = test;
    this.#text = 0;
    // Sequence by sequence: long prompts fill a step each. What the test before has filled is kept.
    for (let sequence = 0; sequence < Math.max(before, test.sequences); sequence++) {
      const kept = Math.min(this.#depths[sequence] ?? 0, test.depth);
      this.#model.truncate(sequence, kept);
      this.#depths[sequence] = kept;
      if (sequence >= test.sequences) continue;
      await this.#prompt(sequence, kept, test.depth - kept);
      this.#depths[sequence] = test.depth;
    }
    this.#length = test.depth;
    const count = test.kind === "prompt" ? test.tokens : Math.min(WARM_UP_TOKENS, test.tokens);
    let ms = 0;
    const busyThreads = await countBusyThreads(async () => {
      ({ ms } = await this.slice({ kind: "llm-slice", text: 0, from: 0, count, keep: false }));
    });
    const rows: Float32Array[] = [];
    const parts = test.kind === "prompt" ? 1 : test.sequences;
    for (let part = 0; part < parts; part++) rows.push(await this.#model.logits(part));
    return { callMs: test.kind === "prompt" ? ms : ms / count, rows, busyThreads };
  }

  async slice({ text, from, count, keep }: SliceRequest): Promise<Slice> {
    const test = this.#test;
    if (test === undefined) throw new UserError("bench worker: asked for slices before it was prepared");
    await this.#goTo(test, text, test.depth + from);
    globalThis.gc?.();
    const start = performance.now();
    if (test.kind === "prompt") await this.#prompt(0, this.#length, count);
    else for (let i = 0; i < count; i++) await this.#model.evaluate(this.#parts(test, this.#length + i, 1));
    const ms = performance.now() - start;
    this.#length += count;
    return keep ? { ms, row: await this.#model.logits(0) } : { ms };
  }

  /** Makes the sequences `length` tokens long, of text `text` behind the depth. */
  async #goTo(test: LlmTest, text: number, length: number): Promise<void> {
    const same = text === this.#text;
    const kept = Math.min(this.#length, same ? length : test.depth);
    if (kept < this.#length) {
      for (let sequence = 0; sequence < test.sequences; sequence++) this.#model.truncate(sequence, kept);
    }
    this.#text = text;
    for (let sequence = 0; kept < length && sequence < test.sequences; sequence++) {
      await this.#prompt(sequence, kept, length - kept);
    }
    this.#length = length;
  }

  async #prompt(sequence: number, position: number, count: number): Promise<void> {
    for (let done = 0; done < count; done += STEP_TOKENS) {
      const tokens = Math.min(STEP_TOKENS, count - done);
      await this.#model.evaluate([this.#tokens.part(sequence, this.#text, position + done, tokens)]);
    }
  }

  #parts({ sequences }: LlmTest, position: number, count: number): LlmPart[] {
    return Array.from({ length: sequences }, (_, sequence) => this.#tokens.part(sequence, this.#text, position, count));
  }

  async close(): Promise<void> {
    await this.#model.close();
    await this.#engine.close();
  }
}

let session: LlmSession | undefined;

function requireSession(): LlmSession {
  if (session === undefined) throw new UserError("bench worker: asked for tests before a model was opened");
  return session;
}

/** Answers one request; a process has one model. */
export async function answerLlm(request: LlmRequest): Promise<LlmResponse> {
  switch (request.kind) {
    case "llm-describe":
      return { kind: "llm-describe", record: await llmEngineNamed(request.engine).describe(request.options) };
    case "llm-open": {
      const [made, opened] = await LlmSession.open(request.job);
      session = made;
      return { kind: "llm-open", opened };
    }
    case "llm-test":
      return { kind: "llm-test", ready: await requireSession().prepare(request.test) };
    case "llm-slice":
      return { kind: "llm-slice", slice: await requireSession().slice(request) };
    case "llm-finish": {
      const peakBytes = requireSession().peakMemory();
      await requireSession().close();
      session = undefined;
      return { kind: "llm-finish", peakBytes };
    }
  }
}
